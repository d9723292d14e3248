"""A question's outcome as text: medians with min and max, the ratio ours/peer, and the bar beside it."""

from __future__ import annotations

from statistics import median

from bench.question import FULL, Bar, Measure
from bench.run import Outcome

__all__ = ["number", "table"]


def number(value: float) -> str:
    """Three figures, as people read rates and microseconds."""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.3g} M"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g} k"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(outcome: Outcome) -> str:
    """Several lines, ending without a newline."""
    question = outcome.question
    sizes = ", ".join(f"{name} {value}" for name, value in question.sizes[outcome.mode].items())
    lines = [f"{question.id} {question.title} ({outcome.mode}: {sizes}; {outcome.repetitions} runs each)"]
    for measure in question.measures:
        rows = _rows(outcome, measure)
        if len(rows) > 1:
            widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
            lines += [
                "  " + "  ".join(cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows
            ]  # fmt: skip
    lines += [f"  {name}: not here ({how})" for name, how in outcome.missing.items()]
    if outcome.skipped:
        lines.append(f"  left out of a {outcome.mode} run: {', '.join(outcome.skipped)}")
    lines += [f"  {name}: FAILED ({why})" for name, why in outcome.failed.items()]
    lines += [f"  bar: {_bar(outcome, bar)}" for bar in question.bars]
    if question.notes:
        lines.append(f"  {question.notes}")
    return "\n".join(lines)


def _rows(outcome: Outcome, measure: Measure) -> list[tuple[str, ...]]:
    ours = outcome.samples.get(outcome.question.rivals[0].label, {}).get(measure.key)
    rows: list[tuple[str, ...]] = [(measure.title, "median", "min", "max", "ours/peer")]
    for name, samples in outcome.samples.items():
        values = samples.get(measure.key)
        if not values:
            continue
        middle = median(values)
        first = name == outcome.question.rivals[0].label
        ratio = "" if first or not ours or not middle else f"{median(ours) / middle:.3g}"
        part = next(rival.part for rival in outcome.question.rivals if rival.label == name)
        star = f" (1/{part} of the messages)" if part > 1 and outcome.mode == FULL else ""
        rows.append((name + star, number(middle), number(min(values)), number(max(values)), ratio))
    return rows


def _bar(outcome: Outcome, bar: Bar) -> str:
    """The bar and whether this run meets it."""
    key = next(measure for measure in outcome.question.measures if measure.key == bar.measure)
    words = "at least" if bar.at_least else "at most"
    aim = f" (aim {bar.aim:g})" if bar.aim is not None else ""
    against = f" x {bar.peer}" if bar.peer is not None else ""
    text = f"{key.title} {words} {bar.factor:g}{against}{aim}"
    ours = outcome.samples.get(bar.ours, {}).get(bar.measure)
    base = outcome.samples.get(bar.peer, {}).get(bar.measure) if bar.peer is not None else [1.0]
    if bar.peer is None and outcome.mode != FULL:
        return f"{text}: said of the full sizes, not judged here"
    if not ours or not base or not median(base):
        return f"{text}: not measured"
    found = median(ours) / median(base)
    met = found >= bar.factor if bar.at_least else found <= bar.factor
    return f"{text}: {number(found)}, {'met' if met else 'NOT MET'}"
