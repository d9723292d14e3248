"""Ids as people see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.errors import Malformed
from queenright.wire import ids


@given(st.sampled_from(ids.KINDS), st.binary(min_size=32, max_size=32))
def test_what_is_shown_reads_back(kind: str, digest: bytes) -> None:
    assert ids.parse(ids.full(kind, digest)) == (kind, digest.hex())
    shown_kind, prefix = ids.parse(ids.short(kind, digest))
    assert (shown_kind, digest.hex().startswith(prefix), len(prefix)) == (kind, True, 12)
    assert ids.parse(digest.hex()[:7]) == (None, digest.hex()[:7])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent-",
        "-12",
        "agent-XY",
        "agent_12",
        "Agent-12",
        "thing-12",
        "12 ",
        "12\n",
        "a" * 65,
        "agent-1-2",
        "ff" * 40,
    ],
)
def test_other_text_is_no_id(text: str) -> None:
    with pytest.raises(Malformed):
        ids.parse(text)
