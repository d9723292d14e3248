"""The command line that every program, and `python -m bench`, has."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bench.machine import describe
from bench.question import FULL, MODES, Question
from bench.results import RESULTS, place, write
from bench.run import REPETITIONS, ask
from bench.table import table
from bench.work import end_in_order

__all__ = ["main"]


def main(questions: list[Question], argv: list[str] | None = None) -> int:
    """Ask, print a table each, keep the figures. 1 if anybody who is here failed."""
    parser = argparse.ArgumentParser(description="How fast ours is against its peers. See bench/README.md.")
    known = ", ".join(question.id for question in questions)
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"only these of {known}")
    parser.add_argument("--mode", choices=MODES, default=FULL, help="sizes and repetitions (default: full)")
    parser.add_argument("--repetitions", type=int, help="runs of each contestant, instead of the mode's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=N", help="another size, such as agents=1000"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this contestant (and ours)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory the JSON is written to")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.ids) - {question.id for question in questions})
    if unknown:
        parser.error(f"no question `{unknown[0]}`; there are {known}")
    repetitions = REPETITIONS[args.mode] if args.repetitions is None else args.repetitions
    if repetitions < 1:
        parser.error(f"--repetitions is at least 1, not {repetitions}")
    end_in_order()
    asked = [question for question in questions if not args.ids or question.id in args.ids]
    try:
        asked = [_sized(question, args.set) for question in asked]
    except ValueError as error:
        parser.error(str(error))
    machine, outcomes = describe(), []
    path = place(machine, args.results)
    for question in asked:
        outcome = ask(_only(question, args.only), args.mode, repetitions, _say)
        print(table(outcome) + "\n", flush=True)
        outcomes.append(outcome)
        write(path, machine, outcomes)  # after each question: a long run that is ended keeps what it has
    print(
        f"{machine['cpu']}, {machine['cores']} cores, load before {machine['load_before'][0]}; kept in {path}"
    )
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _sized(question: Question, words: list[str]) -> Question:
    """With other sizes, in every mode. Raises ValueError for a name the question has not, or a value that is no number."""
    for word in words:
        name, _, value = word.partition("=")
        if name not in question.sizes[FULL]:
            raise ValueError(f"{question.id} has no size `{name}`; it has {', '.join(question.sizes[FULL])}")
        if not value.isdecimal():
            raise ValueError(f"--set {name}=N takes a whole number, not `{value}`")
        question = replace(
            question, sizes={mode: sizes | {name: int(value)} for mode, sizes in question.sizes.items()}
        )
    return question


def _only(question: Question, names: list[str]) -> Question:
    if not names:
        return question
    rivals = [rival for rival in question.rivals if rival.program.startswith("ours") or rival.label in names]
    return replace(question, rivals=tuple(rivals))


def _say(what: str) -> None:
    """Progress, on standard error: the table is what a pipe should get."""
    print(
        f"\r\033[K{what}" if sys.stderr.isatty() else what,
        file=sys.stderr,
        end="\r" if sys.stderr.isatty() else "\n",
    )
