"""What a sandbox is made of: which program, which files, which limits. The launcher makes it or says why not.

A spec is typed data, never a command line for another sandbox tool. Paths on the host are resolved here,
once:
the launcher refuses one with a symbolic link.
"""

from __future__ import annotations

import functools
import glob
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import queenright
from queenright.errors import SandboxRefused

__all__ = [
    "BEHAVIOURS",
    "CELL_LIMITS",
    "COMMAND_LIMITS",
    "EXECUTOR_LIMITS",
    "LIBRARY",
    "SLOTS",
    "WORKSPACE",
    "Bind",
    "Limits",
    "Overlay",
    "SandboxSpec",
    "cell_spec",
    "command_spec",
    "executor_spec",
    "interpreter_binds",
    "kernel_uid",
]

MIB = 1024 * 1024
LIBRARY = "/queenright/lib"
BEHAVIOURS = "/queenright/behaviours"
WORKSPACE = "/workspace"

# Kernel uids of sandboxes when the supervisor is root: slot n is FIRST_UID + n, above every range that
# distributions, systemd and subuid give out and below the uids some programs take for negative.
FIRST_UID = 0x7000_0000
SLOTS = 0x1000_0000

_PATH = "/usr/local/bin:/usr/bin:/bin"
# -I: no environment, user site or working directory. -S: no site-packages. -B: the tree is read-only.
_ISOLATED = ("-I", "-S", "-B", "-c")
_BOOT = "import sys; sys.path.append({library!r}); from {module} import {function}; sys.exit({function}())"
# The same for a package whose parent directory may not be listed.
_BOOT_IN_PLACE = (
    "import sys; from importlib.util import module_from_spec, spec_from_file_location; "
    "spec = spec_from_file_location('queenright', {init!r}, submodule_search_locations=[{package!r}]); "
    "sys.modules['queenright'] = module = module_from_spec(spec); spec.loader.exec_module(module); "
    "from {module} import {function}; sys.exit({function}())"
)


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host at `dst` in the sandbox. `src` is resolved when the spec is sent."""

    src: str | os.PathLike[str]
    dst: str
    writable: bool = False

    def request(self) -> dict[str, Any]:
        return {"src": os.path.realpath(self.src), "dst": self.dst, "writable": self.writable}


@dataclass(frozen=True, slots=True)
class Overlay:
    """A directory of the host at `dst`, changed only in an upper layer of its own: at most `bytes` in `inodes` entries.

    The last descriptor given to `spawn` is a socket; the upper layer's directory is sent over it before the program starts,
    and the program does not get it.
    """

    src: str | os.PathLike[str]
    dst: str
    bytes: int
    inodes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one sandbox, in bytes and counts. `processes` and `tmp_bytes` are None for executors only."""

    memory_bytes: int = 1024 * MIB
    open_files: int = 1024
    file_bytes: int = 256 * MIB
    processes: int | None = 128
    tmp_bytes: int | None = 64 * MIB


# A cell runs many agents' Python in one process; threads are few and it writes no files to speak of.
CELL_LIMITS = Limits(memory_bytes=1024 * MIB, processes=64, tmp_bytes=16 * MIB)
COMMAND_LIMITS = Limits()


EXECUTOR_LIMITS = Limits(memory_bytes=512 * MIB, processes=None, tmp_bytes=None)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One sandbox. Make it with `cell_spec`, `command_spec` or `executor_spec`.

    `egress`: the last descriptor given to `spawn`, or the one before the overlay's, is a socket that gets the listener of the
    sandbox's one way out, on 127.0.0.1:3128 inside.
    """

    kind: Literal["cell", "command", "executor"]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    limits: Limits
    binds: tuple[Bind, ...] = ()
    hide: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()
    overlay: Overlay | None = None
    egress: bool = False
    slot: int | None = None
    hostname: str | None = None

    def request(self, number: int, descriptors: int, *, as_root: bool) -> dict[str, Any]:
        """The launcher's map for this spec. An ordinary user's sandboxes have that user's uid: no slot."""
        executor = self.kind == "executor"
        return {
            "op": "spawn",
            "id": number,
            "kind": self.kind,
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": self.cwd,
            "binds": [
                {"src": os.path.realpath(bind.src), "dst": bind.dst, "writable": bind.writable}
                for bind in self.binds
            ],
            "hide": list(self.hide),
            "landlock": {
                "read": list(self.read),
                "write": list(self.write),
                "descriptors": list(self.descriptors),
            }
            if executor
            else None,
            "overlay": None
            if self.overlay is None
            else {
                "src": os.path.realpath(self.overlay.src),
                "dst": self.overlay.dst,
                "bytes": self.overlay.bytes,
                "inodes": self.overlay.inodes,
                "reply": descriptors - 1,
            },
            # The listener's socket comes last, but for the overlay's.
            "egress": descriptors - (1 if self.overlay is None else 2) if self.egress else None,
            "fds": descriptors,
            "limits": {
                "memory_bytes": self.limits.memory_bytes,
                "open_files": self.limits.open_files,
                "file_bytes": self.limits.file_bytes,
                "processes": self.limits.processes,
                "tmp_bytes": self.limits.tmp_bytes,
            },
            "uid_slot": self.slot if as_root and not executor else None,
            "hostname": self.hostname,
        }


