"""A command that will not go, and what the kernel says of it: processes by a mark in their command lines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from running import naming

__all__ = ["COMMAND", "FAMILIES", "STOPPED", "left", "mark"]

FAMILIES = 12
# Each family: a session of its own, orphaned twice, deaf to every signal that can be ignored. The last line of the first part
# is a process that is stopped, and stays so.
COMMAND = """trap '' TERM HUP INT QUIT USR1
i=0
while [ $i -lt {families} ]; do
  (setsid sh -c "trap '' TERM HUP INT QUIT; (sleep {mark} &) ; sleep {mark}" &)
  i=$((i+1))
done
sh -c 'kill -STOP $$; : {mark}' &
sleep {mark}
"""
STOPPED = "T"


def mark(number: int) -> str:
    """A number that no other process names: seconds to sleep, and who started it."""
    return f"6{os.getpid():07d}{number:03d}"


def left(mark: str) -> list[tuple[int, str]]:
    """(pid, state) of every process with the mark in its command line, as /proc has it now. Zombies have none."""
    found = []
    for pid in naming(mark):
        with contextlib.suppress(OSError):
            if pid != os.getpid():
                state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                found.append((pid, state))
    return found
