"""Digests that a re-run is matched by, refusals on the wire, the shared page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from queenright.core import canonical
from queenright.errors import (
    Denied,
    Dimension,
    MailboxFull,
    Malformed,
    Parked,
    QueenrightError,
    TimedOut,
    Unknown,
)
from queenright.wire.certificate import Birth
from queenright.wire.page import PAGE_BYTES, read
from queenright.wire.refusal import decode_refusal, encode_refusal
from queenright.wire.step import op_digest, step_digest

BIRTH = Birth(
    runtime=b"r" * 32, intent=b"i" * 32, parent=b"p" * 32, name="a/b", behaviour="pkg.B", package=b"k" * 32,
    grant=b"g" * 32, args=b"a" * 32, born_ms=5, nonce=b"n" * 16,
)  # fmt: skip


def spawn(birth: Birth, signature: bytes = b"s" * 64) -> bytes:
    request = {"certificate": birth.encode(), "signature": signature, "grant": {}, "args": b"x"}
    return step_digest("spawn", canonical(request))


@pytest.mark.parametrize("change", [{"born_ms": 6}, {"nonce": b"m" * 16}])
def test_a_birth_proposed_again_matches_whatever_its_time_nonce_and_key(change: dict[str, Any]) -> None:
    assert spawn(replace(BIRTH, **change), b"t" * 64) == spawn(BIRTH)


@pytest.mark.parametrize("name", ["name", "behaviour", "package", "grant", "args"])
def test_a_birth_of_another_child_does_not_match(name: str) -> None:
    value = getattr(BIRTH, name)
    other = value + "x" if isinstance(value, str) else value[:-1] + b"!"
    assert spawn(replace(BIRTH, **{name: other})) != spawn(BIRTH)


def test_a_message_matches_sealed_or_plain_and_only_with_its_receiver_type_and_text() -> None:
    plain = {"op": "send", "to": b"t" * 32, "type": "a.B", "volatile": False, "body": b"x", "sealed": None,
             "plain_digest": b"d" * 32}  # fmt: skip
    sealed = plain | {"body": None, "sealed": {"ct": b"random", "salted": b"s" * 32}}
    assert op_digest(plain) == op_digest(sealed)
    for change in ({"to": b"u" * 32}, {"type": "a.C"}, {"plain_digest": b"e" * 32}, {"volatile": True}):
        assert op_digest(plain | change) != op_digest(plain)
    call = {
        "to": b"t" * 32,
        "type": "a.B",
        "body": b"x",
        "sealed": None,
        "plain_digest": b"d" * 32,
        "timeout_ms": 5,
    }
    again = call | {"body": None, "sealed": {"ct": b"other"}}
    assert step_digest("call", canonical(call)) == step_digest("call", canonical(again))
    assert step_digest("call", canonical(call | {"timeout_ms": 6})) != step_digest("call", canonical(call))


def test_what_run_computed_is_no_part_of_its_digest_but_its_name_is() -> None:
    one = step_digest("run", canonical({"name": "a", "ok": True, "value": b"1"}))
    assert step_digest("run", canonical({"name": "a"})) == one
    assert step_digest("run", canonical({"name": "b"})) != one


def test_every_other_request_counts_whole() -> None:
    act = {"verb": "a.b", "resource": "svc:x", "args": {"n": 1}, "reason": "why"}
    for name, value in (("verb", "a.c"), ("resource", "svc:y"), ("args", {"n": 2}), ("reason", "")):
        assert step_digest("act", canonical(act | {name: value})) != step_digest("act", canonical(act))
    assert step_digest("act", canonical(act)) != step_digest("other", canonical(act))


@pytest.mark.parametrize("request_bytes", [b"", b"\xc1", canonical([1])])
def test_a_request_that_is_no_map_is_malformed(request_bytes: bytes) -> None:
    with pytest.raises(Malformed):
        step_digest("act", request_bytes)


DENIED = Denied(
    "no", verb="a.b", resource="svc:x", dimensions=(Dimension("scope", "intent", "no rule"),), reason="r", amendment="m",
    hint="h",
)  # fmt: skip


@pytest.mark.parametrize(
    "error", [DENIED, Parked("p", ask="ask-1"), TimedOut("t", hint="later"), Unknown("u"), MailboxFull("f")]
)
def test_a_refusal_comes_back_as_the_exception_it_was(error: QueenrightError) -> None:
    canonical(encode_refusal(error))
    found = decode_refusal(encode_refusal(error))
    assert type(found) is type(error)
    assert (found.message, found.hint, found.code) == (error.message, error.hint, error.code)
    if isinstance(error, Denied):
        assert isinstance(found, Denied)
        assert (found.verb, found.dimensions, found.amendment) == (
            error.verb,
            error.dimensions,
            error.amendment,
        )
    if isinstance(error, Parked):
        assert isinstance(found, Parked)
        assert found.ask == "ask-1"


def test_an_error_that_is_no_refusal_says_only_its_kind() -> None:
    sent = encode_refusal(ValueError("the token is hunter2"))
    assert "hunter2" not in str(sent)
    assert "ValueError" in sent["message"]


@pytest.mark.parametrize(
    "error",
    [None, {}, {"code": 5}, {"code": "no_such_code", "message": "m", "facts": None},
     {"code": "denied", "message": "m", "facts": {"verb": 5, "dimensions": [1, ["a"], ["a", "b", 5]]}},
     {"code": "parked", "message": "m", "facts": {"ask": []}}, {"code": "ledger_broken", "message": "m"}],
)  # fmt: skip
def test_a_refusal_of_any_shape_becomes_some_refusal(error: Any) -> None:
    found = decode_refusal(error)
    assert isinstance(found, QueenrightError)
    if error and error.get("code") in ("no_such_code", "ledger_broken"):
        assert found.code == error["code"]


def test_an_empty_page_names_nobody() -> None:
    assert read(bytearray(PAGE_BYTES)) is None