def kernel_uid(slot: int) -> int:
    """The kernel uid (and gid) of a slot when the supervisor is root. Slots repeat after 2**28 numbers."""
    return FIRST_UID + slot % SLOTS


def cell_spec(
    *,
    packages: Mapping[str, str | os.PathLike[str]],
    slot: int,
    entry: str = "queenright.cell.main:main",
    limits: Limits = CELL_LIMITS,
    in_place: bool = False,
) -> SandboxSpec:
    """A process for agents' behaviours.

    `packages` maps a digest (hex) to its directory, shown read-only at /queenright/behaviours/<digest>. The
    descriptors given to `spawn` are its 0, 1, 2, ... (the link is 3); it runs `entry`, a `module:function`. `in_place`
    is for a launcher whose tier has no namespaces: everything is called as the host calls it, and there is no /tmp.
    """
    module, _, function = entry.partition(":")
    if in_place:
        package = _package()
        boot = _BOOT_IN_PLACE.format(
            init=os.path.join(package, "__init__.py"), package=package, module=module, function=function
        )
        shown = dict.fromkeys((package, *(os.path.realpath(path) for path in packages.values())))
        return SandboxSpec(
            kind="cell",
            argv=(_executable(), *_ISOLATED, boot),
            env={"PATH": _PATH, "HOME": "/", "LANG": "C.UTF-8"},
            cwd="/",
            limits=replace(limits, tmp_bytes=None),
            binds=(*interpreter_binds(), *(Bind(path, path) for path in shown)),
        )
    library, binds = _library()
    behaviours = tuple(Bind(path, f"{BEHAVIOURS}/{digest}") for digest, path in sorted(packages.items()))
    boot = _BOOT.format(library=library, module=module, function=function)
    return SandboxSpec(
        kind="cell",
        argv=(_executable(), *_ISOLATED, boot),
        env={"PATH": _PATH, "HOME": "/tmp", "LANG": "C.UTF-8"},  # noqa: S108 - the cell's own tmpfs
        cwd="/",
        limits=limits,
        binds=(*interpreter_binds(), *binds, *behaviours),
        hide=_third_party(),
        slot=slot % SLOTS,
        hostname="cell",
    )


def command_spec(
    *,
    argv: Sequence[str],
    workspace: str | os.PathLike[str],
    slot: int,
    env: Mapping[str, str] | None = None,
    cwd: str = WORKSPACE,
    binds: Sequence[Bind] = (),
    limits: Limits = COMMAND_LIMITS,
    upper: tuple[int, int] | None = None,
    egress: bool = False,
    in_place: bool = False,
) -> SandboxSpec:
    """One command over one workspace, at /workspace. `argv[0]` is an absolute path inside.

    With `upper` (bytes, entries) the workspace is only read: what the command changes goes to an overlay (see `Overlay`).
    Without it the command writes to the workspace itself. `in_place`, for a launcher whose tier has no namespaces: the
    workspace is where it is, and temporary files go there; an overlay cannot be had. `egress` as in `SandboxSpec`.
    """
    if in_place:
        if upper is not None:
            raise SandboxRefused(
                "a command needs an overlay over its workspace, which this tier cannot make",
                step="overlay", hint="`queenright doctor` says what the full tier needs",
            )  # fmt: skip
        place = os.path.realpath(workspace)
        return SandboxSpec(
            kind="command",
            argv=tuple(argv),
            env={"PATH": _PATH, "HOME": place, "TMPDIR": place, "LANG": "C.UTF-8", **(env or {})},
            cwd=place if cwd == WORKSPACE else cwd,
            limits=replace(limits, tmp_bytes=None),
            binds=(Bind(place, place, writable=True), *binds),
            egress=egress,
        )
    bound = () if upper is not None else (Bind(workspace, WORKSPACE, writable=True),)
    return SandboxSpec(
        kind="command",
        argv=tuple(argv),
        env={"PATH": _PATH, "HOME": WORKSPACE, "LANG": "C.UTF-8", **(env or {})},
        cwd=cwd,
        limits=limits,
        binds=(*bound, *binds),
        overlay=None if upper is None else Overlay(workspace, WORKSPACE, *upper),
        egress=egress,
        slot=slot % SLOTS,
        hostname="workspace",
    )


