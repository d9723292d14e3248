"""Births in batches under a real supervisor: signed once, refused whole, proved one by one, there again after kill -9."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from broods import CLASSES, EXTRA, FORGERIES, INTENT, SOURCE
from supervised import Supervised

from queenright.core import decode, digest, leaf_hash, verify_inclusion
from queenright.errors import QueenrightError
from queenright.ledger import Entry, verify_directory
from queenright.ledger.births import Births
from queenright.ledger.leaf import decode as decode_leaf
from queenright.ledger.log import LOG_VKEY
from queenright.wire.certificate import BIRTH, BatchStatement, Birth

NAMED = 600 + 2 + 3 + 2  # w-*, ada and grace/b, the honest "nothing", again-*


def start(supervised: Supervised) -> list[str]:
    supervised.up()
    supervised.add("broods", SOURCE, classes=CLASSES, extra=EXTRA)
    supervised.apply(INTENT)
    supervised.until("the first turn has ended", lambda: any("done" in line for line in log(supervised)))
    return log(supervised)


def log(supervised: Supervised) -> list[str]:
    return supervised.log("broods/root")


def test_a_batch_is_born_whole_or_not_at_all_and_forged_ones_are_refused(supervised: Supervised) -> None:
    told = start(supervised)
    assert [line[:40] for line in told if line.startswith("born")] == [
        "born 600 broods/root/w-0 broods/root/w-5",
        "born 2 broods/root/ada broods/root/grace",
    ]
    assert "broods/root/ada counts 6" in told
    assert "broods/root/grace/b counts 7" in told
    refused = {line.partition(":")[0]: line for line in told if line.split(":")[0] in FORGERIES}
    assert refused.pop("nothing") == "nothing: replayed True"
    assert refused.keys() == set(FORGERIES) - {"nothing"}
    assert not [line for line in refused.values() if "GOT" in line]
    of = {what: line.split(": ")[1] for what, line in refused.items()}
    assert of.pop("a signature") == "InvalidSignature"
    assert of.pop("beyond the grant") == "Denied"
    assert of.pop("package") == "NotEntitled"
    assert of.pop("behaviour") == "Unknown"
    assert set(of.values()) == {"Malformed"}, of
    assert any(line.startswith("too many: Denied") for line in told)
    # Nothing of what was refused is there, and what it took of the swarm's places was given back.
    [row] = supervised.call("intents")
    assert row["agents"] == 1 + NAMED
    assert supervised.call("health")["agents"] == 1 + NAMED
    kinds = Counter(entry["kind"] for entry in supervised.entries())
    assert kinds["agents.born"] == 4
    assert kinds["agent.born"] == 1 + 2  # the first agent, and the two members that did something
    assert kinds["cell.started"] == 1


def test_a_member_is_found_shown_and_proved_from_its_batch_alone(supervised: Supervised) -> None:
    start(supervised)
    shown = supervised.call("agent", agent="broods/root/w-300")
    assert shown["row"]["state"] == "wait"
    chain = shown["chain"]
    assert [link["kind"] for link in chain] == ["intent", "birth", "batch", "birth"]
    said = BatchStatement.decode(chain[2]["certificate"])
    birth = Birth.decode(chain[3]["certificate"])
    member = digest(BIRTH, chain[3]["certificate"])
    assert (birth.name, birth.parent) == ("broods/root/w-300", said.parent)
    assert member.hex() == shown["row"]["id"].removeprefix("agent-")
    proof = decode(chain[3]["signature"])
    verify_inclusion(proof["position"], said.count, leaf_hash(member), proof["path"], said.root)
    # It has done nothing, so no entry is about it alone: what answers for it is its batch.
    why = supervised.call("why", id=shown["row"]["id"])
    assert [step["what"] for step in why["steps"]] == ["intent.applied", "agent.born", "agents.born"]
    assert "agent.born" in [s["what"] for s in supervised.call("why", id=agent(supervised, "ada"))["steps"]]


def agent(supervised: Supervised, name: str) -> str:
    found: str = supervised.call("agent", agent=f"broods/root/{name}")["row"]["id"]
    return found


def test_members_and_their_ends_are_there_again_after_kill_9(supervised: Supervised) -> None:
    start(supervised)
    ids = [agent(supervised, name) for name in ("w-0", "w-599", "ada", "grace/b")]
    assert supervised.call("stop", target="broods/root/w-599")["count"] == 1
    supervised.call("pause", target="broods/root/w-7")
    supervised.kill()
    supervised.up()
    assert [agent(supervised, name) for name in ("w-0", "ada", "grace/b")] == [ids[0], *ids[2:]]
    assert supervised.call("health")["agents"] == NAMED
    assert supervised.call("agent", agent=ids[1])["row"]["state"] == "ended"
    assert supervised.call("agent", agent="broods/root/w-7")["row"]["state"] == "paused"
    assert supervised.call("can", agent=ids[0], verb="fs.read", resource="ws:self")["outcome"] == "allow"
    revoked = supervised.call("revoke", target="broods/root/w-0")
    assert revoked["count"] == 1
    assert supervised.call("can", agent=ids[0], verb="fs.read", resource="ws:self")["outcome"] == "deny"
    assert supervised.call("can", agent=ids[2], verb="fs.read", resource="ws:self")["outcome"] == "allow"
    supervised.kill()
    supervised.up()
    assert supervised.call("can", agent=ids[0], verb="fs.read", resource="ws:self")["outcome"] == "deny"


def test_a_whole_swarm_of_sleepers_ends_in_a_row_a_batch_and_stays_ended(supervised: Supervised) -> None:
    start(supervised)
    awake = [agent(supervised, name) for name in ("ada", "grace/b")]
    asleep = [agent(supervised, name) for name in ("w-0", "w-599", "again-1")]
    supervised.call("pause", target="broods/root/w-7")  # has a row of its own by now
    # One below, which is no batch: a stop of one agent ends nobody beside it.
    assert supervised.call("stop", target="broods/root/w-3")["count"] == 1
    assert supervised.call("health")["agents"] == NAMED
    assert supervised.call("stop", target="broods")["count"] == NAMED
    kinds = Counter(entry["kind"] for entry in supervised.entries())
    assert kinds["agents.ended"] == 3  # no sleeper was left in the batch of ada and grace
    assert kinds["agent.ended"] == 1 + 2 + 2  # the first agent, those awake, w-7 and w-3
    for life in range(2):
        assert supervised.call("health")["agents"] == 0, life
        assert [supervised.call("agent", agent=one)["row"]["state"] for one in (*awake, *asleep)] == [
            "ended"
        ] * 5
        for one in (*awake, *asleep):
            with pytest.raises(QueenrightError):
                supervised.call("can", agent=one, verb="fs.read", resource="ws:self")
        supervised.kill()
        supervised.up()


def test_the_ledger_alone_proves_batches_and_shows_what_was_altered(supervised: Supervised) -> None:
    start(supervised)
    seen = supervised.call("ledger_checkpoint")["note"].encode()
    entries = supervised.entries("what:agents.born")
    assert supervised.down() == 0
    ledger = supervised.paths.ledger
    vkey = (ledger / LOG_VKEY).read_text()
    report = verify_directory(ledger, vkey, seen, [supervised.key.public_line])
    assert (report.exit_code, report.tail) == (0, "checked"), report.lines()
    assert report.signed == report.size

    file = ledger / "entries"
    whole = file.read_bytes()
    for told in (entries[0]["facts"]["root"], entries[0]["facts"]["parent_signature"]):
        file.write_bytes(whole.replace(told.encode(), told[::-1].encode()))
        assert verify_directory(ledger, vkey, seen, [supervised.key.public_line]).exit_code == 1


def test_each_false_birth_is_named_by_whoever_follows_the_entries(supervised: Supervised) -> None:
    """The same entries without the hash tree around them: what is false about one is found by what it says."""
    start(supervised)
    entries = [decode_leaf(row["entry"]) for row in rows(supervised)]
    told = [entry for entry in entries if entry.kind in ("incarnation.begun", "agents.born", "agent.born")]
    follow(told)
    batch = next(entry for entry in told if entry.kind == "agents.born")
    member = next(entry for entry in told if "path" in entry.facts)
    other = bytes(32)
    lies = {
        "another place": (
            member,
            {"facts": member.facts | {"position": 1 - int(str(member.facts["position"]))}},
        ),
        "another agent": (member, {"agent": other}),
        "another intent": (batch, {"intent": other}),
        "another count": (batch, {"facts": batch.facts | {"count": 601}}),
        "another signature": (batch, {"facts": batch.facts | {"parent_signature": bytes(64).hex()}}),
        "no statement": (batch, {"facts": {k: v for k, v in batch.facts.items() if k != "statement"}}),
        "another behaviour": (member, {"facts": member.facts | {"behaviour": "broods.Root"}}),
    }
    for what, (entry, change) in lies.items():
        altered = [replace(one, **change) if one is entry else one for one in told]  # type: ignore[arg-type]
        assert altered != told, what
        with pytest.raises(QueenrightError):
            follow(altered)
    for gone in ("incarnation.begun", "agents.born"):
        with pytest.raises(QueenrightError):
            follow([entry for entry in told if entry.kind != gone])
    with pytest.raises(QueenrightError):
        follow([*told, batch])


def rows(supervised: Supervised) -> list[Any]:
    found: list[Any] = supervised.call("ledger", newest=False, limit=500)["rows"]
    return found


def follow(entries: list[Entry]) -> None:
    births = Births()
    for index, entry in enumerate(entries):
        births.check(index, entry)
