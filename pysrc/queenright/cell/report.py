"""What went wrong in a turn, as bounded text. The last line names the exception; a mismatch is named in the first."""

from __future__ import annotations

from queenright.errors import QueenrightError, StepMismatch

__all__ = ["MAX_TEXT", "describe"]

MAX_TEXT = 4000


def describe(error: BaseException, mismatch: StepMismatch | None = None) -> str:
    """A traceback of at most MAX_TEXT characters, or "mismatch: …" whatever the behaviour made of that refusal."""
    if mismatch is not None:
        return f"mismatch: {mismatch.message}"[:MAX_TEXT]
    import traceback  # costs milliseconds and most cells never need it

    try:
        lines = traceback.format_exception(error, limit=-12)
        text = "".join(lines).rstrip()
    except Exception:  # an exception whose own text raises
        text = f"{type(error).__name__} (its text cannot be shown)"
    if isinstance(error, QueenrightError) and error.hint:
        head, _, last = text.rpartition("\n")
        text = f"{head}\n{last} ({error.hint})" if head else f"{text} ({error.hint})"
    return text if len(text) <= MAX_TEXT else "…" + text[1 - MAX_TEXT :]
