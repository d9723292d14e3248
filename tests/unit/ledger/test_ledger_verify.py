"""An outsider with a copy and public keys sees every way of altering the record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queenright.core import SigningKey, canonical, digest
from queenright.core.operator import OperatorKey
from queenright.errors import Conflict, InvalidSignature, LedgerUnwritable, Malformed
from queenright.ledger import (
    Certificate,
    Checkpoint,
    Entry,
    Operator,
    Result,
    Signed,
    Supervisor,
    export,
    files,
    leaf,
    verify_directory,
)
from queenright.ledger.order import Order


@pytest.fixture
def copy(told: Any, tmp_path: Path) -> Path:
    export(told.ledger, told.evidence, tmp_path / "copy")
    return tmp_path / "copy"


def leaves_of(path: Path) -> list[bytes]:
    return [data for _, data in files.frames((path / "entries").read_bytes(), 10_000)]


def put(path: Path, leaves: list[bytes]) -> None:
    (path / "entries").write_bytes(b"".join(map(files.frame, leaves)))


def test_a_faithful_copy_verifies(told: Any, copy: Path) -> None:
    report = told.verify(copy, told.note())
    assert (report.exit_code, report.size, report.signed, report.tail) == (0, 10, 10, "checked")
    assert report.signatures == 3
    assert report.lines()[-1] == "verified"


def test_without_a_checkpoint_kept_elsewhere_the_tail_is_not_checked(told: Any, copy: Path) -> None:
    report = told.verify(copy, None)
    assert (report.exit_code, report.tail, report.broken) == (8, "not checked", [])
    assert "tail: not checked" in report.lines()


def test_without_the_operators_keys_their_signatures_are_not_checked(told: Any, copy: Path) -> None:
    report = verify_directory(copy, told.vkey(), told.note())
    assert report.exit_code == 8
    assert report.not_checked == [f"2 signatures: the key {told.ana.fingerprint} was not given"]


def test_a_signed_document_missing_from_the_copy_is_named(told: Any, copy: Path) -> None:
    next((copy / "evidence").iterdir()).unlink()
    report = told.verify(copy, told.note())
    assert (report.exit_code, len(report.not_checked)) == (8, 1)


def test_the_verifiers_own_inputs_are_refused_if_they_are_none(told: Any, copy: Path) -> None:
    with pytest.raises(Malformed):
        verify_directory(copy, "no key")
    with pytest.raises(Malformed):
        verify_directory(copy, told.vkey(), b"no note")
    with pytest.raises(Malformed):
        verify_directory(copy, told.vkey(), told.note(), ["ssh-rsa AAAA"])
    stranger = Checkpoint(told.ledger._origin, 1, bytes(32)).sign(SigningKey.from_seed(b"s" * 32))
    with pytest.raises(InvalidSignature):
        verify_directory(copy, told.vkey(), stranger)


def removed(leaves: list[bytes]) -> list[bytes]:
    return leaves[:4] + leaves[5:]


def reordered(leaves: list[bytes]) -> list[bytes]:
    return [*leaves[:3], leaves[4], leaves[3], *leaves[5:]]


def inserted(leaves: list[bytes]) -> list[bytes]:
    return [*leaves[:4], leaves[3], *leaves[4:]]


def edited(leaves: list[bytes]) -> list[bytes]:
    return [data.replace(b"svc:shop/web", b"svc:shop/wex") for data in leaves]


@pytest.mark.parametrize("tamper", [removed, reordered, inserted, edited])
@pytest.mark.parametrize("outside", [True, False])
def test_a_removed_reordered_inserted_or_edited_entry_is_seen(
    told: Any, copy: Path, tamper: Callable[[list[bytes]], list[bytes]], outside: bool
) -> None:
    put(copy, tamper(leaves_of(copy)))
    assert told.verify(copy, told.note() if outside else None).exit_code == 1


def test_a_cut_tail_is_seen_against_a_checkpoint_kept_elsewhere(told: Any, copy: Path) -> None:
    """Whoever holds the log key can sign the shorter log: only the second reader's copy shows it."""
    kept = leaves_of(copy)[:6]
    put(copy, kept)
    assert told.verify(copy, None).exit_code == 1, "the checkpoint beside it covers more"
    shorter = Checkpoint(told.ledger._origin, 6, told.ledger.root(6)).sign(told.log_key)
    (copy / "checkpoint").write_bytes(shorter)
    assert told.verify(copy, None).exit_code == 8, "and now only the tail is in doubt"
    report = told.verify(copy, told.note())
    assert report.exit_code == 1
    assert "the last 4 of them are missing" in str(report.broken[0])


