"""What the drill plants on the host for its attacks to find, and how each shows that it was found.

Promises: everything is below one directory of its own, in processes that die with this one, or in kernel objects whose
numbers are written down in that directory before they are made; `clear_left` removes what a killed drill left.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Decoys", "clear_left"]

PREFIX = "queenright-drill-"
LOCK, LEFT = "lock", "left.json"
_LIBC = ctypes.CDLL(None, use_errno=True)
_SEGMENT_BYTES = 4096
_IPC_CREAT, _IPC_EXCL, _IPC_RMID = 0o1000, 0o2000, 0
# add_key and keyctl, by machine; the decoy key ends by itself after this long in any case.
_KEYS = {"x86_64": (248, 250), "aarch64": (217, 219)}
_USER_KEYRING, _SET_TIMEOUT, _SETPERM, _UNLINK = -4, 15, 5, 9
KEY_SECONDS = 1800


def clear_left(root: Path | None = None) -> list[str]:
    """Remove what drills of this user left that are no longer running. The directories that were removed."""
    gone = []
    for place in sorted((root or Path(tempfile.gettempdir())).glob(f"{PREFIX}*")):
        try:
            if place.is_symlink() or place.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(place / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # another's, or being made at this moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_kernel_objects(place)
            shutil.rmtree(place)
            gone.append(str(place))
        except BlockingIOError:
            continue  # its drill runs
        finally:
            os.close(lock)
    return gone


def _remove_kernel_objects(place: Path) -> None:
    try:
        left = json.loads((place / LEFT).read_text())
    except (FileNotFoundError, ValueError):
        return
    if left.get("segment_key"):
        found = _LIBC.shmget(left["segment_key"], 0, 0)
        if found >= 0:
            _LIBC.shmctl(found, _IPC_RMID, None)
    if left.get("key"):
        _key_calls("unlink", left["key"])


class Decoys:
    """A context manager: planted while it is open. `facts` is what the attacks are told."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.place = Path(os.path.realpath(tempfile.mkdtemp(prefix=PREFIX)))
        self._lock = os.open(self.place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.facts: dict[str, Any] = {}
        self._files: dict[Path, tuple[bytes, int, int]] = {}
        self._marks: list[str] = []
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        self._nice = 0

    def __enter__(self) -> Decoys:
        try:
            self._plant()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- planting -------------------------------------------------------------------------------------------------

    def _plant(self) -> None:
        os.chmod(self.place, 0o755)  # noqa: S103 - only a wall may keep an agent out, not a mode
        left: dict[str, Any] = {
            "segment_key": secrets.randbits(30) | 1,
            "key": f"drill-{secrets.token_hex(8)}",
        }
        (self.place / LEFT).write_text(json.dumps(left))
        file, drop = self.place / "decoy", self.place / "drop"
        file.write_text(self.token)
        file.chmod(0o666)
        drop.mkdir()
        drop.chmod(0o777)
        self._remember(file)
        self.facts = {
            "token": self.token, "file": str(file), "drop": str(drop), "abstract": self._abstract("stream"),
            "datagram": self._abstract("datagram"), "unix": str(self.place / "socket"), "tcp": 0, "tcp6": 0, "udp": 0,
            "segment": self._segment(left["segment_key"]), "key": self._key(str(left["key"])),
        }  # fmt: skip
        self._listen()
        self._start()

    def _remember(self, path: Path) -> None:
        found = path.stat()
        self._files[path] = (path.read_bytes(), found.st_mode, found.st_nlink)

    def _abstract(self, what: str) -> str:
        return f"{self.place.name}-{what}"

    def _segment(self, key: int) -> int:
        """A System V segment with the secret in it, one above its number; 0 where the kernel makes none."""
        found = _LIBC.shmget(key, _SEGMENT_BYTES, _IPC_CREAT | _IPC_EXCL | 0o666)
        if found < 0:
            return 0
        _LIBC.shmat.restype = ctypes.c_void_p
        address = _LIBC.shmat(found, None, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            return 0
        ctypes.memmove(address, self.token.encode(), len(self.token))
        _LIBC.shmdt(ctypes.c_void_p(address))
        return int(found) + 1

    def _key(self, name: str) -> str:
        return name if _key_calls("add", name, self.token.encode()) else ""

    def _listen(self) -> None:
        def add(name: str, link: socket.socket) -> None:
            link.setblocking(False)
            self._selector.register(link, selectors.EVENT_READ, name)

        tcp = socket.create_server(("127.0.0.1", 0))
        add("the listener on 127.0.0.1", tcp)
        self.facts["tcp"] = tcp.getsockname()[1]
        with contextlib.suppress(OSError):  # a host without IPv6: nobody listens there either
            tcp6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
            add("the listener on ::1", tcp6)
            self.facts["tcp6"] = tcp6.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        add("the receiver on 127.0.0.1", udp)
        self.facts["udp"] = udp.getsockname()[1]
        for name, address in (
            ("the abstract socket", "\0" + self.facts["abstract"]),
            ("the socket by its path", self.facts["unix"]),
        ):
            link = socket.socket(socket.AF_UNIX)
            link.bind(address)
            link.listen(16)
            add(name, link)
        os.chmod(self.facts["unix"], 0o777)  # noqa: S103
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagram.bind("\0" + self.facts["datagram"])
        add("the datagram socket", datagram)

    def _start(self) -> None:
        program = Path(__file__).with_name("decoy_process.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), self.facts["file"], self.token, str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={"DRILL_DECOY": self.token}, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.facts |= told | {"pid": self._process.pid}
        os.set_blocking(self._process.stdout.fileno(), False)
        self._nice = os.getpriority(os.PRIO_PROCESS, self._process.pid)

    # --- watching -------------------------------------------------------------------------------------------------

    def marks(self) -> list[str]:
        """Signs that an attack arrived, since this was last asked. Each is a positive observation at a decoy."""
        found = [*self._heard(), *self._process_marks(), *self._file_marks()]
        return found

    def _heard(self) -> Iterator[str]:
        for key, _ in self._selector.select(0):
            link = key.fileobj
            assert isinstance(link, socket.socket)
            with contextlib.suppress(BlockingIOError):
                while True:
                    if link.type == socket.SOCK_DGRAM:
                        link.recv(4096)
                    else:
                        link.accept()[0].close()
                    yield f"{key.data} was reached"

    def _process_marks(self) -> Iterator[str]:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in (self._process.stdout.read() or b"").decode().split("\n"):
            if line:
                yield f"the decoy process got {line}"
        if self._process.poll() is not None:
            yield f"the decoy process ended ({self._process.returncode})"
            self._start()
            return
        nice = os.getpriority(os.PRIO_PROCESS, self._process.pid)
        if nice != self._nice:
            yield f"the decoy process has priority {nice}"
            self._nice = nice
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        if "TracerPid:\t0\n" not in status:
            yield "the decoy process is traced"

    def _file_marks(self) -> Iterator[str]:
        for path, before in self._files.items():
            found = path.stat()
            if (path.read_bytes(), found.st_mode, found.st_nlink) != before:
                yield f"the decoy file changed: mode {found.st_mode:o}, {found.st_nlink} names"
                self._remember(path)
        for made in sorted(Path(self.facts["drop"]).iterdir()):
            yield f"`{made.name}` was made outside"
            made.unlink()

    # --- removing -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove everything. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        for key in list(self._selector.get_map().values()) if self._selector.get_map() else []:
            assert isinstance(key.fileobj, socket.socket)
            self._selector.unregister(key.fileobj)
            key.fileobj.close()
        self._selector.close()
        if self.place.exists():
            _remove_kernel_objects(self.place)
            shutil.rmtree(self.place)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _key_calls(what: str, name: str, value: bytes = b"") -> bool:
    """Add the decoy key to the user's keyring, readable by whoever is this user and ending by itself; or remove it."""
    numbers = _KEYS.get(os.uname().machine)
    if numbers is None:
        return False
    add_key, keyctl = (ctypes.c_long(number) for number in numbers)
    _LIBC.syscall.restype = ctypes.c_long
    if what == "add":
        key = _LIBC.syscall(
            add_key, b"user", name.encode(), value, ctypes.c_size_t(len(value)), _USER_KEYRING
        )
        if key < 0:
            return False
        _LIBC.syscall(keyctl, _SET_TIMEOUT, key, KEY_SECONDS)
        return bool(_LIBC.syscall(keyctl, _SETPERM, key, ctypes.c_uint(0x3F3F0000)) == 0)
    key = _LIBC.syscall(keyctl, 10, _USER_KEYRING, b"user", name.encode(), 0)  # KEYCTL_SEARCH
    return bool(key >= 0 and _LIBC.syscall(keyctl, _UNLINK, key, _USER_KEYRING) == 0)
