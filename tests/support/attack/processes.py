"""Other processes: to see, to signal, to look into."""

from __future__ import annotations

import ctypes
import errno
import os
import signal

from base import CALLS, FACTS, attack, call, each
from files import read_secret

each(
    "look into",
    [f"/proc/{FACTS['victim']}/{name}" for name in ("mem", "environ", "root", "cwd", "maps", "fd")],
    os.readlink,
)
each(
    "read",
    [f"/proc/{FACTS['victim']}/{name}" for name in ("mem", "environ", "maps", "cmdline", "status")],
    read_secret,
)


@attack
def see_processes_outside() -> str:
    mine, found = {os.getpid(), 1}, {int(name) for name in os.listdir("/proc") if name.isdigit()}
    if found <= mine:
        raise OSError(errno.ESRCH, "only its own")
    return str(found - mine)


each("signal", [FACTS["victim"], FACTS["supervisor"]], lambda pid: os.kill(pid, signal.SIGTERM) or "sent")
each(
    "ptrace", [FACTS["victim"], FACTS["supervisor"], 1], lambda pid: str(call(CALLS["ptrace"], 16, pid, 0, 0))
)


def read_memory(pid: int) -> str:
    buffer = ctypes.create_string_buffer(16)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    return str(call(CALLS["process_vm_readv"], pid, vector, 1, vector, 1, 0))


each("process_vm_readv", [FACTS["victim"], FACTS["supervisor"], os.getpid()], read_memory)
each("setpriority", [FACTS["victim"]], lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19) or "set")


@attack
def steal_a_descriptor() -> str:
    mine = os.pidfd_open(os.getpid())
    try:
        return str(call(CALLS["pidfd_getfd"], mine, 0, 0))
    finally:
        os.close(mine)