def test_a_rewritten_history_is_seen_against_a_checkpoint_kept_elsewhere(told: Any, copy: Path) -> None:
    from queenright.core import leaf_hash, merkle_root

    leaves = edited(leaves_of(copy))
    put(copy, leaves)
    root = merkle_root([leaf_hash(data) for data in leaves])
    (copy / "checkpoint").write_bytes(Checkpoint(told.ledger._origin, len(leaves), root).sign(told.log_key))
    assert told.verify(copy, None).exit_code == 8
    assert told.verify(copy, told.note()).exit_code == 1


def test_a_checkpoint_by_a_foreign_key_is_seen(told: Any, copy: Path) -> None:
    forged = Checkpoint(told.ledger._origin, 10, told.ledger.root()).sign(SigningKey.from_seed(b"f" * 32))
    (copy / "checkpoint").write_bytes(forged)
    assert told.verify(copy, told.note()).exit_code == 1


def test_a_checkpoint_for_more_entries_than_there_are_is_seen(told: Any, copy: Path) -> None:
    (copy / "checkpoint").write_bytes(Checkpoint(told.ledger._origin, 99, bytes(32)).sign(told.log_key))
    report = told.verify(copy, told.note())
    assert report.exit_code == 1
    assert "covers 99 entries" in str(report.broken[0])


def test_entries_added_behind_the_checkpoint_are_never_called_verified(told: Any, copy: Path) -> None:
    extra = leaf.encode(Entry("agent.ended", 9_000, Supervisor(), agent=bytes(32)))
    put(copy, [*leaves_of(copy), extra])
    report = told.verify(copy, told.note())
    assert report.exit_code == 8
    assert "the last 1 entries are not under a checkpoint yet" in report.not_checked


@pytest.mark.parametrize("name", ["entries", "checkpoint"])
def test_a_missing_file_is_broken_not_an_exception(told: Any, copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert told.verify(copy, told.note()).exit_code == 1


@pytest.mark.parametrize("junk", [b"", b"\xff" * 100, b"\x00\x00\x00\x01", b"\xff\xff\xff\xff" + b"x" * 50])
def test_junk_for_entries_is_broken_not_an_exception(told: Any, copy: Path, junk: bytes) -> None:
    (copy / "entries").write_bytes(junk)
    assert told.verify(copy, told.note()).exit_code == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(["entries", "checkpoint", "evidence"]),
    at=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_one_flipped_bit_anywhere_is_seen(told: Any, copy: Path, where: str, at: float, bit: int) -> None:
    path = copy / where if where != "evidence" else sorted((copy / where).iterdir())[0]
    whole = path.read_bytes()
    place = int(at * len(whole))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    try:
        assert told.verify(copy, told.note()).exit_code == 1
    finally:
        path.write_bytes(whole)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 4_000))
def test_every_cut_is_seen(told: Any, copy: Path, cut: int) -> None:
    path = copy / "entries"
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - cut, 0)])
    try:
        assert told.verify(copy, told.note()).exit_code == 1
    finally:
        path.write_bytes(whole)


def test_an_operators_signature_that_is_not_over_the_document_is_seen(desk: Any) -> None:
    told = desk.story()
    applied = told[1]
    stranger = OperatorKey.generate(b"s" * 32, "mallory")
    document = desk.evidence.get(applied.signed.document)
    cases = [
        replace(applied.signed, signature=stranger.sign("intent@queenright.v1", document)),
        replace(applied.signed, signature=desk.ana.sign("intent@queenright.v1", document + b" ")),
        replace(applied.signed, signature=desk.ana.sign("approve@queenright.v1", document)),
        desk.signed("intent@queenright.v1", b"another document"),
    ]
    desk.commit(*(replace(applied, signed=signed) for signed in cases))
    desk.commit(replace(applied, actor=Operator("SHA256:other", "bo")))
    report = desk.verify(desk.export(), desk.note())
    assert [finding.index for finding in report.broken] == [0, 1, 2, 3, 4]


def test_a_certificate_that_no_runtime_key_of_the_ledger_signed_is_seen(desk: Any) -> None:
    started, _, born, *_ = desk.story()
    forger = SigningKey.from_seed(b"f" * 32)
    message = born.certificate.message
    desk.commit(
        started,
        born,
        replace(born, certificate=Certificate(forger.public_key, message, forger.sign(message))),
        replace(born, certificate=replace(born.certificate, message=message + b"x")),
    )
    report = desk.verify(desk.export(), desk.note())
    assert [finding.index for finding in report.broken] == [2, 3]


