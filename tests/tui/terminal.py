"""A program in a real pseudo-terminal, with a terminal emulator (pyte) on the other side. For any command.

    with Terminal([sys.executable, "-m", "queenright", "tui"], size=(80, 24)) as terminal:
        terminal.wait("need you")
        terminal.press("2")

Nothing here sleeps for luck: `wait` reads until a condition holds and fails with the screen it saw at a deadline.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import pyte

ESCAPE, ENTER, TAB = "\x1b", "\r", "\t"
ENDING_S = 20.0
_KITTY = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]")


class Terminal:
    """`raw` is every byte the program wrote; `screen` is what an operator would see."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
        patience_s: float = 30.0,
    ) -> None:
        self.columns, self.rows = size
        self.patience_s = patience_s
        self.raw = bytearray()
        self.screen = pyte.Screen(self.columns, self.rows)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        os.set_blocking(self._master, False)
        given = {
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "COLORTERM": "truecolor",
        }
        self.process = subprocess.Popen(
            list(argv),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=given | dict(env or {}),
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    # --- reading ---

    def read(self, within_s: float = 0.05) -> bool:
        """Take what the program wrote. False once it has closed its terminal."""
        ready, _, _ = select.select([self._master], [], [], within_s)
        if not ready:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not chunk:
            return False
        self.raw += chunk
        self._stream.feed(_for_pyte(chunk))
        return True

    def text(self) -> str:
        """The screen, row by row."""
        return "\n".join(row.rstrip() for row in self.screen.display)

    def wait(self, wanted: str | Callable[[str], bool], *, but: str = "") -> str:
        """Read until the screen holds `wanted`, or the condition is true. Returns it; fails at the deadline."""
        holds = (lambda text: wanted in text) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            text = self.text()
            if holds(text):
                return text
            if not self.read():
                break
        raise AssertionError(f"{but or wanted!r} never came; the screen was\n{self.text()}")

    def quiet(self, for_s: float = 0.4) -> str:
        """Read until nothing was written for a while. For looking at what did *not* happen."""
        still = time.monotonic()
        deadline = still + self.patience_s
        while time.monotonic() - still < for_s and time.monotonic() < deadline:
            before = len(self.raw)
            if not self.read():
                break
            if len(self.raw) != before:
                still = time.monotonic()
        return self.text()

    # --- writing ---

    def press(self, *keys: str) -> None:
        """Type keys, as bytes a keyboard would send."""
        for key in keys:
            os.write(self._master, key.encode())

    def escape(self, gone: str) -> None:
        """Press Escape and wait until `gone` is no longer on the screen.

        A key typed right behind Escape's byte is read as Alt and that key: an overlay painted in part still shows
        what is below it, so waiting for what comes back would not do.
        """
        self.press(ESCAPE)
        self.wait(lambda text: gone.lower() not in text.lower(), but=f"{gone!r} never left")

    def leave(self) -> int:
        """Wait for the program to end by itself; its exit code."""
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            self.read()
            code = self.process.poll()
            if code is not None:
                return code
        raise AssertionError(f"the program did not end; the screen was\n{self.text()}")

    def hang_up(self) -> None:
        """Close the terminal under the program, as a lost connection does."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        """End the program if it still runs (this one, by its id) and give the terminal back."""
        if self.process.poll() is None:
            # Asked first: a demo takes its supervisor with it only when it may end by itself.
            self.process.terminate()
            deadline = time.monotonic() + ENDING_S
            while self.process.poll() is None and time.monotonic() < deadline:
                if self._master < 0 or not self.read():
                    time.sleep(0.05)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._master >= 0:
            os.close(self._master)


def _for_pyte(chunk: bytes) -> bytes:
    """Pyte prints the letter of sequences with `>` or `<` or `=` (Kitty's keyboard protocol); a terminal does not."""
    return chunk if b"\x1b[" not in chunk else _KITTY.sub(b"", chunk)
