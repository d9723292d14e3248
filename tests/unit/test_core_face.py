"""The Python face of the shared core: conversions, refusals, and what must have no textual form."""

from __future__ import annotations

import copy
import pickle
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright import core
from queenright.core import operator
from queenright.errors import InvalidProof, InvalidSignature, Malformed, Unknown, WrongPassphrase

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


@given(_VALUES)
def test_canonical_bytes_read_back_as_the_value(value: object) -> None:
    data = core.canonical(value)
    again = core.decode(data)
    assert again == value
    assert core.canonical(again) == data


@given(st.dictionaries(st.text(), st.none(), max_size=8), st.randoms())
def test_the_order_in_which_a_map_was_made_does_not_matter(value: dict[str, None], random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert core.canonical(dict.fromkeys(keys)) == core.canonical(value)


@given(st.binary(max_size=40))
def test_whatever_decodes_is_the_one_form(data: bytes) -> None:
    try:
        value = core.decode(data)
    except Malformed:
        return
    assert core.canonical(value) == data


def test_golden_bytes_of_a_small_document() -> None:
    value = {
        "v": 1,
        "nonce": b"\x01\x02",
        "for": ["a", -1, 300],
        "max": None,
        "rate": 0.5,
        "é": True,
        "z": (),
    }
    assert core.canonical(value).hex() == (
        "87a3666f7293a161ffcd012ca36d6178c0a56e6f6e6365c4020102a472617465cb3fe0000000000000a17601a17a90a2c3a9c3"
    )


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**64,
        -(2**63) - 1,
        {1: 2},
        {"a": {b"b": 1}},
        object(),
        {1, 2},
        bytearray(b"x"),
        "\ud800",
        {"\ud800": 1},
        1j,
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        core.canonical(value)


def test_a_list_inside_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(Malformed, match="32 containers"):
        core.canonical(value)


def test_depth_is_bounded_in_both_directions() -> None:
    value: object = None
    for _ in range(core.MAX_DEPTH):
        value = [value]
    assert core.decode(core.canonical(value)) == value
    with pytest.raises(Malformed):
        core.canonical([value])
    with pytest.raises(Malformed):
        core.decode(b"\x91" * 10_000 + b"\xc0")


def test_digests_of_different_kinds_differ() -> None:
    import hashlib

    assert core.digest("ask", b"x") == hashlib.sha256(b"queenright/ask/v1\0x").digest()
    assert core.digest("ask", b"x") != core.digest("intent", b"x")
    with pytest.raises(Malformed):
        core.digest("Ask/v1", b"x")


def test_signatures_verify_or_raise() -> None:
    key = core.SigningKey.from_seed(bytes(32))
    signature = key.sign(b"m")
    core.verify(key.public_key, b"m", signature)
    with pytest.raises(InvalidSignature):
        core.verify(key.public_key, b"n", signature)
    with pytest.raises(Malformed):
        core.verify(key.public_key[:-1], b"m", signature)
    with pytest.raises(Malformed):
        core.SigningKey.from_seed(b"short")
    good, bad = (key.public_key, b"m", signature), (key.public_key, b"x", signature)
    assert core.verify_many([good, bad, good, (b"", b"", b"")]) == [1, 3]
    assert core.verify_many([]) == []


def test_pynacl_agrees_about_signatures() -> None:
    from nacl.signing import SigningKey

    for number in range(20):
        seed = bytes([number]) * 32
        theirs, ours = SigningKey(seed), core.SigningKey.from_seed(seed)
        assert bytes(theirs.verify_key) == ours.public_key
        assert theirs.sign(b"message").signature == ours.sign(b"message")


def test_private_keys_have_no_form_outside_the_core() -> None:
    seed = b"\x5a" * 32
    keys = [core.SigningKey.from_seed(seed), operator.OperatorKey.generate(seed, "ana")]
    for key in keys:
        assert "5a5a" not in repr(key).lower()
        for escape in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                escape(key)
        with pytest.raises(TypeError):
            type("Sub", (type(key),), {})
        assert not hasattr(key, "__dict__")


def test_merkle_trees_prove_and_refuse() -> None:
    leaves = [core.leaf_hash(bytes([number])) for number in range(7)]
    tree = core.MerkleTree()
    assert [tree.append(leaf) for leaf in leaves] == list(range(7))
    assert tree.root() == core.merkle_root(leaves) == tree.root(7)
    assert core.merkle_root(leaves[:2]) == core.node_hash(leaves[0], leaves[1])
    proof = tree.inclusion(3, 7)
    core.verify_inclusion(3, 7, leaves[3], proof, tree.root())
    with pytest.raises(InvalidProof):
        core.verify_inclusion(2, 7, leaves[3], proof, tree.root())
    with pytest.raises(InvalidProof):
        core.verify_inclusion(3, 7, leaves[3], proof[:-1], tree.root())
    with pytest.raises(Malformed):
        core.verify_inclusion(3, 7, b"short", proof, tree.root())
    core.verify_consistency(3, 7, tree.root(3), tree.root(), tree.consistency(3, 7))
    with pytest.raises(InvalidProof):
        core.verify_consistency(3, 7, tree.root(4), tree.root(), tree.consistency(3, 7))
    with pytest.raises(Unknown):
        tree.root(8)


def test_a_passphrase_opens_its_file_and_no_other() -> None:
    key = operator.OperatorKey.generate(b"\x01" * 32, "ana@ops")
    sealed = key.to_openssh(b"correct horse", b"s" * operator.SALT_LENGTH).encode()
    assert operator.needs_passphrase(sealed)
    assert operator.OperatorKey.open(sealed, b"correct horse").public_line == key.public_line
    for wrong in (b"wrong", None):
        with pytest.raises(WrongPassphrase):
            operator.OperatorKey.open(sealed, wrong)
    with pytest.raises(Malformed):
        key.to_openssh(b"passphrase without salt")
    with pytest.raises(Malformed):
        key.to_openssh(None, b"s" * operator.SALT_LENGTH)


def test_sanitising_never_raises_over_what_is_in_the_text() -> None:
    assert core.sanitize("\x1b[31m", 80) == "␛[31m"
    assert "\ufffd" in core.sanitize("a\udcffb", 80)
    assert core.sanitize("a\nb", 80, newlines=True) == "a\nb"
    assert core.sanitize_name("sh\u043ep", 80) == "sh\\u{43e}p"
    with pytest.raises(Malformed):
        core.sanitize("x", 0)


@given(st.text(st.characters(), max_size=80), st.integers(1, 60), st.booleans())
def test_sanitised_text_is_printable_and_stays_as_it_is(text: str, limit: int, newlines: bool) -> None:
    out = core.sanitize(text, limit, newlines=newlines)
    # Not `isprintable`: Python's Unicode tables may be older than the core's, and call its newer letters unassigned.
    unseen = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
    seen = out.replace(" ", "").replace("\n", "" if newlines else "\n")
    assert not [character for character in seen if unicodedata.category(character) in unseen]
    assert core.sanitize(out, limit, newlines=newlines) == out


def test_the_view_gives_windows_of_live_rows() -> None:
    view = core.View([("name", "text"), ("mail", "int"), ("rate", "float")])
    view.upsert(b"b", ["beta", 2, 1])
    view.upsert(b"a", ["alpha", 2, 0.5], b"b")
    view.set_sort("mail", True)
    assert len(view) == view.total() == 2
    assert view.window(0, 10) == [
        (b"b", 0, False, False, ["beta", 2, 1.0]),
        (b"a", 0, False, False, ["alpha", 2, 0.5]),
    ]
    view.set_tree(True)
    assert [line[:4] for line in view.window(0, 10)] == [(b"b", 0, True, True), (b"a", 1, False, False)]
    view.set_filter("name:ALPHA rate:<1")
    view.set_tree(False)
    assert view.index_of(b"a") == 0
    assert view.index_of(b"b") is None
    view.remove(b"a")
    assert len(view) == 0


@pytest.mark.parametrize(
    "values",
    [
        ["x", 1],
        ["x", 1, 1.0, 2],
        [b"x", 1, 1.0],
        ["x", 1.0, 1.0],
        ["x", 2**63, 1.0],
        ["x", 1, "1"],
        [None, 1, 1.0],
    ],
)
def test_the_view_refuses_values_of_another_type(values: list[object]) -> None:
    view = core.View([("name", "text"), ("mail", "int"), ("rate", "float")])
    with pytest.raises(Malformed):
        view.upsert(b"r", values)  # type: ignore[arg-type]
    assert view.total() == 0


def test_the_view_refuses_what_it_does_not_know() -> None:
    view = core.View([("name", "text")])
    view.upsert(b"r", ["x"])
    for use in (lambda: view.remove(b"q"), lambda: view.toggle(b"q"), lambda: view.set_sort("colour", False)):
        with pytest.raises(Unknown):
            use()
    view.set_filter("x")
    with pytest.raises(Malformed):
        view.set_filter("name:>3")
    assert len(view) == 1, "a filter that was refused changes nothing"
    with pytest.raises(Malformed):
        core.View([("name", "colour")])


def test_signatures_are_checked_without_the_interpreter_lock() -> None:
    key = core.SigningKey.from_seed(bytes(32))
    items = [(key.public_key, b"m", key.sign(b"m"))] * 500
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(core.verify_many(items))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [[]] * 4


def test_every_name_of_the_core_is_listed() -> None:
    for module in (core, operator):
        for name in module.__all__:
            assert hasattr(module, name)
