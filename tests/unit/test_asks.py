"""Asks and verdicts: opened within bounds, sealed to exact bytes, answered once, spent once, over restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from authority_world import HEAD, RULES, RUNTIME, World, agent_id, operators, person, sign

from queenright.authority.ask import Ask, Wish, ask_hash
from queenright.authority.asks import ASKS, AskHead
from queenright.authority.grant_request import GrantRequest
from queenright.authority.intents import Standing
from queenright.authority.rule import Rule
from queenright.authority.verdict import Answer, Verdict, make_verdict
from queenright.core.host import Refused
from queenright.errors import (
    AskExpired,
    Conflict,
    Denied,
    InvalidSignature,
    Malformed,
    NotEntitled,
    StaleVerdict,
)
from queenright.store import Change

QUORUM = RULES.replace(
    'answer_within = "10m"',
    'answer_within = "10m"\napprovers = "@oncall-db"\nquorum = 2\nexcluding = ["requester", "spawner"]',
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def raise_ask(world: World, standing: Standing, wish: Wish | None = None) -> AskHead:
    wish = wish or world.wish()
    decision = world.grants.check(wish.agent, wish.verb, wish.resource, irreversible=True)
    assert decision.outcome == "ask"
    head, change = world.asks.open(wish, standing, decision.clauses)
    world.store.commit(change)
    return head


def verdict(world: World, *asks: AskHead, answer: Answer = "once", **facts: object) -> Verdict:
    members = [world.asks.document(head.id) for head in asks]
    return make_verdict(RUNTIME, members, answer, rand=world.rand, **facts)  # type: ignore[arg-type]


def spawn(world: World, parent: int, child: int, depth: int = 0, agents: int = 0) -> bytes:
    rule = Rule("ask", ("db.session.kill",), "pg:payments/*")
    request = GrantRequest((rule,), (rule,), None, depth, agents)
    world.store.commit(world.grants.derive(agent_id(parent), agent_id(child), f"sre/w{child}", request))
    return agent_id(child)


def test_approved_act_is_released_once_even_across_crashes(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.restart()
    world.decide(verdict(world, head))
    world.restart()
    present = world.present(standing, world.wish())
    first, second = world.asks.spend(head.id, present), world.asks.spend(head.id, present)
    assert first.args == world.wish().args
    world.store.commit(first.change)
    with pytest.raises(Refused):
        world.store.commit(second.change)
    world.restart()
    with pytest.raises(Conflict, match="is spent"):
        world.asks.spend(head.id, world.present(standing, world.wish()))
    with pytest.raises(Conflict, match="spent already by ben"):
        world.decide(verdict(world, head), "cleo")


def test_a_row_put_back_by_hand_does_not_spend_an_ask_again(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.decide(verdict(world, head))
    approved = world.store.get(ASKS, head.id)
    world.store.commit(world.asks.spend(head.id, world.present(standing, world.wish())).change)
    uses = world.store.scan("verdict.uses")
    back = [("put", ASKS, head.id, approved), *(("delete", "verdict.uses", key) for key, _ in uses)]
    world.store.commit(Change(tuple(back)))
    world.restart()
    again = world.asks.spend(head.id, world.present(standing, world.wish()))
    with pytest.raises(Refused):
        world.store.commit(again.change)


def test_second_decider_is_told_who_was_first(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.decide(verdict(world, head))
    world.clock.advance(12_000)
    with pytest.raises(Conflict, match="approved already by ben 12 s ago"):
        world.decide(verdict(world, head, answer="deny"), "cleo")


def test_two_deciders_at_one_moment_are_ordered_by_the_store(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    changes = []
    for name, answer in (("ben", "once"), ("cleo", "deny")):
        document = verdict(world, head, answer=answer).encode()  # type: ignore[arg-type]
        decided = world.asks.decide(
            document, sign(name, "approve", document), world.operators, world.intents.get
        )
        changes.append(decided[1])
    world.store.commit(changes[0])
    with pytest.raises(Refused):
        world.store.commit(changes[1])
    assert world.asks.get(head.id).state == "approved"


def test_no_answer_by_the_deadline_is_a_denial(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    early = verdict(world, head)
    world.clock.advance(600_000 - 1)
    assert world.asks.due() == ()
    with pytest.raises(Conflict, match="not due"):
        world.asks.expire(head.id)
    world.clock.advance(1)
    with pytest.raises(AskExpired):
        world.decide(early)
    assert [one.id for one in world.asks.due()] == [head.id]
    after, change = world.asks.expire(head.id)
    world.store.commit(change)
    assert after.state == "expired"
    world.restart()
    with pytest.raises(AskExpired):
        world.decide(early)


def test_an_approval_not_spent_in_time_expires(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.decide(verdict(world, head))
    world.clock.advance(head.not_after - world.clock.wall_ms())
    with pytest.raises(StaleVerdict, match="time: the approval has ended"):
        world.asks.spend(head.id, world.present(standing, world.wish()))
    assert [one.id for one in world.asks.due()] == [head.id]


def test_every_difference_voids_the_verdict_and_all_are_named(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.decide(verdict(world, head))
    wish = world.wish()
    changed = {
        "args": ({"sessions": [11]}, "act: other arguments"),
        "resource": ("pg:payments/other", "act: another agent, verb or resource"),
        "verb": ("db.write", "act: another agent, verb or resource"),
        "manifest": (b"M" * 32, "act: its manifest changed"),
        "precondition": ({"started": "08:01"}, "target: it is no longer what it was"),
        "plan": (b"P" * 32, "act: another plan or undo plan"),
        "undo": (b"U" * 32, "act: another plan or undo plan"),
        "dry_run": (b"d" * 32, "act: another plan or undo plan"),
        "policy": (b"Y" * 32, "policy: operators, resources or the ceiling changed"),
    }
    for name, (value, words) in changed.items():
        with pytest.raises(StaleVerdict) as stale:
            world.asks.spend(head.id, world.present(standing, replace(wish, **{name: value})))
        assert stale.value.message.endswith(f"is void: {words}")
    everything = replace(wish, **{name: value for name, (value, _) in changed.items()})
    with pytest.raises(StaleVerdict) as stale:
        world.asks.spend(head.id, world.present(standing, everything))
    assert stale.value.message.count(";") == 5
    world.asks.spend(head.id, world.present(standing, wish))  # nothing was spent by looking


def test_approval_of_a_small_risk_is_not_one_of_a_greater(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing, world.wish(risk="MED"))
    world.decide(verdict(world, head))
    with pytest.raises(StaleVerdict, match="its risk is HIGH now"):
        world.asks.spend(head.id, world.present(standing, world.wish(risk="HIGH")))
    world.asks.spend(head.id, world.present(standing, world.wish(risk="LOW")))


def test_revoked_chain_amended_intent_removed_signer_or_spent_budget_void_the_verdict(world: World) -> None:
    standing = world.apply(HEAD + RULES.replace('answer_within = "10m"', 'answer_within = "10m"\nmax = 1'))
    asker = spawn(world, 0, 1)
    head = raise_ask(world, standing, world.wish(asker))
    world.decide(verdict(world, head))

    def why(**facts: object) -> str:
        present = replace(world.present(standing, world.wish(asker)), **facts)  # type: ignore[arg-type]
        with pytest.raises(StaleVerdict) as stale:
            world.asks.spend(head.id, present)
        return stale.value.message

    removed = operators(person("ana"), person("cleo"))
    assert "signer ben: no operator has the key" in why(operators=removed)
    demoted = operators(person("ana"), person("ben", approvals=()))
    assert "signer ben: ben may not sign approvals for db.session.kill on pg:payments/main" in why(
        operators=demoted
    )
    frozen = world.grants.freeze(agent_id(0))
    assert "chain: frozen at agent sre/watcher" in why()
    world.store.commit(frozen)
    world.store.commit(world.grants.unfreeze(agent_id(0)))
    _, held = world.grants.reserve(agent_id(0), "db.session.kill", "pg:payments/main", approved=True)
    assert held is not None
    assert "grant: budget 0/1 used, 1 in progress" in why()
    held.cancel()
    world.asks.spend(head.id, world.present(standing, world.wish(asker)))
    after = world.amend(standing, HEAD + RULES)
    words = why(standing=after)
    assert "intent: it was amended since" in words
    assert "chain: a grant of it was changed" in words
    world.store.commit(world.asks.void(head.id, words))
    assert raise_ask(world, after, world.wish(asker)).id != head.id
    with pytest.raises(Conflict, match="is void"):
        world.asks.spend(head.id, world.present(standing, world.wish(asker)))


def test_narrower_verdict_releases_only_what_is_left(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.decide(verdict(world, head, answer="narrower", args={"sessions": [11, 13]}))
    with pytest.raises(StaleVerdict, match="act: other arguments"):
        world.asks.spend(head.id, world.present(standing, world.wish()))
    less = world.wish(args={"sessions": [11, 13]}, plan=b"q" * 32, undo=b"v" * 32)
    assert world.asks.spend(head.id, world.present(standing, less)).args == {"sessions": [11, 13]}


@pytest.mark.parametrize(
    "args",
    [
        {"sessions": [11, 12, 13]},
        {"sessions": [11, 14]},
        {"sessions": [13, 11]},
        {"sessions": [11, 11]},
        {"sessions": []},
        {"sessions": 11},
        {"sessions": [11], "force": True},
        {},
    ],
)
def test_narrowed_verdict_beyond_the_ask_is_refused_even_if_signed(
    world: World, args: dict[str, object]
) -> None:
    head = raise_ask(world, world.apply())
    with pytest.raises(StaleVerdict, match="not part of what was asked"):
        world.decide(verdict(world, head, answer="narrower", args=args))
    assert world.asks.get(head.id).state == "open"


def test_shorter_verdict_is_shorter_and_no_verdict_is_longer(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    with pytest.raises(StaleVerdict, match="longer than was asked"):
        world.decide(verdict(world, head, not_after=head.not_after + 1))
    with pytest.raises(StaleVerdict, match="says shorter and is not"):
        world.decide(verdict(world, head, answer="shorter"))
    with pytest.raises(StaleVerdict, match="it has ended"):
        world.decide(verdict(world, head, not_after=world.clock.wall_ms()))
    world.decide(verdict(world, head, answer="shorter", not_after=world.clock.wall_ms() + 1_000))
    world.clock.advance(1_000)
    with pytest.raises(StaleVerdict, match="time"):
        world.asks.spend(head.id, world.present(standing, world.wish()))


def test_verdict_over_another_view_is_refused(world: World) -> None:
    head = raise_ask(world, world.apply())
    data, _ = world.asks.document(head.id)
    other = make_verdict(RUNTIME, [(data, "a harmless little thing")], "once", rand=world.rand)
    with pytest.raises(StaleVerdict, match="drawn from other bytes"):
        world.decide(other)
    elsewhere = make_verdict(bytes(32), [world.asks.document(head.id)], "once", rand=world.rand)
    with pytest.raises(StaleVerdict, match="another runtime"):
        world.decide(elsewhere)


def test_quorum_needs_different_people_of_the_group_and_neither_requester_nor_spawner(world: World) -> None:
    world.operators = operators(
        person("ana", groups=("oncall-db",)),
        person("ben", groups=("oncall-db",)),
        person("cleo", groups=("oncall-db",)),
        person("dan"),
    )
    standing = world.apply(HEAD + QUORUM, spawner="dan")
    head = raise_ask(world, standing)
    for name, words in (("ana", "excludes its requester"), ("dan", "is none of them")):
        with pytest.raises(NotEntitled, match=words):
            world.decide(verdict(world, head), name)
    world.decide(verdict(world, head), "ben")
    assert world.asks.get(head.id).state == "open"
    with pytest.raises(Conflict):
        world.asks.spend(head.id, world.present(standing, world.wish()))
    with pytest.raises(NotEntitled, match="different people"):
        world.decide(verdict(world, head), "ben")
    with pytest.raises(Conflict, match="another scope"):
        world.decide(verdict(world, head, answer="narrower", args={"sessions": [11]}), "cleo")
    world.decide(verdict(world, head), "cleo")
    assert [name for name, _ in world.asks.get(head.id).signers] == ["ben", "cleo"]
    world.asks.spend(head.id, world.present(standing, world.wish()))


def test_spawner_is_excluded_where_the_intent_says_so(world: World) -> None:
    world.operators = operators(*(person(name, groups=("oncall-db",)) for name in ("ana", "ben", "cleo")))
    head = raise_ask(world, world.apply(HEAD + QUORUM, spawner="ben"))
    with pytest.raises(NotEntitled, match="started the swarm"):
        world.decide(verdict(world, head), "ben")


def test_one_deny_ends_a_quorum(world: World) -> None:
    world.operators = operators(*(person(name, groups=("oncall-db",)) for name in ("ana", "ben", "cleo")))
    head = raise_ask(world, world.apply(HEAD + QUORUM))
    world.decide(verdict(world, head), "ben")
    world.decide(verdict(world, head, answer="deny", reason="not during the sale"), "cleo")
    after = world.asks.get(head.id)
    assert (after.state, after.decided_by, after.reason) == ("denied", "cleo", "not during the sale")


def test_nobody_approves_beyond_their_own_row(world: World) -> None:
    head = raise_ask(world, world.apply())
    with pytest.raises(NotEntitled, match=r"dan may not approve db.session.kill"):
        world.decide(verdict(world, head), "dan")


def test_signature_of_nobody_or_for_another_purpose_is_refused(world: World) -> None:
    head = raise_ask(world, world.apply())
    document = verdict(world, head).encode()
    for signature in (sign("ben", "intent", document), sign("ben", "approve", document + b"x")):
        with pytest.raises(InvalidSignature):
            world.asks.decide(document, signature, world.operators, world.intents.get)
    world.operators = operators(person("ana"))
    with pytest.raises(InvalidSignature):
        world.decide(verdict(world, head))


def test_equal_asks_make_one_card_and_one_verdict_answers_exactly_its_members(world: World) -> None:
    standing = world.apply(HEAD.replace("max_agents = 5", "max_agents = 600") + RULES)
    askers = [spawn(world, 0, number) for number in range(1, 41)]
    heads = [
        raise_ask(world, standing, world.wish(asker, reason=f"because {n}")) for n, asker in enumerate(askers)
    ]
    assert len({head.card for head in heads}) == 1
    card = world.asks.members(heads[0].id)
    assert len(card) == 40
    late = spawn(world, 0, 100)
    given = verdict(world, *card, max_uses=39)
    late_head = raise_ask(world, standing, world.wish(late))
    world.decide(given)
    assert world.asks.get(late_head.id).state == "open"
    done = 0
    for head in heads:
        release = world.asks.spend(head.id, world.present(standing, world.wish(head.agent)))
        try:
            world.store.commit(release.change)
        except Refused:
            continue
        done += 1
    assert done == 39


def test_one_verdict_does_not_answer_asks_that_differ(world: World) -> None:
    standing = world.apply()
    first = raise_ask(world, standing, world.wish(spawn(world, 0, 1)))
    second = raise_ask(world, standing, world.wish(spawn(world, 0, 2), args={"sessions": [99]}))
    with pytest.raises(StaleVerdict, match="these differ"):
        world.decide(verdict(world, first, second))


def test_asking_again_is_the_same_ask(world: World) -> None:
    standing = world.apply()
    first = raise_ask(world, standing)
    second, change = world.asks.open(world.wish(reason="now really"), standing)
    assert second.id == first.id
    assert change.records == ()


def test_agents_and_branches_have_bounded_cards_and_spawning_gains_none(world: World) -> None:
    standing = world.apply(HEAD.replace("max_agents = 5", "max_agents = 50\nopen_asks = 3") + RULES)
    branch = spawn(world, 0, 1, depth=1, agents=40)
    for number in range(2):
        raise_ask(world, standing, world.wish(branch, args={"sessions": [number]}))
    with pytest.raises(Denied) as denied:
        raise_ask(world, standing, world.wish(branch, args={"sessions": [7]}))
    assert denied.value.reason == "ask_quota"
    raise_ask(world, standing, world.wish(spawn(world, 1, 2), args={"sessions": [8]}))
    for number in range(3, 6):
        with pytest.raises(Denied, match="branch"):
            raise_ask(world, standing, world.wish(spawn(world, 1, number), args={"sessions": [number + 10]}))
    raise_ask(world, standing, world.wish(spawn(world, 1, 7), args={"sessions": [8]}))  # joins a card
    raise_ask(
        world, standing, world.wish(spawn(world, 0, 8), args={"sessions": [9]})
    )  # another branch goes on


def test_agent_raises_at_most_six_in_an_hour(world: World) -> None:
    standing = world.apply()
    for number in range(6):
        head = raise_ask(world, standing, world.wish(args={"sessions": [number]}))
        world.store.commit(world.asks.void(head.id, "withdrawn"))
        world.clock.advance(60_000)
    with pytest.raises(Denied, match="within the hour"):
        raise_ask(world, standing, world.wish(args={"sessions": [70]}))
    world.clock.advance(3_600_000 - 360_000)
    raise_ask(world, standing, world.wish(args={"sessions": [71]}))


def test_after_a_denial_the_same_branch_is_denied_without_a_card(world: World) -> None:
    standing = world.apply()
    branch = spawn(world, 0, 1, depth=1, agents=2)
    head = raise_ask(world, standing, world.wish(branch))
    after, change = world.asks.deny(head.id, "ben", "no")
    world.store.commit(change)
    assert after.state == "denied"
    world.restart()
    for asker in (branch, spawn(world, 1, 2)):
        with pytest.raises(Denied) as denied:
            raise_ask(world, standing, world.wish(asker, reason="please"))
        assert denied.value.reason == "denied_recently"
    raise_ask(world, standing, world.wish(spawn(world, 0, 3)))
    amended = world.amend(standing, HEAD + RULES)
    raise_ask(world, amended, world.wish(branch))


def test_denial_is_forgotten_after_half_an_hour(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.store.commit(world.asks.deny(head.id, "ben", "no")[1])
    world.clock.advance(30 * 60_000 - 1)
    with pytest.raises(Denied):
        raise_ask(world, standing)
    world.clock.advance(1)
    raise_ask(world, standing)


def test_keys_removed_void_what_rests_on_them(world: World) -> None:
    standing = world.apply()
    first = raise_ask(world, standing)
    world.decide(verdict(world, first))
    gone = world.operators.removed_keys(operators(person("ana")))
    assert [head.id for head in world.asks.resting_on(gone)] == [first.id]
    assert world.asks.resting_on(frozenset()) == ()


def test_ask_bytes_are_what_the_client_hashes(world: World) -> None:
    head = raise_ask(world, world.apply())
    data, reason = world.asks.document(head.id)
    assert ask_hash(data) == head.id
    assert reason == "they hold the lock"
    assert b"they hold the lock" not in data
    assert Ask.decode(data).encode() == data
    assert (head.answer_by, head.not_after) == (head.raised_ms + 600_000, head.raised_ms + 1_500_000)


def test_bytes_of_an_ask_are_sealed_and_its_head_is_readable_while_locked(world: World) -> None:
    standing = world.apply()
    head = raise_ask(world, standing)
    world.store.close()
    raw = b"".join(path.read_bytes() for path in world.path.rglob("*") if path.is_file())
    assert b"they hold the lock" not in raw
    assert b"sessions" not in raw
    assert b"db.session.kill" in raw
    world.open()
    assert world.asks.get(head.id).state == "open"


def test_an_oversize_ask_is_refused_before_it_is_a_row(world: World) -> None:
    standing = world.apply()
    with pytest.raises(Malformed, match="at most"):
        raise_ask(world, standing, world.wish(args={"sql": "x" * 300_000}))
    assert len(list(world.asks)) == 0


def test_reason_is_capped(world: World) -> None:
    head = raise_ask(world, world.apply(), world.wish(reason="x" * 1_000_000))
    assert len(world.asks.document(head.id)[1]) == 280
