"""Signed documents: no flipped bit verifies, no verdict releases another act, no narrowing widens."""

from __future__ import annotations

import tempfile
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from authority_world import HEAD, PACKAGES, RULES, RUNTIME, World, bytes_source, operators, sign
from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.authority.ask import Ask
from queenright.authority.document import APPROVE, INTENT, ORDER
from queenright.authority.intent import Intent
from queenright.authority.intent_toml import IntentMalformed, parse_intent
from queenright.authority.order import Order
from queenright.authority.toml_place import places
from queenright.authority.verdict import Verdict, is_narrower, make_verdict
from queenright.core import canonical
from queenright.errors import InvalidSignature, Malformed, StaleVerdict

INTENT_BYTES = (
    parse_intent(HEAD + RULES)
    .compile(runtime=RUNTIME, packages=PACKAGES, now_ms=1_800_000_000_000, rand=bytes_source())
    .encode()
)
ASK = Ask(
    RUNTIME, b"i" * 32, 1, b"a" * 32, b"c" * 32, "db.session.kill", b"m" * 32, "pg:payments/main",
    {"sessions": [1, 2, 3], "grace": 5}, {"started": "08:00"}, b"p" * 32, b"u" * 32, b"", b"y" * 32, "CRITICAL",
    1_800_000_600_000, 1_800_001_500_000, b"n" * 16,
)  # fmt: skip
VERDICT_BYTES = make_verdict(RUNTIME, [(ASK.encode(), "why")], "once", rand=bytes_source()).encode()
ORDER_BYTES = Order.make(RUNTIME, "undo", b"t" * 32, b"p" * 32, 1_800_000_060_000, bytes_source()).encode()
DOCUMENTS = {
    "intent": (INTENT_BYTES, INTENT, Intent.decode),
    "approve": (VERDICT_BYTES, APPROVE, Verdict.decode),
    "order": (ORDER_BYTES, ORDER, Order.decode),
}


@cache
def signature(kind: str) -> str:
    return sign("ben", kind, DOCUMENTS[kind][0])