def test_a_true_signature_beside_a_false_entry_is_seen(desk: Any) -> None:
    """The operator did sign each document, but not for what the entry says."""
    started, applied, _, _, _, _, _, decided, *_ = desk.story()
    other_runtime = canonical({"v": 1, "kind": "intent", "runtime": bytes(32)})
    order = canonical({"v": 1, "kind": "order", "runtime": desk.runtime_key.public_key})
    desk.commit(
        started,
        replace(applied, intent=digest("intent", b"another")),
        replace(decided, ask=digest("ask", b"another")),
        replace(applied, signed=desk.signed("order@queenright.v1", order), intent=digest("intent", order)),
        replace(
            applied,
            signed=desk.signed("intent@queenright.v1", other_runtime),
            intent=digest("intent", other_runtime),
        ),
    )
    report = desk.verify(desk.export(), desk.note())
    assert [finding.index for finding in report.broken] == [1, 2, 3, 4]
    assert "runtime key" in report.broken[3].what


def test_the_owners_key_alone_checks_those_whom_the_owner_enrolled(desk: Any) -> None:
    bo = OperatorKey.generate(b"b" * 32, "bo")
    people = canonical({"v": 1, "kind": "operators", "people": [{"name": "bo", "keys": [bo.public_line]}]})
    started, applied, *_ = desk.story()
    document = desk.evidence.get(applied.signed.document)
    by_bo = Signed(
        "intent@queenright.v1",
        applied.signed.document,
        bo.fingerprint,
        bo.sign("intent@queenright.v1", document),
    )
    desk.commit(
        started,
        Entry("operators.changed", 1, desk.operator, signed=desk.signed("operators@queenright.v1", people)),
        replace(applied, actor=Operator(bo.fingerprint, "bo"), signed=by_bo),
    )
    report = desk.verify(desk.export(), desk.note())
    assert (report.exit_code, report.signatures) == (0, 2)


def test_only_a_key_that_the_verifier_brought_vouches_for_others(desk: Any) -> None:
    bo, mallory = OperatorKey.generate(b"b" * 32, "bo"), OperatorKey.generate(b"m" * 32, "mallory")

    def enrolling(who: OperatorKey, by: OperatorKey) -> Entry:
        people = canonical({"v": 1, "kind": "operators", "people": [{"keys": [who.public_line]}]})
        signed = Signed(
            "operators@queenright.v1",
            desk.evidence.put(people),
            by.fingerprint,
            by.sign("operators@queenright.v1", people),
        )
        return Entry("operators.changed", 1, Operator(by.fingerprint, "x"), signed=signed)

    applied = desk.story()[1]
    document = desk.evidence.get(applied.signed.document)
    by_mallory = replace(
        applied.signed,
        fingerprint=mallory.fingerprint,
        signature=mallory.sign("intent@queenright.v1", document),
    )
    desk.commit(
        desk.story()[0],
        enrolling(bo, desk.ana),
        enrolling(mallory, bo),
        replace(applied, actor=Operator(mallory.fingerprint, "mallory"), signed=by_mallory),
    )
    report = desk.verify(desk.export(), desk.note())
    assert report.exit_code == 8
    assert report.not_checked == [f"1 signatures: the key {mallory.fingerprint} was not given"]


def test_hostile_facts_and_documents_are_findings_not_exceptions(desk: Any) -> None:
    documents = [b"", b"\xc1", canonical([1]), canonical({"people": [1, {"keys": [1, "x"]}], "runtime": 5})]
    desk.commit(
        Entry("supervisor.started", 1, Supervisor(), facts={"runtime": "zz" * 32}),
        Entry("supervisor.started", 1, Supervisor(), facts={"runtime": 7}),
        *(
            Entry(kind, 1, desk.operator, signed=desk.signed(namespace, document))
            for document in documents
            for kind, namespace in (
                ("operators.changed", "operators@queenright.v1"),
                ("intent.amended", "intent@queenright.v1"),
                ("ask.decided", "approve@queenright.v1"),
            )
        ),
    )
    assert desk.verify(desk.export(), desk.note()).exit_code == 1


def follow(entries: list[Entry], uses: dict[bytes, int] | None = None) -> list[str]:
    order = Order(uses or {})
    return [what for entry in entries for what in order.follow(entry)]


