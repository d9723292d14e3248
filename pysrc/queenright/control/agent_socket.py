"""The two questions we ask an ssh-agent: which keys it holds, and a signature. (draft-ietf-sshm-ssh-agent,
RFC 4251 types.)

The agent is outside our trust: every length is checked, a broken answer is an `AgentRefused`, and a
deadline ends a wait that no person ends.
"""

from __future__ import annotations

import base64
import os
import socket
from dataclasses import dataclass

from queenright.errors import QueenrightError

__all__ = ["AgentKey", "AgentRefused", "SshAgent"]

FAILURE = 5
REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14
MAX_ANSWER = 256 * 1024  # OpenSSH's own bound on agent messages
MAX_KEYS = 256
LIST_WITHIN_S = 5.0
SIGN_WITHIN_S = 60.0  # a person may have to touch the key or confirm on a screen


class AgentRefused(QueenrightError):
    """The ssh-agent is absent, refused, or answered with something that is not its protocol."""

    code = "agent_refused"


@dataclass(frozen=True, slots=True)
class AgentKey:
    """One identity:

    its key blob (RFC 4253), the key type named in it, and the agent's comment (untrusted).
    """

    blob: bytes
    kind: str
    comment: str

    @property
    def line(self) -> str:
        """As a public key line, without the comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise AgentRefused("ssh-agent sent an answer that is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self._take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        return self._take(self.u32())

    def end(self) -> None:
        if self._at != len(self._data):
            raise AgentRefused("ssh-agent sent more than its answer")


class SshAgent:
    """An agent behind a socket. Each question opens its own connection."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def from_environment(cls) -> SshAgent | None:
        """The agent that SSH_AUTH_SOCK names, or None if it names none."""
        path = os.environ.get("SSH_AUTH_SOCK", "")
        return cls(path) if path else None

    def identities(self) -> list[AgentKey]:
        """What the agent holds. Raises AgentRefused."""
        answer = self._ask(bytes([REQUEST_IDENTITIES]), IDENTITIES_ANSWER, LIST_WITHIN_S)
        count = answer.u32()
        if count > MAX_KEYS:
            raise AgentRefused(f"ssh-agent holds {count} keys, over the limit of {MAX_KEYS}")
        found = []
        for _ in range(count):
            blob = answer.string()
            comment = answer.string().decode("utf-8", "replace")
            found.append(AgentKey(blob, _Reader(blob).string().decode("ascii", "replace"), comment))
        answer.end()
        return found

    def sign(self, blob: bytes, data: bytes) -> bytes:
        """The signature blob over `data` by the key `blob`. Raises AgentRefused; may wait for a touch."""
        request = bytes([SIGN_REQUEST]) + _string(blob) + _string(data) + (0).to_bytes(4, "big")
        answer = self._ask(request, SIGN_RESPONSE, SIGN_WITHIN_S)
        signature = answer.string()
        answer.end()
        return signature

    def _ask(self, request: bytes, expected: int, within_s: float) -> _Reader:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.settimeout(within_s)
                agent.connect(self.path)
                agent.sendall(_string(request))
                length = int.from_bytes(self._receive(agent, 4), "big")
                if not 1 <= length <= MAX_ANSWER:
                    raise AgentRefused(f"ssh-agent sent an answer of {length} bytes")
                answer = _Reader(self._receive(agent, length))
        except TimeoutError:
            raise AgentRefused(
                f"ssh-agent did not answer within {within_s:.0f} s", hint="touch the key"
            ) from None
        except OSError as error:
            raise AgentRefused(
                f"no ssh-agent at {self.path}: {error.strerror}", hint="start one, or pass --key PATH"
            ) from None
        kind = answer.byte()
        if kind == FAILURE:
            raise AgentRefused("ssh-agent refused", hint="is the key locked, or was the touch refused?")
        if kind != expected:
            raise AgentRefused(f"ssh-agent answered with message type {kind}, not {expected}")
        return answer

    @staticmethod
    def _receive(agent: socket.socket, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = agent.recv(count - len(data))
            if not chunk:
                raise AgentRefused("ssh-agent closed the connection")
            data += chunk
        return bytes(data)