def flip(data: bytes, bit: int) -> bytes:
    at = bit % (len(data) * 8)
    return data[: at // 8] + bytes([data[at // 8] ^ (1 << at % 8)]) + data[at // 8 + 1 :]


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
@settings(max_examples=150, deadline=None)
@given(bit=st.integers(0, 2**20))
def test_no_flipped_bit_of_a_signed_document_verifies(kind: str, bit: int) -> None:
    data, namespace, read = DOCUMENTS[kind]
    assert operators().signer(namespace, data, signature(kind), 0).person.name == "ben"
    assert read(data).encode() == data
    with pytest.raises(InvalidSignature):
        operators().signer(namespace, flip(data, bit), signature(kind), 0)


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
@settings(max_examples=150, deadline=None)
@given(bit=st.integers(0, 2**20))
def test_flipped_bytes_are_malformed_or_say_something_else(kind: str, bit: int) -> None:
    data, _, read = DOCUMENTS[kind]
    changed = flip(data, bit)
    try:
        found = read(changed)
    except Malformed:
        return
    assert found.encode() == changed
    assert found != read(data)


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
def test_a_signature_holds_for_its_own_kind_of_document_only(kind: str) -> None:
    data = DOCUMENTS[kind][0]
    for other in DOCUMENTS.keys() - {kind}:
        with pytest.raises(InvalidSignature):
            operators().signer(DOCUMENTS[other][1], data, signature(kind), 0)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_bytes_from_nowhere_are_malformed(data: bytes) -> None:
    for _, _, read in DOCUMENTS.values():
        with pytest.raises(Malformed):
            read(data)


@settings(max_examples=200, deadline=None)
@given(bit=st.integers(0, 2**20))
def test_verdict_for_one_ask_answers_no_other(bit: int) -> None:
    """E1: any bit of the ask's bytes, materialised arguments, resource and policy revision among them."""
    verdict = Verdict.decode(VERDICT_BYTES)
    now = 1_800_000_000_000
    assert verdict.faults([(ASK, ASK.hash, "why")], now) == ()
    try:
        other = Ask.decode(flip(ASK.encode(), bit))
    except Malformed:
        return
    assert verdict.faults([(other, other.hash, "why")], now)


@settings(max_examples=50, deadline=None)
@given(
    root=st.binary(min_size=32, max_size=32), asks=st.lists(st.binary(min_size=32, max_size=32), max_size=3)
)
def test_verdict_whose_root_is_not_that_of_its_asks_is_malformed(root: bytes, asks: list[bytes]) -> None:
    verdict = Verdict.decode(VERDICT_BYTES)
    for wrong in (replace(verdict, root=root), replace(verdict, asks=(*verdict.asks, *asks, *asks))):
        if wrong != verdict:
            with pytest.raises(Malformed):
                Verdict.decode(wrong.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
ARGS = st.dictionaries(st.sampled_from(["a", "b", "sessions"]), VALUES, max_size=3)


def leaves_out(asked: Any, given: Any) -> bool:
    """The plain meaning: equal, or a list from which items were taken without reordering what stays."""
    if canonical(asked) == canonical(given):
        return True
    if not isinstance(asked, list) or not isinstance(given, list) or not given:
        return False
    subsets = [[]]
    for item in asked:
        subsets += [[*subset, item] for subset in subsets]
    return canonical(given) in {canonical(subset) for subset in subsets}


@settings(max_examples=400, deadline=None)
@given(asked=ARGS, other=ARGS, keep=st.data())
def test_narrower_is_the_same_with_items_left_out_and_nothing_else(asked: Any, other: Any, keep: Any) -> None:
    """E5, both ways round."""
    fewer = {
        key: [item for item in value if keep.draw(st.booleans())] if isinstance(value, list) else value
        for key, value in asked.items()
    }
    for given_args in (other, fewer):
        expected = (
            asked.keys() == given_args.keys()
            and canonical(asked) != canonical(given_args)
            and all(leaves_out(asked[key], given_args[key]) for key in asked)
        )
        assert is_narrower(asked, given_args) == expected


@pytest.fixture(scope="module")
def world() -> Any:
    with tempfile.TemporaryDirectory() as directory:
        yield World(Path(directory))


@settings(max_examples=60, deadline=None)
@given(changes=st.dictionaries(
    st.sampled_from(["args", "resource", "manifest", "precondition", "plan", "undo", "policy", "verb"]),
    st.integers(0, 3), max_size=4,
))  # fmt: skip
def test_any_change_of_the_act_since_the_approval_is_named_and_voids_it(
    world: World, changes: dict[str, int]
) -> None:
    standing = next(iter(world.intents), None) or world.apply()
    head = next((one for one in world.asks if one.state == "approved"), None)
    if head is None:
        head, change = world.asks.open(world.wish(), standing)
        world.store.commit(change)
        world.decide(make_verdict(RUNTIME, [world.asks.document(head.id)], "once", rand=world.rand))
    wish, facts = world.wish(), {}
    for name, number in changes.items():
        if name in ("args", "precondition"):
            facts[name] = {"changed": number}
        elif name in ("resource", "verb"):
            facts[name] = ("pg:payments/%d" if name == "resource" else "db.v%d") % number
        else:
            facts[name] = bytes([number]) * 32
    present = world.present(standing, replace(wish, **facts))
    if not changes:
        assert world.asks.spend(head.id, present).args == wish.args
        return
    with pytest.raises(StaleVerdict):
        world.asks.spend(head.id, present)


TOML_PIECES = st.sampled_from(
    ["[intent]", "[[allow]]", "[run]", "purpose = 'x'", 'do = ["a.b"]', 'on = "svc:x"', "max = 3", "max = -1", "for = '2h'",
     "# [x]", "args = { a = [1, { b = '}' }] }", 'x."y z" = """\n[q]\n"""', "[a.b]", "start = 'a.B'", "packages = ['a']"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(TOML_PIECES, max_size=14))
def test_any_text_is_a_draft_or_problems_inside_the_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        parse_intent(text)
    except IntentMalformed as error:
        rows = text.split("\n")
        for problem in error.problems:
            assert 1 <= problem.line <= len(rows) + 1
            assert 1 <= problem.column <= len([*rows, ""][problem.line - 1]) + 1


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(TOML_PIECES, max_size=14))
def test_every_key_of_a_valid_text_has_its_place(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = places(text)

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*path, key))
        elif (
            isinstance(value, list)
            and value
            and isinstance(value[0], dict)
            and path in {p[:-1] for p in found}
        ):
            for index, inner in enumerate(value):
                walk(inner, (*path, index))
        else:
            assert path in found, (path, found)

    walk(tree, ())


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_hostile_text_is_refused_with_problems(text: str) -> None:
    with pytest.raises(IntentMalformed):
        parse_intent(text)
