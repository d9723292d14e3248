"""Intents in force: signed for this runtime by someone entitled, applied once for ever, amended in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from authority_world import HEAD, PACKAGES, RULES, RUNTIME, World, agent_id, operators, person, sign

from queenright.authority.intent import Amends, Intent
from queenright.authority.operators import Right
from queenright.core import canonical, decode
from queenright.core.host import Refused
from queenright.errors import Conflict, InvalidSignature, Malformed, NotEntitled, QueenrightError, Unknown


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refuse(world: World, intent: Intent, signer: str = "ana", **facts: object) -> QueenrightError:
    document = intent.encode()
    given = {"operators": world.operators, "packages": PACKAGES} | facts
    with pytest.raises(QueenrightError) as error:
        world.intents.verify(
            document, sign(signer, "intent", document), given["operators"], given["packages"]
        )  # type: ignore[arg-type]
    return error.value


def test_applied_intent_survives_a_restart_whole(world: World) -> None:
    standing = world.apply()
    world.restart()
    again = world.intents.get(standing.intent.id)
    assert again == standing
    assert again.intent.encode() == standing.intent.encode()
    assert (again.signer, again.spawner, again.state, again.first) == ("ana", "ana", "live", agent_id(0))


def test_an_intent_is_applied_once_for_ever(world: World) -> None:
    standing = world.apply()
    document, signature = standing.intent.encode(), standing.signature
    with pytest.raises(Conflict, match="once for ever"):
        world.intents.apply(document, signature, world.operators, PACKAGES, "ana", agent_id(0))
    world.store.commit(world.intents.set_state(standing.intent.id, "revoked"))
    with pytest.raises(Conflict, match="once for ever"):
        world.intents.apply(document, signature, world.operators, PACKAGES, "ana", agent_id(0))


def test_two_applies_of_one_intent_at_one_moment_are_one(world: World) -> None:
    intent = world.intent()
    document = intent.encode()
    signature = sign("ana", "intent", document)
    changes = [
        world.intents.apply(document, signature, world.operators, PACKAGES, "ana", agent_id(n))[1]
        for n in range(2)
    ]
    world.store.commit(changes[0])
    with pytest.raises(Refused):
        world.store.commit(changes[1])


def test_intent_for_another_runtime_is_refused(world: World) -> None:
    assert "not for this one" in refuse(world, replace(world.intent(), runtime=bytes(32))).message


def test_intent_too_late_or_ended_is_refused(world: World) -> None:
    intent = world.intent()
    world.clock.advance(15 * 60_000 - 1)
    world.intents.verify(intent.encode(), sign("ana", "intent", intent.encode()), world.operators, PACKAGES)
    world.clock.advance(1)
    assert "had to be applied 0 s ago" in refuse(world, intent).message
    short = world.intent(
        HEAD.replace('for = "2h"', 'for = "1m"\napply_within = "5m"') + RULES.replace("10m", "30s")
    )
    world.clock.advance(60_000)
    assert "ended" in refuse(world, short).message


def test_nobody_signs_an_intent_beyond_their_own_row(world: World) -> None:
    world.operators = operators(
        person("ana"),
        person(
            "ben", intents=(Right(("logs.*", "metrics.*"), "svc:payments/**"), Right(("svc.*",), "svc:*"))
        ),
    )
    error = refuse(world, world.intent(), "ben")
    assert isinstance(error, NotEntitled)
    assert error.message == (
        "ben may not sign an intent for db.write on pg:payments/*, db.session.kill on pg:payments/*"
    )
    assert isinstance(refuse(world, world.intent(), "cleo"), InvalidSignature)


def test_person_out_of_time_signs_nothing(world: World) -> None:
    world.operators = operators(person("ana"), person("ben", not_after=world.clock.wall_ms()))
    assert "not at this time" in refuse(world, world.intent(), "ben").message
    world.operators = operators(person("ana"), person("ben", not_before=world.clock.wall_ms() + 1))
    assert "not at this time" in refuse(world, world.intent(), "ben").message


def test_packages_must_be_those_that_were_signed_for(world: World) -> None:
    for packages in ({}, {"sre": bytes(32)}, {"other": PACKAGES["sre"]}):
        assert isinstance(refuse(world, world.intent(), packages=packages), Unknown)


def test_ask_that_nobody_could_answer_is_refused(world: World) -> None:
    text = HEAD + RULES.replace('answer_within = "10m"', 'approvers = "@nobody"')
    assert "an ask that nobody could answer" in refuse(world, world.intent(text)).message
    both = RULES.replace('answer_within = "10m"', 'approvers = ["ben", "dan"]\nquorum = 2')
    assert "needs 2 of ben, dan, 1 could answer" in refuse(world, world.intent(HEAD + both)).message


def test_two_live_intents_do_not_found_one_swarm(world: World) -> None:
    standing = world.apply()
    document = world.intent().encode()
    with pytest.raises(Conflict, match="the swarm sre lives already"):
        world.intents.apply(
            document, sign("ana", "intent", document), world.operators, PACKAGES, "ana", agent_id(9)
        )
    world.store.commit(world.intents.set_state(standing.intent.id, "ended"))
    world.intents.apply(
        document, sign("ana", "intent", document), world.operators, PACKAGES, "ana", agent_id(9)
    )


def test_only_the_next_revision_amends(world: World) -> None:
    first = world.apply().intent

    def amendment(**facts: object) -> QueenrightError:
        amends = replace(Amends(first.id, 2, first.digest), **facts)  # type: ignore[arg-type]
        document = world.intent(amends=amends).encode()
        with pytest.raises(QueenrightError) as error:
            world.intents.amend(document, sign("ana", "intent", document), world.operators, PACKAGES)
        return error.value

    assert isinstance(amendment(intent=bytes(32)), Unknown)
    assert isinstance(amendment(revision=3), Conflict)
    assert isinstance(amendment(previous=bytes(32)), Conflict)
    second = world.amend(world.intents.get(first.id), HEAD + RULES).intent
    assert (second.id, second.revision) == (first.id, 2)
    assert isinstance(amendment(), Conflict)
    document = world.intent().encode()
    with pytest.raises(Conflict, match="not an amendment"):
        world.intents.amend(document, sign("ana", "intent", document), world.operators, PACKAGES)
    document = world.intent(amends=Amends(first.id, 3, second.digest)).encode()
    with pytest.raises(Conflict, match="this is an amendment"):
        world.intents.apply(
            document, sign("ana", "intent", document), world.operators, PACKAGES, "ana", agent_id(9)
        )


def test_amendment_cannot_change_what_has_begun(world: World) -> None:
    standing = world.apply()
    for old, new in (('swarm = "sre"', 'swarm = "other"'), ("sre.Watcher", "sre.Other")):
        with pytest.raises(Conflict, match="cannot change"):
            world.amend(standing, HEAD.replace(old, new) + RULES)


def test_a_finished_intent_is_finished_for_ever(world: World) -> None:
    standing = world.apply()
    world.store.commit(world.intents.set_state(standing.intent.id, "revoked"))
    with pytest.raises(Conflict, match="for ever"):
        world.store.commit(world.intents.set_state(standing.intent.id, "live"))
    with pytest.raises(Conflict, match="for ever"):
        world.amend(standing, HEAD + RULES)


def test_intent_rests_on_its_signers_key_until_another_signs(world: World) -> None:
    standing = world.apply()
    without = operators(person("ben"), owner="ben")
    demoted = operators(person("ana", intents=()), person("ben"))
    for after in (without, demoted):
        assert [one.intent.id for one in world.intents.unsupported(after)] == [standing.intent.id]
    assert world.intents.unsupported(world.operators) == ()
    world.store.commit(world.intents.set_state(standing.intent.id, "frozen"))
    world.operators = without
    world.amend(world.intents.get(standing.intent.id), HEAD + RULES, "ben")
    again = world.intents.get(standing.intent.id)
    assert (again.state, again.signers) == ("frozen", ("ana", "ben"))
    assert world.intents.supported(again, without)
    world.store.commit(world.intents.set_state(standing.intent.id, "live"))
    assert world.intents.unsupported(without) == ()


def test_bytes_that_no_compiler_wrote_are_no_intent(world: World) -> None:
    intent = world.intent()
    body = decode(intent.encode())
    wrongs: list[dict[str, object]] = [
        {"v": 2},
        {"kind": "ask"},
        {"nonce": b"short"},
        {"runtime": bytes(31)},
        {"signed_at": -1},
        {"apply_by": body["signed_at"] - 1},
        {"apply_by": body["signed_at"] + 8 * 86_400_000},
        {"not_after": body["not_before"]},
        {"not_after": body["not_before"] + 401 * 86_400_000},
        {"purpose": ""},
        {"purpose": "two\nlines"},
        {"purpose": "\u202eright to left"},
        {"swarm": "Sre"},
        {"packages": {}},
        {"packages": {"sre": bytes(31)}},
        {"packages": {"../sre": bytes(32)}},
        {"start": "other.Watcher"},
        {"clauses": [{"rule": body["clauses"][0]["rule"] | {"verbs": ["*"]}, "ask": None}]},
        {
            "clauses": [
                {"rule": body["clauses"][0]["rule"] | {"rate": {"agent": None, "all": None}}, "ask": None}
            ]
        },
        {"clauses": [{"rule": body["clauses"][0]["rule"] | {"max": 0}, "ask": None}]},
        {"clauses": [body["clauses"][2] | {"ask": None}]},
        {"clauses": [body["clauses"][0]] * 257},
        {"limits": body["limits"] | {"depth": 9}},
        {"limits": body["limits"] | {"depth": True}},
        {"limits": body["limits"] | {"agents_ever": 1}},
        {"only": [3]},
        {"talk": [{"from": ["x"], "to": ["y"], "swarm": ""}]},
        {"amends": {"intent": bytes(32), "revision": 1, "previous": bytes(32)}},
        {"more": 1},
    ]
    for change in wrongs:
        with pytest.raises(Malformed):
            Intent.decode(canonical(body | change))
    assert Intent.decode(canonical(body)).digest == intent.digest
    for missing in body:
        with pytest.raises(Malformed):
            Intent.decode(canonical({name: value for name, value in body.items() if name != missing}))
    assert body["runtime"] == RUNTIME
