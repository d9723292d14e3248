"""What an attack is, and what all of them share.

An attack is a function that returns a proof (words for what it obtained: it was NOT stopped) or raises. A stop is an
OSError with one of the errnos it names, or a `Stopped` or QueenrightError with one of the codes it names; anything else
that is raised means that it did not run, and proves nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "ATTACKS",
    "LIBC",
    "LIMIT_S",
    "At",
    "Attack",
    "NotRun",
    "Stopped",
    "add",
    "attack",
    "call",
    "code_of",
    "contains",
    "in_child",
    "knows",
    "number_of",
]

Place = Literal["cell", "command", "agent", "link", "client"]
PLACES: tuple[Place, ...] = ("cell", "command", "agent", "link", "client")

LIMIT_S = 12.0
"""For one attack: what has not answered by then was not run, and its agent is ended."""
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


class Stopped(Exception):
    """The attack was stopped by something that says so without an errno. `code` names it."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class NotRun(Exception):
    """The attack could not be tried here, and why. Never a stop."""


@dataclass(frozen=True, slots=True)
class At:
    """Where an attack stands: what it was told of the decoys, a directory it may write to, and its agent's context."""

    facts: Mapping[str, Any]
    here: str
    ctx: Any = None
    agent: Any = None

    @property
    def token(self) -> bytes:
        """What stands in every decoy: whoever has it got through."""
        token: str = self.facts["token"]
        return token.encode()


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. `stops`: errnos and codes that are a stop; `by`: what stands in its way; `harmless`: why it may succeed.

    `leaf`: the kind of ledger entry that must tell of it, and `says` words of it; "" where nothing of it can be observed
    outside the sandbox.
    """

    name: str
    group: str
    place: Place
    what: str
    harmless: str
    by: str
    stops: frozenset[str]
    run: Callable[[Any], Any]
    leaf: str = ""
    says: str = ""
    limit_s: float = LIMIT_S


ATTACKS: dict[str, Attack] = {}


def add(attack: Attack) -> None:
    """Into the list. Raises ValueError for a name that is taken or a text that is missing."""
    if attack.name in ATTACKS:
        raise ValueError(f"two attacks are called {attack.name}")
    if not attack.what or not attack.harmless or not attack.stops:
        raise ValueError(f"{attack.name} does not say what it does, why it is harmless, or what stops it")
    ATTACKS[attack.name] = attack


def attack(
    group: str, place: Place, by: str, stops: str, *, leaf: str = "", says: str = "", limit_s: float = LIMIT_S
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function. Its docstring is what it does, then a paragraph `Harmless: …`; `stops` is split at spaces."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        what, _, harmless = (function.__doc__ or "").partition("Harmless:")
        add(
            Attack(
                name=function.__name__.replace("_", "-"),
                group=group,
                place=place,
                what=" ".join(what.split()),
                harmless=" ".join(harmless.split()),
                by=by,
                stops=frozenset(stops.split()),
                run=function,
                leaf=leaf,
                says=says,
                limit_s=limit_s,
            )
        )
        return function

    return register


def code_of(error: BaseException) -> str:
    """The name by which a stop is recognised: an errno's, a signal's, or a refusal's code."""
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0) or str(error.strerror)
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__


# Numbers of x86-64 (syscall_64.tbl) and of aarch64 (the generic table); None where there is no such call.
_NUMBERS: dict[str, tuple[int, int | None]] = {
    "vhangup": (153, 58),
    "kill": (62, 129), "ptrace": (101, 117), "syslog": (103, 116), "personality": (135, 92), "ustat": (136, None),
    "modify_ldt": (154, None), "pivot_root": (155, 41), "adjtimex": (159, 171), "chroot": (161, 51), "acct": (163, 89),
    "settimeofday": (164, 170), "mount": (165, 40), "umount2": (166, 39), "swapon": (167, 224), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "init_module": (175, 105), "quotactl": (179, 60), "clock_settime": (227, 112), "kexec_load": (246, 104),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97), "vmsplice": (278, 75),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "perf_event_open": (298, 241), "fanotify_init": (300, 262),
    "prlimit64": (302, 261), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266), "setns": (308, 268), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "finit_module": (313, 273), "kexec_file_load": (320, 294), "bpf": (321, 280),
    "userfaultfd": (323, 282), "shmat": (30, 196), "pidfd_send_signal": (424, 424), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsmount": (432, 432), "fspick": (433, 433), "pidfd_open": (434, 434), "clone3": (435, 435),
    "clone": (56, 220), "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "mount_setattr": (442, 442),
    "memfd_secret": (447, 447), "statmount": (457, 457), "listmount": (458, 458),
}  # fmt: skip
_MACHINES = {"x86_64": 0, "aarch64": 1}


def number_of(name: str) -> int:
    """This machine's number of a system call. Raises NotRun where it has none, or it is a machine we do not know."""
    column = _MACHINES.get(platform.machine())
    if column is None:
        raise NotRun(f"the system calls of {platform.machine()} are not known here")
    number = _NUMBERS[name][column]
    if number is None:
        raise NotRun(f"{platform.machine()} has no {name}")
    return number


def knows(name: str) -> bool:
    """Whether this machine has that call, as far as is known: an attack with one that does not exist is none."""
    column = _MACHINES.get(platform.machine())
    return column is None or _NUMBERS[name][column] is not None


def call(name: str, *arguments: object) -> int:
    """A raw system call. Raises OSError as the kernel answered."""
    result = LIBC.syscall(ctypes.c_long(number_of(name)), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def in_child(function: Callable[[], str]) -> str:
    """Run what may change or end its process in a child. A kill by the filter is a stop with the signal's name."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = b"?"
        try:
            said = b"+" + function().encode()
        except OSError as error:
            said = b"!%d" % (error.errno or 0)
        except BaseException as error:
            said = b"?" + f"{type(error).__name__}: {error}".encode()
        finally:
            os.write(write, said[:4000])
            os._exit(0)
    os.close(write)
    said = os.read(read, 4096)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise OSError(0, signal.Signals(os.WTERMSIG(status)).name)
    if said.startswith(b"!"):
        number = int(said[1:])
        raise OSError(number, os.strerror(number))
    if not said.startswith(b"+"):
        raise NotRun(f"its child broke: {said[1:].decode('utf-8', 'replace')}")
    return said[1:].decode("utf-8", "replace")


def contains(at: At, data: bytes) -> str:
    """The proof that `data` is a decoy's. Raises NotRun for anything else: it was opened, and it was not the decoy."""
    if at.token not in data:
        raise NotRun(f"read {len(data)} bytes that are not the decoy's")
    return "read the decoy"
