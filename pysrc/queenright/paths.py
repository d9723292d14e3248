"""Where things lie. One state directory holds everything a supervisor keeps; `queenright paths` prints this list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from queenright.errors import Malformed

__all__ = ["SOCKET_LIMIT", "Paths"]

# sun_path has 108 bytes with its closing zero (unix(7)).
SOCKET_LIMIT = 107


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one state directory, which is absolute and 0700."""

    state: Path

    @classmethod
    def of(cls, state: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Paths:
        """`state` wins over QUEENRIGHT_STATE wins over the user's state directory. Raises Malformed for a long path."""
        chosen = state or environ.get("QUEENRIGHT_STATE") or platformdirs.user_state_path("queenright")
        paths = cls(Path(os.path.abspath(chosen)))
        length = len(os.fsencode(paths.socket))
        if length > SOCKET_LIMIT:
            raise Malformed(
                f"control socket path of {length} bytes is over the kernel's {SOCKET_LIMIT}: {paths.socket}",
                hint="choose a shorter state directory with `--state DIR`",
            )
        return paths

    @property
    def socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def run(self) -> Path:
        """Socket, pid file, login tokens: nothing that must survive a restart."""
        return self.state / "run"

    @property
    def pid(self) -> Path:
        return self.run / "supervisor.pid"

    @property
    def keyring(self) -> Path:
        """Sealed keys of the supervisor; useless without the master key."""
        return self.state / "keyring"

    @property
    def store(self) -> Path:
        return self.state / "store"

    @property
    def ledger(self) -> Path:
        return self.state / "ledger"

    @property
    def blobs(self) -> Path:
        return self.state / "blobs"

    @property
    def behaviours(self) -> Path:
        return self.state / "behaviours"

    @property
    def workspaces(self) -> Path:
        return self.state / "workspaces"

    @property
    def documents(self) -> Path:
        """The signed operators document and resources.toml, as their owners signed them."""
        return self.state / "documents"

    @property
    def versions(self) -> Path:
        """Pre-images and file versions that undo needs."""
        return self.state / "versions"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "supervisor.jsonl"

    def all(self) -> dict[str, Path]:
        """Every place by name, for people."""
        names = (
            "state", "run", "socket", "keyring", "store", "ledger", "blobs", "behaviours", "workspaces", "documents",
            "versions", "logs", "log",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def create(self) -> None:
        """Make the directories, 0700. Existing ones are tightened, never loosened."""
        for directory in (
            self.state, self.run, self.store, self.ledger, self.blobs, self.behaviours, self.workspaces,
            self.documents, self.versions, self.logs,
        ):  # fmt: skip
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
