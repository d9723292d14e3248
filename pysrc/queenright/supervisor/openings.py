"""Certificate authorities for opening commands' TLS: one for each intent, made when first needed, gone with the supervisor."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from queenright.core.host import EgressAuthority
from queenright.errors import SandboxRefused
from queenright.supervisor.sandbox_spec import Bind

__all__ = ["BUNDLE", "Opening", "Openings"]

BUNDLE = "/etc/ssl/queenright.pem"
"""Where a command finds whom to trust: its swarm's authority, and whom this machine trusts."""

_VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"
)  # fmt: skip

RENEW_S = 24 * 3600
"""An authority serves commands that begin within a day of its making; its certificate is good for three."""

MOST_IDLE = 32
"""Authorities that no command uses, and that are kept for the next one."""


@dataclass(slots=True)
class Opening:
    """An intent's authority; `bundle` is its certificate with the machine's roots, a file that is not written again."""

    intent: bytes
    authority: EgressAuthority
    bundle: Path
    made_s: float
    users: int = 0

    def binds(self) -> tuple[Bind, ...]:
        return (Bind(self.bundle, BUNDLE),)

    def environment(self) -> dict[str, str]:
        return dict.fromkeys(_VARIABLES, BUNDLE)


class Openings:
    """All authorities of this supervisor; their certificates lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._of: dict[bytes, Opening] = {}
        self._made = 0
        # What an earlier supervisor left verifies nothing any more.
        for left in folder.glob("tls-*.pem"):
            left.unlink()

    @contextlib.contextmanager
    def using(self, intent: bytes, now_s: float) -> Iterator[Opening]:
        """The intent's authority, for one command. Raises SandboxRefused when none can be made. `now_s`: monotonic."""
        opening = self._of.get(intent)
        if opening is None or now_s - opening.made_s >= RENEW_S:
            opening = self._make(intent, now_s)
        opening.users += 1
        try:
            yield opening
        finally:
            opening.users -= 1
            self._forget()

    def _make(self, intent: bytes, now_s: float) -> Opening:
        authority = EgressAuthority(f"queenright swarm {intent.hex()[:12]}")
        self._made += 1
        # Never a name again: a command that starts may still be about to be shown the file before.
        path = self._folder / f"tls-{os.getpid()}-{self._made}.pem"
        text = authority.pem + "".join(ssl.DER_cert_to_PEM_cert(one) for one in authority.trusted)
        try:
            path.write_text(text)
            path.chmod(0o644)
        except OSError as error:
            raise SandboxRefused(
                f"the certificates for {BUNDLE} could not be written to {path}: {error.strerror}",
                step="egress",
            ) from None
        made = Opening(intent, authority, path, now_s)
        before = self._of.pop(intent, None)
        self._of[intent] = made
        if before is not None and not before.users:
            before.bundle.unlink(missing_ok=True)
        return made

    def _forget(self) -> None:
        """Oldest first, those that nobody uses and that are too many."""
        idle = [opening for opening in self._of.values() if not opening.users]
        for opening in idle[: max(0, len(idle) - MOST_IDLE)]:
            del self._of[opening.intent]
            opening.bundle.unlink(missing_ok=True)