def test_the_story_keeps_the_order(desk: Any) -> None:
    assert follow(desk.story()) == []


def test_no_action_starts_under_what_was_taken_away(desk: Any) -> None:
    story = desk.story()
    started = story[4]
    taken = [
        Entry("intent.revoked", 1, desk.operator, intent=started.intent),
        Entry("lease.ended", 1, Supervisor(), lease=started.lease),
        Entry("grant.revoked", 1, desk.operator, grant=started.grant),
        Entry("agent.ended", 1, Supervisor(), agent=started.actor.id),
    ]
    for entry in taken:
        assert len(follow([*story[:4], entry, started])) == 1, entry.kind


def test_no_action_starts_under_a_grant_below_a_revoked_one(desk: Any) -> None:
    story = desk.story()
    above = Entry("grant.revoked", 1, desk.operator, grant=story[2].actor.id)
    assert follow([*story[:4], above, story[4]]) == [
        "an action started under the grant that had ended by `grant.revoked`"
    ]


def test_an_end_needs_its_start_and_comes_once(desk: Any) -> None:
    started, done = desk.story()[4:6]
    unknown = replace(done, kind="action.unknown", result=Result("unknown"))
    assert follow([done]) == ["an action ends that never started"]
    assert follow([started, done, done]) == ["an action that was done ends again"]
    assert follow([started, started]) == ["an action that started before starts again"]
    assert follow([started, unknown, done]) == [], "a person settles what was unknown"
    assert follow([started, unknown, unknown]) == ["an action that was unknown ends again"]
    assert follow([started, replace(done, result=Result("failed"))]) == ["action.done with another result"]
    assert follow([replace(started, action=None)]) == ["action.started without an action"]


def test_an_undo_starts_and_ends_as_an_act_of_its_own(desk: Any) -> None:
    story = desk.story()
    undo = replace(story[4], actor=desk.operator, action=desk.action("undo", "svc.restart", "svc:shop/web"))
    undone = replace(undo, kind="action.undone", result=Result("done"))
    conflict = replace(undo, kind="undo.conflict", result=Result("failed", "conflict"))
    revoked = Entry("intent.revoked", 1, desk.operator, intent=undo.intent)
    for end in (undone, conflict):
        order = Order({})
        assert [what for entry in [*story, revoked, undo, end] for what in order.follow(entry)] == []
        assert order.open() == []
    assert follow([*story, undone]) == ["an action ends that never started"]


def test_a_verdict_is_used_as_often_as_it_says(desk: Any) -> None:
    story = desk.story()
    again = replace(story[8], action=desk.action("again", "db.session.kill", "db:shop/main"))
    used_up = ["an action started under a verdict that was used up (1)"]
    assert follow([*story, again], {story[8].verdict: 1}) == used_up
    assert follow([*story, again], {story[8].verdict: 2}) == []
    assert follow(story[:7] + story[8:9]) == ["an action started under a verdict that nobody gave"]
    denied = replace(story[7], facts={"answer": "deny"})
    assert follow([*story[:7], denied, story[8]]) == ["an action started under a verdict that nobody gave"]
    desk.commit(*story, again)
    report = desk.verify(desk.export(), desk.note())
    assert [finding.what for finding in report.broken] == used_up


def test_actions_without_an_end_are_listed(desk: Any) -> None:
    story = desk.story()
    unknown = replace(story[5], kind="action.unknown", result=Result("unknown"))
    desk.commit(*story[:5], unknown, *story[6:9])
    report = desk.verify(desk.export(), desk.note())
    assert report.exit_code == 0
    assert report.open_actions == [f"act-{story[8].action.id.hex()}"]
    assert report.unknown_actions == [f"act-{story[4].action.id.hex()}"]


def test_an_export_holds_no_secret_and_no_blob(told: Any, copy: Path) -> None:
    names = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith("evidence/")] == [
        "checkpoint",
        "entries",
        "log.vkey",
    ]
    assert len(names) == 5
    everything = b"".join((copy / name).read_bytes() for name in names)
    assert bytes(range(32)) not in everything


def test_an_export_never_overwrites(told: Any, copy: Path) -> None:
    with pytest.raises(Conflict):
        export(told.ledger, told.evidence, copy)


def test_an_unsigned_ledger_has_nothing_to_export(desk: Any, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnwritable):
        export(desk.ledger, desk.evidence, tmp_path / "early")
    shutil.rmtree(tmp_path / "early", ignore_errors=True)
