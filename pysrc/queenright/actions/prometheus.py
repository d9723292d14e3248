"""The Prometheus text format 0.0.4, read strictly: prometheus.io/docs/instrumenting/exposition_formats."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from queenright.errors import Malformed

__all__ = ["Sample", "parse"]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_ESCAPE = re.compile(r"\\(.)")
_MAX_LINE = 16 * 1024


class Sample(NamedTuple):
    """One series at the time of the scrape."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> Iterator[Sample]:
    """Every sample of a page. Raises `Malformed` naming the line."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            try:
                yield _sample(line)
            except ValueError as bad:
                raise Malformed(f"metrics line {number}: {bad}") from None


def _sample(line: str) -> Sample:
    if len(line) > _MAX_LINE:
        raise ValueError(f"longer than {_MAX_LINE} characters")
    name = _NAME.match(line)
    if name is None:
        raise ValueError("no metric name")
    at = name.end()
    labels: dict[str, str] = {}
    if line[at : at + 1] == "{":
        at, labels = _labels(line, at + 1)
    rest = line[at:].split()
    if not 1 <= len(rest) <= 2:
        raise ValueError("not a value and perhaps a time after the name")
    return Sample(name[0], labels, _number(rest[0]))


def _labels(line: str, at: int) -> tuple[int, dict[str, str]]:
    labels: dict[str, str] = {}
    while line[at : at + 1] != "}":
        found = _LABEL.match(line, at)
        if found is None:
            raise ValueError('labels are not name="value" pairs')
        if found[1] in labels:
            raise ValueError(f"label {found[1]} twice")
        labels[found[1]] = _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], found[2])
        at = found.end()
        while line[at : at + 1] == " ":
            at += 1
    return at + 1, labels


def _number(text: str) -> float:
    # Python takes 1_000 and Infinity; the format takes neither.
    if text in ("NaN", "+Inf", "-Inf", "Inf"):
        return math.nan if text == "NaN" else math.inf if "-" not in text else -math.inf
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise ValueError(f"{text[:40]!r} is no number")
    return float(text)
