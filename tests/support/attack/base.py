"""What the attacks share. An attack is stopped when the kernel refuses it with an error (OSError).

FACTS is the JSON that the host side prepared: decoys, listeners, pids, limits. Standard library only.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import sys
from collections.abc import Callable

FACTS = json.loads(sys.argv[1])
SECRET = FACTS["secret"].encode()
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ATTACKS: list[tuple[str, Callable[[], str]]] = []
HERE = FACTS["writable"]

# x86-64 numbers (syscall_64.tbl): the probe has no business on a machine whose calls it does not know.
assert platform.machine() == "x86_64", "the attacks know the numbers of x86-64 only"
CALLS = {"ptrace": 101, "process_vm_readv": 310, "pidfd_getfd": 438}


def attack(function: Callable[[], str]) -> Callable[[], str]:
    ATTACKS.append((function.__name__, function))
    return function


def call(number: int, *arguments: object) -> int:
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def each(name: str, values: list, function: Callable[..., str]) -> None:
    """One attack a value: none may succeed."""
    for value in values:
        what = value[0] if isinstance(value, tuple) else value
        ATTACKS.append((f"{name} {what}", functools.partial(function, value)))


def product(attacks: list, at: object, code_of: Callable[[BaseException], str]) -> None:
    """Attacks of the drill's own (queenright.drill.attacks): a stop is one of the codes that each names."""

    def stopped(one: object) -> str:
        try:
            return str(one.run(at))
        except OSError as error:
            if code_of(error) not in one.stops:
                raise RuntimeError(f"{code_of(error)} is not what stops it") from error
            raise

    ATTACKS.extend((one.name, functools.partial(stopped, one)) for one in attacks)