def executor_spec(
    *,
    module: str,
    arguments: Sequence[str] = (),
    read: Sequence[str | os.PathLike[str]] = (),
    write: Sequence[str | os.PathLike[str]] = (),
    descriptors: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    limits: Limits = EXECUTOR_LIMITS,
) -> SandboxSpec:
    """A trusted helper on the host, running `python -m module`, that reaches exactly `read` and `write`, and reads the
    directories behind `descriptors` (numbers among those it is given).

    Added to `read` is what Python and the network need: this environment, the system's libraries, name
    resolution, certificates and /proc; to `write` only /dev/null. Every path given must exist.
    """
    reach = [*_environment(), *_system(), *(os.path.realpath(path) for path in read)]
    return SandboxSpec(
        kind="executor",
        argv=(os.path.abspath(sys.executable), "-I", "-B", "-m", module, *arguments),
        env={"PATH": _PATH, "LANG": "C.UTF-8", **(env or {})},
        cwd=cwd,
        limits=limits,
        read=tuple(dict.fromkeys(reach)),
        write=("/dev/null", *(os.path.realpath(path) for path in write)),
        descriptors=tuple(descriptors),
    )


@functools.cache
def interpreter_binds() -> tuple[Bind, ...]:
    """What shows this interpreter and its library in a sandbox: nothing more when it is the system's."""
    prefixes = dict.fromkeys(os.path.realpath(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix))
    return tuple(Bind(prefix, prefix) for prefix in prefixes if not _in_usr(prefix) and _narrow(prefix))


@functools.cache
def _third_party() -> tuple[str, ...]:
    """Where this machine keeps other people's Python: a cell sees the standard library and its own packages only."""
    roots = {"/usr", *(bind.dst for bind in interpreter_binds())}
    found = {
        os.path.realpath(path)
        for root in roots
        for pattern in ("lib*/python3*/*-packages", "local/lib*/python3*/*-packages")
        for path in glob.glob(f"{root}/{pattern}")
        if os.path.isdir(path)
    }
    return tuple(sorted(path for path in found if any(Path(path).is_relative_to(root) for root in roots)))


def _in_usr(path: str) -> bool:
    return Path(path).is_relative_to("/usr")


def _narrow(prefix: str) -> bool:
    """A prefix such as / or a home directory would show far more than a Python. Raises SandboxRefused."""
    if Path.home().resolve().is_relative_to(prefix):
        raise SandboxRefused(
            f"python's prefix {prefix} holds the home directory {Path.home()}",
            step="interpreter",
            hint="use a python installed in a directory of its own, such as the system's",
        )
    return True


@functools.cache
def _executable() -> str:
    """The base interpreter's file, also when this runs in a virtual environment."""
    prefix = os.path.realpath(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    running = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    for candidate in (running, os.path.realpath(os.path.join(prefix, "bin", name))):
        if Path(candidate).is_relative_to(prefix) and os.access(candidate, os.X_OK):
            return candidate
    raise SandboxRefused(
        f"no python program below {prefix}", step="interpreter", hint="reinstall python or use the system's"
    )


@functools.cache
def _package() -> str:
    file = queenright.__file__
    if file is None:
        raise SandboxRefused(
            "the queenright package has no directory", step="library", hint="reinstall queenright"
        )
    return os.path.dirname(os.path.realpath(file))


def _library() -> tuple[str, tuple[Bind, ...]]:
    return LIBRARY, (Bind(_package(), f"{LIBRARY}/queenright"),)


@functools.cache
def _environment() -> tuple[str, ...]:
    """This Python environment on the host: its prefixes and the directory the package was found in."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    found = [os.path.realpath(prefix) for prefix in prefixes if not _in_usr(prefix) and _narrow(prefix)]
    return (*found, os.path.dirname(_package()))


@functools.cache
def _system() -> tuple[str, ...]:
    wanted = (
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/alternatives",
        "/etc/localtime",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/gai.conf",
        "/etc/host.conf",
        "/etc/services",
        "/etc/passwd",
        "/etc/group",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        "/etc/pki/tls/certs",
        "/dev/null",
        "/dev/zero",
        "/dev/random",
        "/dev/urandom",
        "/proc",
    )
    return tuple(os.path.realpath(path) for path in wanted if os.path.exists(path))
