"""The entry of a cell's process: descriptor 3 is the link, 4 the page shared with the supervisor."""

from __future__ import annotations

import gc
import mmap
import os
import sys

from queenright.cell import lean  # first: see there
from queenright.cell.link import Link, LinkClosed
from queenright.cell.loader import load
from queenright.cell.output import Output
from queenright.cell.process import PackageFault, Process
from queenright.cell.watchdog import Watchdog
from queenright.clock import SystemClock
from queenright.errors import Malformed, QueenrightError
from queenright.wire.link import Frame, Start
from queenright.wire.page import PAGE_BYTES, USED

__all__ = ["BURST", "EXIT_FAULT", "EXIT_LINK", "EXIT_PROTOCOL", "main"]

LINK = 3
PAGE = 4
BURST = 128  # steps before what they sent leaves; one that something comes for on the link ends early

EXIT_LINK = 2  # the supervisor is gone
EXIT_PROTOCOL = 3  # the supervisor sent what it never sends
EXIT_FAULT = 4  # a package does not import


def _page() -> memoryview | None:
    """The shared page, if the supervisor gave one."""
    try:
        if os.fstat(PAGE).st_size < PAGE_BYTES:
            return None
    except OSError:
        return None
    return memoryview(mmap.mmap(PAGE, PAGE_BYTES))[:USED].cast("Q")


def _take(process: Process, watchdog: Watchdog, frame: Frame) -> None:
    if type(frame) is Start:
        watchdog.limit(frame.turn_ms)
    process.receive(frame)


def _refuse(code: int, text: str) -> int:
    print(f"cell: {text}", file=sys.__stderr__)
    return code


def main() -> int:
    """Serve the link until the supervisor says `shutdown` or goes away. The exit code says why."""
    clock = SystemClock()
    link = Link(LINK)
    process = Process(link.send, clock, os.urandom, lambda packages: load(packages, link.descriptors))
    scheduler = process.scheduler
    scheduler.heed(LINK)
    page = _page()
    if page is not None:
        scheduler.watch(page)

    sys.stdout = Output("stdout", process.log, scheduler.current, sys.stdout)  # type: ignore[arg-type]
    sys.stderr = Output("stderr", process.log, scheduler.current, sys.stderr)  # type: ignore[arg-type]
    watchdog = Watchdog(scheduler.progress)
    gc.freeze()  # what is imported by now stays: collections need not look at it
    process.up()
    try:
        frames = link.pump(0)
        if not frames:  # nobody's yet, in the pool
            lean.load()
        for frame in frames:
            _take(process, watchdog, frame)
        while not process.shutdown:
            rest_in = process.rest_in()
            if process.busy() and not link.clogged:
                wait_ms: int | None = 0
            else:
                watchdog.off()
                wait_ms = rest_in
            for frame in link.pump(wait_ms):
                _take(process, watchdog, frame)
            if process.busy() and not link.clogged:
                watchdog.on()
                process.run(BURST)
            if rest_in == 0:
                watchdog.on()
                process.rest()
        process.rest_all()
        link.drain()
    except LinkClosed as error:
        return _refuse(EXIT_LINK, str(error))
    except PackageFault as error:
        link.drain()
        return _refuse(EXIT_FAULT, str(error))
    except (Malformed, QueenrightError) as error:
        return _refuse(EXIT_PROTOCOL, f"{error.code}: {error.message}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
