"""A service's process: which one it is beyond doubt, and ending it. Pids are reused; a start time makes
one unique.
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed
from queenright.actions.world import open_parent
from queenright.errors import Malformed, Unknown
from queenright.workspace.beneath import read_file

__all__ = ["Running", "find", "start_time", "stop"]

KILL_SECONDS = 5
"""After SIGKILL only a process stuck in the kernel is still there."""

CLOCK_SLACK = 2.0
"""Seconds: btime is whole seconds, and a pidfile may be written by the launcher just before the program
begins.
"""


@dataclass(frozen=True, slots=True)
class Running:
    """`started`: clock ticks since boot, field 22 of /proc/PID/stat (proc_pid_stat(5))."""

    pid: int
    started: int


def start_time(pid: int) -> int | None:
    """None when there is no such process, or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def find(resource: Resource, verb: str) -> Running | None:
    """The process of the resource's pidfile, or None when it does not run.

    Raises `ActionFailed` when the pidfile names a process that is not this service: whoever can write the
    file must not make us end something else.
    """
    pidfile = resource.need("pidfile", verb)
    try:
        with open_parent(pidfile) as (folder, name):
            text = read_file(folder, name, 64).data.decode("ascii", "replace").strip()
            written = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    except Unknown:
        return None
    if not text.isdigit() or not 1 < int(text) < 1 << 22:
        raise Malformed(f"pidfile {pidfile} does not hold a pid")
    started = start_time(int(text))
    if started is None:
        return None
    running = Running(int(text), started)
    if _is_service(running.pid, resource):
        return running
    if _began_after(running, written):
        return None  # the pid was given to somebody else after the service had ended
    raise ActionFailed("not_the_service", f"process {running.pid} of {pidfile} is not {resource.id}")


def _began_after(running: Running, written: float) -> bool:
    """Did the process start after the pidfile was written (wall seconds)? A service writes its own once
    it runs.
    """
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    began = int(boot.split()[1]) + running.started / os.sysconf("SC_CLK_TCK")
    return began > written + CLOCK_SLACK


def _is_service(pid: int, resource: Resource) -> bool:
    """Its command line ends in the mapped one (an interpreter may stand before it), or it runs the mapped
    program.
    """
    start = resource.need("start", "svc.restart")
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    wanted = [os.fsencode(word) for word in start]
    if line[-len(wanted) :] == wanted:
        return True
    # A program that writes over its own command line (nginx, postgres) is known by its file; an interpreter
    # is not.
    return len(wanted) == 1 and program == os.path.realpath(start[0])


def stop(running: Running, term_seconds: int) -> str:
    """End exactly this process: TERM, then KILL. Returns the signal it took, or "gone". Raises
    `ActionFailed`.
    """
    try:
        handle = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return "gone"
    try:
        # The descriptor is of whatever had the pid when it was opened; the start time says whether that is
        # ours.
        if start_time(running.pid) != running.started:
            return "gone"
        for name, seconds in (("TERM", term_seconds), ("KILL", KILL_SECONDS)):
            try:
                signal.pidfd_send_signal(handle, signal.Signals[f"SIG{name}"])
            except ProcessLookupError:
                return name
            if select.select([handle], [], [], seconds)[0]:
                return name
        raise ActionFailed("will_not_stop", f"process {running.pid} survives SIGKILL", began=True)
    finally:
        os.close(handle)
