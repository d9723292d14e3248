"""A supervisor for one command: its directory, keys and master key are made for it and gone with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from queenright.clock import Clock
from queenright.control.client import Client
from queenright.control.operator_key import FileSigner, open_path
from queenright.core.operator import OperatorKey
from queenright.errors import NoSupervisor, QueenrightError, SandboxRefused
from queenright.paths import Paths
from queenright.supervisor.founding import found_state
from queenright.supervisor.master import MasterKey

__all__ = ["ThrowAway"]

READY_WITHIN_S = 60.0
END_WITHIN_S = 10.0
LACKS_FEATURE = 6


class ThrowAway:
    """Use as a context manager: when it ends, the supervisor has ended and the directory is gone."""

    def __init__(self, clock: Clock) -> None:
        self.root = Path(os.path.realpath(tempfile.mkdtemp(prefix="qr-try-")))
        self.paths = Paths.of(self.root / "state", {})
        self._clock = clock
        self._daemon: subprocess.Popen[bytes] | None = None
        self.signer: FileSigner | None = None

    def __enter__(self) -> ThrowAway:
        try:
            self._found()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def client(self) -> Client:
        """A new connection that has proved the throw-away operator's key."""
        client = Client(self.paths.socket, clock=self._clock)
        assert self.signer is not None
        client.prove(self.signer)
        return client

    def ended(self) -> bool:
        """Whether the supervisor is gone."""
        return self._daemon is None or self._daemon.poll() is not None

    def close(self) -> None:
        """End the supervisor (its cells end with it) and remove everything."""
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        if self.signer is not None:
            self.signer.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _found(self) -> None:
        key = OperatorKey.generate(os.urandom(32), "queenright try")
        path = self.root / "key"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.to_openssh(None, None))
        opened = open_path(path, agent=None, ask=lambda _: b"")
        assert isinstance(opened, FileSigner)
        self.signer = opened
        self._master = os.urandom(32)
        found_state(
            self.paths,
            owner="you",
            key_line=opened.key.line,
            sign=opened.sign,
            master=MasterKey(self._master),
            kept="fd",
            clock=self._clock,
        )

    def _start(self) -> None:
        read, write = os.pipe()
        os.write(write, self._master)
        os.close(write)
        argv = [sys.executable, "-m", "queenright", "up", "--state", str(self.paths.state)]
        output = self.root / "supervisor.out"
        with output.open("wb") as out:
            self._daemon = subprocess.Popen(
                [*argv, "--master-key-fd", str(read)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=[read],
                start_new_session=True,  # Ctrl-C is ours: we end it in order
            )
        os.close(read)
        limit = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < limit:
            if self._daemon.poll() is not None:
                said = output.read_text(errors="replace").strip()[-2000:]
                if self._daemon.returncode == LACKS_FEATURE:
                    raise SandboxRefused(
                        said.removeprefix("queenright: "), step="start", hint="`queenright doctor`"
                    )
                raise QueenrightError(f"the supervisor ended with {self._daemon.returncode}: {said}")
            try:
                with Client(self.paths.socket, clock=self._clock) as client:
                    client.call("health")
                    return
            except NoSupervisor:
                time.sleep(0.05)
        raise NoSupervisor(f"the supervisor was not ready within {READY_WITHIN_S:.0f} s")
