"""Bytes near real ones: a seed with some edits, as a hypothesis strategy."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["near"]

EDIT = st.tuples(
    st.sampled_from(("flip", "cut", "insert", "drop", "repeat", "number")),
    st.integers(0, 2**16),
    st.integers(0, 255),
    st.binary(max_size=6),
)
# What breaks length fields, signs and texts: the edges of msgpack's widths, and characters that mean something somewhere.
EDGES = (
    b"\x00", b"\x7f", b"\x80", b"\xc0", b"\xc1", b"\xc4\xff", b"\xd9\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\xcb\x7f\xf0" + b"\0" * 6, b"\n", b'"', b"[", b"{", b"=", b"\\", b"-", b"1e9",
    b"99999999999999999999", "é".encode(), b"\xff", "\u2028".encode(),
)  # fmt: skip


def edited(data: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    for what, where, value, more in edits:
        at = where % (len(data) + 1)
        end = min(len(data), at + value % 16)
        match what:
            case "flip":
                data = (
                    data[:at] + bytes([data[at] ^ (1 << value % 8)]) + data[at + 1 :]
                    if at < len(data)
                    else data
                )
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + more + data[at:]
            case "drop":
                data = data[:at] + data[end:]
            case "repeat":
                data = data[:end] + data[at:end] * (1 + value % 3) + data[end:]
            case _:
                data = data[:at] + EDGES[value % len(EDGES)] + data[at + 1 :]
    return data


def near(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with up to six edits, or any bytes whatever."""
    mutated: Any = st.builds(edited, st.sampled_from(seeds), st.lists(EDIT, max_size=6))
    return mutated | st.binary(max_size=200)
