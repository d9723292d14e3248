"""The operators document: versions in a row, each signed by an owner of the one before; nobody beyond their own row."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authority_world import KEYS, RUNTIME, operators, person, sign

from queenright.authority.operators import Operators, Person, Right
from queenright.core import canonical, decode
from queenright.errors import Conflict, InvalidSignature, Malformed, NotEntitled, Unknown

RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC6 x"


def signed(document: Operators, name: str = "ana") -> tuple[bytes, str]:
    data = document.encode()
    return data, sign(name, "operators", data)


def test_first_version_is_signed_by_a_pinned_key() -> None:
    first = operators()
    data, signature = signed(first)
    pinned = [KEYS["ana"].public_line]
    assert Operators.first(data, signature, pinned, RUNTIME) == first
    with pytest.raises(InvalidSignature):
        Operators.first(data, signature, [KEYS["ben"].public_line], RUNTIME)
    with pytest.raises(InvalidSignature):
        Operators.first(*signed(first, "ben"), pinned, RUNTIME)
    with pytest.raises(InvalidSignature):
        Operators.first(data, sign("ana", "intent", data), pinned, RUNTIME)
    with pytest.raises(NotEntitled):
        Operators.first(data, signature, pinned, bytes(32))
    with pytest.raises(Conflict):
        Operators.first(*signed(replace(first, version=2)), pinned, RUNTIME)


def test_versions_follow_one_another_and_an_older_or_forked_one_is_refused() -> None:
    first = operators()
    second = first.edited(1, people=(*first.people[:2],))
    assert first.succeed(*signed(second)) == second
    third = second.edited(2, owners=(KEYS["ben"].public_line,))
    assert second.succeed(*signed(third)) == third
    for old, document, name in (
        (second, second, "ana"),
        (second, first, "ana"),
        (first, third, "ana"),
        (third, replace(third, version=4), "ben"),
    ):
        with pytest.raises(Conflict):
            old.succeed(*signed(document, name))
    fourth = third.edited(3)
    with pytest.raises(InvalidSignature):  # ana is no owner any more
        third.succeed(*signed(fourth, "ana"))
    third.succeed(*signed(fourth, "ben"))
    with pytest.raises(Malformed):
        third.succeed(fourth.encode(), "")


def test_document_that_contradicts_itself_is_refused() -> None:
    good = operators()
    ana, ben = good.people[:2]
    for wrong in (
        replace(good, people=(ana, replace(ben, name="ana"))),
        replace(good, people=(ana, replace(ben, keys=ana.keys))),
        replace(good, people=(ben,)),
        replace(good, owners=()),
        replace(good, people=(ana, replace(ben, name="@ben"))),
        replace(good, people=(ana, replace(ben, name="Ben"))),
        replace(good, people=(ana, replace(ben, keys=()))),
        replace(good, people=(ana, replace(ben, keys=(RSA,)))),
        replace(good, people=(ana, replace(ben, groups=("@x",)))),
        replace(good, people=(ana, replace(ben, intents=(Right((), "**"),)))),
        replace(good, people=(ana, replace(ben, intents=(Right(("x",), "**"),)))),
        replace(good, version=0),
    ):
        with pytest.raises(Malformed):
            Operators.decode(wrong.encode())
    body = decode(good.encode())
    body["people"][0]["admin"] = True
    with pytest.raises(Malformed):
        Operators.decode(canonical(body))


def test_rights_cover_patterns_whole() -> None:
    row = Person("x", (), approvals=(Right(("db.*",), "pg:payments/*"),))
    assert row.may("approvals", "db.write", "pg:payments/main")
    assert row.may("approvals", "db.*", "pg:payments/*")
    for verb, resource in (
        ("db.write", "pg:payments/**"),
        ("*", "pg:payments/main"),
        ("svc.x", "pg:payments/main"),
    ):
        assert not row.may("approvals", verb, resource)
    assert not row.may("undo", "db.write", "pg:payments/main")


def test_holder_and_signer_are_found_by_key() -> None:
    found = operators(person("ana"), person("ben", not_after=10))
    fingerprint = KEYS["ben"].fingerprint
    assert found.holder(fingerprint, 9).person.name == "ben"
    with pytest.raises(NotEntitled):
        found.holder(fingerprint, 10)
    with pytest.raises(NotEntitled):
        found.holder(KEYS["cleo"].fingerprint, 0)
    signer = found.signer(
        "order@queenright.v1", b"message", KEYS["ana"].sign("order@queenright.v1", b"message"), 0
    )
    assert (signer.person.name, signer.owner, signer.touched) == ("ana", True, False)
    with pytest.raises(Unknown):
        found.person("zoe")


def test_removed_keys_are_those_of_nobody_any_more() -> None:
    before = operators()
    after = operators(
        person("ana"), replace(person("cleo"), keys=(KEYS["cleo"].public_line, KEYS["ben"].public_line))
    )
    assert before.removed_keys(after) == frozenset({KEYS["dan"].fingerprint})
