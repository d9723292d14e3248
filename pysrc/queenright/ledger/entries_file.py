"""The file of entries: frames, one after the other, that only ever grow."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from queenright.errors import Unknown
from queenright.ledger import files

__all__ = ["EntriesFile"]

_PREFIX = 4  # a frame's length


class EntriesFile:
    """An open file of frames. What it writes is durable after `sync`. Raises OSError when the disk refuses."""

    def __init__(self, path: Path, largest: int) -> None:
        new = not path.exists()
        self._largest = largest
        self._ends: array[int] = array("Q")
        self._synced = 0
        # A write stopped halfway: the file may be longer than what it holds.
        self._torn = False
        # An fsync failed: what it was for may be lost, even if the next one succeeds.
        self._doubtful = False
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if new:
            os.fsync(self._handle)
            files.sync_directory(path.parent)

    def load(self, accept: Callable[[int, bytes], bool]) -> None:
        """Read what is there. From the first frame that is cut or that `accept(index, data)` calls no part of
        it, the file is torn and will be cut off there.
        """
        length = os.fstat(self._handle).st_size
        if length:
            with mmap.mmap(self._handle, length, prot=mmap.PROT_READ) as data:
                for end, frame in files.frames(data, self._largest):
                    if not accept(len(self._ends), frame):
                        break
                    self._ends.append(end)
        self._torn = self.length() != length

    def append(self, frames: Sequence[bytes]) -> None:
        """Write frames behind the last whole one."""
        if self._torn:
            os.ftruncate(self._handle, self.length())
        self._torn = True
        os.lseek(self._handle, self.length(), os.SEEK_SET)
        files.write_all(self._handle, b"".join(map(files.frame, frames)))
        self._torn = False
        for frame in frames:
            self._ends.append(self.length() + _PREFIX + len(frame))

    def sync(self, again: Callable[[int], bytes]) -> None:
        """Make everything durable. `again(index)` gives a frame anew, to be written again after an fsync that
        failed.
        """
        if self._torn:
            os.ftruncate(self._handle, self.length())
            self._torn = False
        if self._synced == len(self._ends):
            return
        if self._doubtful:
            for index in range(self._synced, len(self._ends)):
                frame = files.frame(again(index))
                os.lseek(self._handle, self._ends[index] - len(frame), os.SEEK_SET)
                files.write_all(self._handle, frame)
        self._doubtful = True
        os.fsync(self._handle)
        self._doubtful = False
        self._synced = len(self._ends)

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, index: int) -> bytes:
        """The bytes of a frame. Raises Unknown."""
        if not 0 <= index < len(self._ends):
            raise Unknown(f"no ledger entry {index}: there are {len(self._ends)}")
        start = self.length(index) + _PREFIX
        return os.pread(self._handle, self._ends[index] - start, start)

    def length(self, count: int | None = None) -> int:
        """The bytes that the first `count` frames (all, without) take. Raises Unknown."""
        if count is None:
            count = len(self._ends)
        if not 0 <= count <= len(self._ends):
            raise Unknown(f"no {count} ledger entries: there are {len(self._ends)}")
        return self._ends[count - 1] if count else 0

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
