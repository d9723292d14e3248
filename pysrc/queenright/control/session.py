"""Login tokens, the supervisor's side: a session that can read and take away for eight hours, and never give.

A token is an id and a secret. The secret crosses the socket once, when it is made; afterwards a client
proves it by an HMAC over the greeting's nonce, so whoever listens elsewhere learns nothing. Tokens live in
memory: a restart ends them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from queenright.clock import Clock
from queenright.control.protocol import Login
from queenright.errors import InvalidSignature, NotEntitled

__all__ = ["MAX_TOKENS", "TOKEN_LIFE_MS", "Tokens", "prove_token"]

TOKEN_LIFE_MS = 8 * 60 * 60 * 1000  # a working day
MAX_TOKENS = 256  # all operators' logins together; the oldest makes room
_AGAIN = "log in again: `queenright login`"


def prove_token(secret: bytes, message: bytes) -> bytes:
    """What a client sends instead of the secret."""
    return hmac.new(secret, message, hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class _Token:
    secret: bytes
    key_line: str
    expires_boot_ms: int
    expires_ms: int


class Tokens:
    """The tokens of one supervisor.

    Expiry is by boot time, so setting the wall clock back lengthens nothing.
    """

    def __init__(self, clock: Clock, rand: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._rand = rand
        self._tokens: dict[bytes, _Token] = {}

    def issue(self, key_line: str) -> Login:
        """A new token for the operator who proved this key."""
        self._drop_expired()
        while len(self._tokens) >= MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        token_id = self._rand(16)
        secret = self._rand(32)
        expires_ms = self._clock.wall_ms() + TOKEN_LIFE_MS
        self._tokens[token_id] = _Token(secret, key_line, self._clock.boot_ms() + TOKEN_LIFE_MS, expires_ms)
        return {"id": token_id, "secret": secret, "expires_ms": expires_ms}

    def verify(self, token_id: bytes, proof: bytes, message: bytes) -> tuple[str, int]:
        """The key line the token stands for, and when it ends. Raises InvalidSignature or NotEntitled."""
        token = self._tokens.get(token_id)
        if token is None:
            raise NotEntitled("this login is not known here", hint=_AGAIN)
        if not hmac.compare_digest(prove_token(token.secret, message), proof):
            raise InvalidSignature("the login's proof is wrong", hint=_AGAIN)
        self.alive(token_id)
        return token.key_line, token.expires_ms

    def alive(self, token_id: bytes) -> None:
        """Raise NotEntitled unless the token is known and has time left."""
        token = self._tokens.get(token_id)
        if token is None or token.expires_boot_ms <= self._clock.boot_ms():
            raise NotEntitled("this login has ended", hint=_AGAIN)

    def end(self, token_id: bytes) -> None:
        """Forget a token; ending it twice is no error."""
        self._tokens.pop(token_id, None)

    def end_all(self, key_line: str) -> int:
        """Forget every token of one key, and say how many there were."""
        mine = [token_id for token_id, token in self._tokens.items() if token.key_line == key_line]
        for token_id in mine:
            del self._tokens[token_id]
        return len(mine)

    def _drop_expired(self) -> None:
        now = self._clock.boot_ms()
        for token_id in [i for i, token in self._tokens.items() if token.expires_boot_ms <= now]:
            del self._tokens[token_id]
