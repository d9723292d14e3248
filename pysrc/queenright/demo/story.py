"""`queenright demo`: a shop, a fault, a swarm that heals it, a person who decides, and a record that holds.

Whether a fault hurt and whether it is healed is measured by the load generator; what was done is read from the ledger;
the table at the end is judged against what was promised, and only a table without a fault of its own exits 0.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

from queenright.demo.demo import FAILED, OK, Demo, Stopped
from queenright.demo.table import PROMISED, as_data, problems, render
from queenright.demo.tell import Tell
from queenright.errors import QueenrightError, SandboxRefused

__all__ = ["FAULTS", "STORY", "Options", "run"]

FAULTS = tuple(PROMISED)
STORY = ("bad-release", "stuck-sessions")
LACKS_FEATURE = 6


@dataclass(frozen=True, slots=True)
class Options:
    """`fault`: one of FAULTS; None: the STORY. `scripted`: a process answers, no person. `keep`: leave the directory."""

    fault: str | None = None
    scripted: bool = False
    as_json: bool = False
    keep: bool = False


def run(options: Options, *, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Play the demo; its exit code. When this returns, all that it started has ended and its directory is gone."""
    out, err = out or sys.stdout, err or sys.stderr
    told = err if options.as_json else out
    person = not options.scripted and not options.as_json and sys.stdin.isatty() and out.isatty()
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix="qr-demo-")))
    tell = Tell(lambda text: (told.write(text), told.flush()))
    demo = Demo(root, tell, scripted=not person)
    faults = [options.fault] if options.fault else list(STORY)
    code = FAILED
    try:
        with _signals(_interrupt):
            demo.set_up()
            code = _with_person(demo, faults) if person else demo.play(faults)
    except (KeyboardInterrupt, Stopped):
        tell.text("stopped: everything is being ended")
    except QueenrightError as error:
        code = LACKS_FEATURE if isinstance(error, SandboxRefused) else FAILED
        tell.text(f"queenright: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    finally:
        with _signals(signal.SIG_IGN):  # a second Ctrl-C must not leave half of it behind
            left = demo.end()
            if options.keep:
                tell.text(f"kept: {root}")
            else:
                shutil.rmtree(root, ignore_errors=True)
    if demo.closing is None:
        return code
    demo.closing.left_running = len(left)
    broken = problems(demo.rows, demo.closing)
    if options.as_json:
        out.write(json.dumps(as_data(demo.rows, demo.closing), indent=1) + "\n")
    else:
        out.write("\n" + render(demo.rows, demo.closing) + "\n")
        for problem in broken if code == OK else []:
            out.write(f"not as promised: {problem}\n")
    out.flush()
    return FAILED if code == OK and broken else code


def _with_person(demo: Demo, faults: list[str]) -> int:
    from queenright.demo.person import play_with_person  # the terminal's libraries load only for a terminal

    return play_with_person(demo, faults)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal are one thing: the demo ends, with everything put away."""
    before = {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
