"""Taking a secret out of what an upstream sends back. A net, not a boundary: an upstream that disguises
it wins.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_from_bytes, quote_plus

__all__ = ["MARK", "Scrubber", "shapes_of"]

MARK = b"[secret]"


class Scrubber:
    """Replaces a value in every shape it commonly takes: plain, base64, hex, url-encoded, JSON-escaped."""

    def __init__(self, value: bytes) -> None:
        shapes = shapes_of(value)
        # Longest first: a shape that contains another must go whole.
        ordered = sorted(shapes, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(shape) for shape in ordered))
        folded = {value.hex().encode(), quote_from_bytes(value, safe="").encode()}
        self._folded = re.compile(b"|".join(re.escape(shape) for shape in folded), re.IGNORECASE)

    def clean(self, data: bytes) -> bytes:
        """`data` with every shape of the value replaced by MARK."""
        return self._folded.sub(MARK, self._pattern.sub(MARK, data))


def shapes_of(value: bytes) -> set[bytes]:
    """Every shape that `value` commonly takes; hex and percent-encoding may come in either case."""
    shapes = {value, value.hex().encode(), *_base64(value)}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {shape for shape in shapes if shape}
    for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        inner = escaped[1:-1]
        shapes |= {inner.encode(), inner.replace("/", "\\/").encode()}
    shapes |= {quote(text, safe=safe).encode() for safe in ("", "/", "/:@", "-_.~")}
    shapes |= {quote_plus(text).encode(), quote_plus(text, safe="/").encode()}
    return {shape for shape in shapes if shape}


def _base64(value: bytes) -> set[bytes]:
    """The characters of base64 that `value` alone decides, at each of the three places it can start."""
    shapes = set()
    for lead in range(3):
        encoded = base64.b64encode(bytes(lead) + value)
        # Characters that hold bits of what stands before or after the value are not its own.
        first = -(-lead * 8 // 6)
        last = (lead + len(value)) * 8 // 6
        own = encoded[first:last]
        shapes |= {own, own.translate(bytes.maketrans(b"+/", b"-_"))}
    return shapes
