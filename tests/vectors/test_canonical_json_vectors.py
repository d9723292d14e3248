"""RFC 8785: the examples of its text that hold no fraction, and the rules we take from it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.errors import Malformed
from queenright.ledger import canonical_json

# RFC 8785 section 3.2.3: names sorted by UTF-16 code units, so that an emoji (a surrogate pair) comes before U+FB33.
SORTING = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\U0001f600": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
}
ORDER = [
    "Carriage Return",
    "One",
    "Control",
    "Latin Small Letter O With Diaeresis",
    "Euro Sign",
    "Emoji: Grinning Face",
    "Hebrew Letter Dalet With Dagesh",
]


def test_names_sort_by_utf16_code_units() -> None:
    assert list(json.loads(canonical_json.dump(SORTING)).values()) == ORDER


def test_strings_escape_as_the_rfc_says() -> None:
    # Section 3.2.2.2 and the string of section 3.2.2.
    text = '\u20ac$\u000f\nA\'B"\\\\"/'
    assert canonical_json.dump(text) == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()
    assert (
        canonical_json.dump("\b\t\n\f\r\x00\x1f\x7f\u2028")
        == b'"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\xe2\x80\xa8"'
    )


def test_literals_and_whole_numbers() -> None:
    assert canonical_json.dump({"literals": [None, True, False]}) == b'{"literals":[null,true,false]}'
    assert (
        canonical_json.dump([0, -1, 2**53 - 1, -(2**53) + 1]) == b"[0,-1,9007199254740991,-9007199254740991]"
    )


def test_structures_of_the_reference_suite() -> None:
    # cyberphone/json-canonicalization, testdata: arrays and structures (those without fractions).
    assert canonical_json.dump([56, {"d": True, "10": None, "1": []}]) == b'[56,{"1":[],"10":null,"d":true}]'
    value = {"1": {"f": {"f": "hi", "F": 5}, "\n": 56}, "10": {}, "": "empty", "a": {}, "111": [], "A": {}}
    expected = b'{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[],"A":{},"a":{}}'
    assert canonical_json.dump(value) == expected


@pytest.mark.parametrize("value", [1.0, float("nan"), 2**53, b"x", {1: 2}, "\ud800", {"\ud800": 1}, {1, 2}])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        canonical_json.dump(value)


@pytest.mark.parametrize(
    "data",
    [
        b"1.0",
        b"1e2",
        b"NaN",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b"[1, 2]",
        b'"\\u0041"',
        b'"\\/"',
        b"-0",
        b"01",
    ],
)
def test_any_other_form_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        canonical_json.load(data)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_a_value_has_one_form_and_reads_back(value: object) -> None:
    try:
        data = canonical_json.dump(value)
    except Malformed:
        return  # nested too deep
    assert canonical_json.load(data) == value
    assert json.loads(data) == value
    assert canonical_json.dump(json.loads(data)) == data


@given(st.binary(max_size=60))
def test_random_bytes_load_only_if_they_are_the_one_form(data: bytes) -> None:
    try:
        value = canonical_json.load(data)
    except Malformed:
        return
    assert canonical_json.dump(value) == data
