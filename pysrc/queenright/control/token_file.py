"""The login token on the client's side: one 0600 file in the runtime directory."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from queenright.control.protocol import Login
from queenright.errors import Malformed, NotEntitled

__all__ = ["TokenFile"]


class TokenFile:
    """`login-<uid>` in the runtime directory of a supervisor."""

    def __init__(self, run: Path) -> None:
        self.path = run / f"login-{os.geteuid()}"

    def write(self, login: Login) -> None:
        """Keep a token, replacing one that is there, never readable by others even for a moment."""
        body = {"id": login["id"].hex(), "secret": login["secret"].hex(), "expires_ms": login["expires_ms"]}
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(body, file)
        fresh.rename(self.path)

    def read(self) -> Login | None:
        """The token, or None.

        Raises NotEntitled for a file others could read, Malformed for one that is none.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise NotEntitled(f"others may read the login file {self.path}", hint="`queenright logout`")
            data = file.read(4096)
        try:
            body = json.loads(data)
            expires = body["expires_ms"]
            if type(expires) is not int:
                raise ValueError
            return {
                "id": bytes.fromhex(body["id"]),
                "secret": bytes.fromhex(body["secret"]),
                "expires_ms": expires,
            }
        except (ValueError, KeyError, TypeError):
            raise Malformed(f"{self.path} is not a login file", hint="`queenright login`") from None

    def remove(self) -> None:
        """Forget the token; without one it is no error."""
        self.path.unlink(missing_ok=True)
