"""The operator's key in daily use: which one, where it is, and how it signs. Client side only.

Order: `--key PATH` (or QUEENRIGHT_KEY), then `operator.key` of the client's config, then the one key of
ssh-agent that is enrolled. With none or several the candidates are listed and the operator chooses; nothing
is guessed.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from queenright.control.agent_socket import AgentKey, AgentRefused, SshAgent
from queenright.core import KeyLine, parse_key_line
from queenright.core.operator import OperatorKey, needs_passphrase, sshsig_armor, sshsig_payload
from queenright.errors import Malformed, NotEntitled, QueenrightError, Unknown, WrongPassphrase

__all__ = [
    "ENROLLABLE",
    "AgentSigner",
    "AskPassphrase",
    "FileSigner",
    "Signer",
    "choose",
    "open_path",
    "read_public",
]

ENROLLABLE = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")
MAX_KEY_FILE = 64 * 1024
MAX_TRIES = 3  # of a passphrase
MAKE_ONE = "make one: `ssh-keygen -t ed25519 -f ~/.ssh/queenright`"
AskPassphrase = Callable[[str], bytes]


class Signer(Protocol):
    """Something that signs as one operator's key."""

    key: KeyLine
    where: str

    def sign(self, namespace: str, message: bytes) -> str:
        """An armoured SSHSIG over `message`. Raises QueenrightError."""

    def close(self) -> None:
        """Let go of the private half, if it is held here."""


class FileSigner:
    """A key file, opened once; its private half stays in the core's memory until `close` wipes it."""

    def __init__(self, path: Path, key: OperatorKey) -> None:
        self.key = parse_key_line(key.public_line)
        self.where = str(path)
        self._private: OperatorKey | None = key

    def sign(self, namespace: str, message: bytes) -> str:
        if self._private is None:
            raise NotEntitled(f"the key {self.where} has been closed", hint="arm again")
        return self._private.sign(namespace, message)

    def close(self) -> None:
        self._private = None


class AgentSigner:
    """A key that stays in ssh-agent, or behind it in hardware."""

    def __init__(self, agent: SshAgent, found: AgentKey) -> None:
        self.key = parse_key_line(found.line)
        self.where = f"ssh-agent {agent.path}"
        self._agent = agent
        self._blob = found.blob

    def sign(self, namespace: str, message: bytes) -> str:
        payload = sshsig_payload(namespace, message)
        return sshsig_armor(self.key.line, namespace, self._agent.sign(self._blob, payload))

    def close(self) -> None:
        """Nothing is held here."""


def read_public(line: str) -> KeyLine:
    """A public key that can be enrolled.

    Raises Malformed, naming the type and the line that makes a right one.
    """
    words = line.split()
    kind = next((word for word in words if word.startswith(("ssh-", "sk-", "ecdsa-"))), "")
    if kind and kind not in ENROLLABLE:
        raise Malformed(
            f"a key of type {kind} cannot be enrolled, only Ed25519 and sk-Ed25519", hint=MAKE_ONE
        )
    return parse_key_line(line)


def open_path(path: Path, *, agent: SshAgent | None, ask: AskPassphrase) -> Signer:
    """The key in a file:

    a private key, or a `.pub` whose private half ssh-agent holds. Raises QueenrightError.
    """
    data = _read(path)
    if data.lstrip().startswith((b"ssh-", b"sk-", b"ecdsa-")):
        return _in_agent(read_public(data.decode("utf-8", "replace").strip()), path, agent)
    if b"OPENSSH PRIVATE KEY" not in data:
        raise Malformed(f"{path} is not an OpenSSH key", hint=MAKE_ONE)
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise NotEntitled(f"others may read the private key {path}", hint=f"chmod 600 {path}")
    key = _open_private(path, data, ask)
    read_public(key.public_line)
    return FileSigner(path, key)


def choose(
    path: str | None,
    configured: str | None,
    *,
    enrolled: Callable[[Sequence[str]], Sequence[str]],
    agent: SshAgent | None,
    ask: AskPassphrase,
) -> Signer:
    """The operator's key. `enrolled` gets public key lines and returns those the supervisor knows.

    Raises NotEntitled with the candidates when none or several would do.
    """
    given = path or configured
    if given:
        return open_path(Path(given).expanduser(), agent=agent, ask=ask)
    candidates = _candidates(agent)
    known = set(enrolled([key.line for key in candidates])) if candidates else set()
    mine = [key for key in candidates if key.line in known]
    if len(mine) == 1 and agent is not None:
        return AgentSigner(agent, mine[0])
    raise NotEntitled(_why_not(candidates, mine), hint=_how_to_choose(agent, candidates, mine))


def _candidates(agent: SshAgent | None) -> list[AgentKey]:
    if agent is None:
        return []
    try:
        return [key for key in agent.identities() if key.kind in ENROLLABLE]
    except AgentRefused:
        return []  # SSH_AUTH_SOCK may name an agent that has gone: then there are no candidates


def _why_not(candidates: list[AgentKey], mine: list[AgentKey]) -> str:
    if mine:
        return f"{len(mine)} keys of ssh-agent are enrolled: {_listed(mine)}"
    if candidates:
        return f"no key of ssh-agent is enrolled here: {_listed(candidates)}"
    return "no operator key was named, and ssh-agent has none that could be enrolled"


def _how_to_choose(agent: SshAgent | None, candidates: list[AgentKey], mine: list[AgentKey]) -> str:
    if mine:
        return "choose one: --key PATH.pub, or `operator.key` in the config file (`queenright paths`)"
    if candidates:
        return "an owner can enrol one: `queenright operator add NAME --key PATH.pub`"
    if agent is None:
        return "pass --key PATH, or start ssh-agent and set SSH_AUTH_SOCK"
    return "pass --key PATH, or `ssh-add` the key that is enrolled"


def _listed(keys: list[AgentKey]) -> str:
    return ", ".join(f"{parse_key_line(key.line).fingerprint} ({key.kind})" for key in keys)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE + 1)
    except FileNotFoundError:
        raise Unknown(f"there is no key at {path}", hint=MAKE_ONE) from None
    except OSError as error:
        raise QueenrightError(f"cannot read the key {path}: {error.strerror}") from None
    if len(data) > MAX_KEY_FILE:
        raise Malformed(f"{path} is over {MAX_KEY_FILE} bytes: not an OpenSSH key")
    return data


def _in_agent(public: KeyLine, path: Path, agent: SshAgent | None) -> Signer:
    blob = base64.b64decode(public.line.split()[1])
    if agent is not None:
        held = {found.blob: found for found in agent.identities()}
        if blob in held:
            return AgentSigner(agent, held[blob])
    raise NotEntitled(
        f"{path} is a public key and ssh-agent does not hold its private half",
        hint=f"`ssh-add {path.with_suffix('')}`, or pass the private key's path",
    )


def _open_private(path: Path, data: bytes, ask: AskPassphrase) -> OperatorKey:
    if not needs_passphrase(data):
        return OperatorKey.open(data, None)
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            return OperatorKey.open(data, ask(f"passphrase for {path}: "))
        except WrongPassphrase:
            if tries_left == 0:
                raise
    raise AssertionError("unreachable")
