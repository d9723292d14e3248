"""What one connection has proved, and what it may therefore call.

Straight-line: every rule is one `raise`.
"""

from __future__ import annotations

from typing import Any, Literal

from queenright.authority.operators import Signer
from queenright.clock import Clock
from queenright.control.methods import Method, Need
from queenright.control.orders import check_order
from queenright.control.protocol import SESSION_NAMESPACE, WhoAmI, session_bytes, token_bytes
from queenright.control.service import Caller, Gate, Peer, SignedOrder
from queenright.control.session import Tokens
from queenright.core import parse_key_line, verify_sshsig
from queenright.errors import InvalidSignature, Malformed, NotEntitled, QueenrightError

__all__ = ["Standing"]


class Standing:
    """Nobody at first; an operator after one proof; nobody again once the key is removed or the login
    ends."""

    def __init__(
        self,
        gate: Gate,
        tokens: Tokens,
        clock: Clock,
        *,
        runtime: bytes,
        nonce: bytes,
        socket: str,
        peer: Peer,
        connection: int,
    ) -> None:
        self._gate = gate
        self._tokens = tokens
        self._clock = clock
        self._runtime = runtime
        self._nonce = nonce
        self._socket = socket
        self._peer = peer
        self._connection = connection
        self._tried = False
        self._operator: Signer | None = None
        self._token: bytes | None = None
        self._expires_ms: int | None = None

    @property
    def proved(self) -> bool:
        return self._operator is not None

    @property
    def level(self) -> Literal["none", "key", "token"]:
        if self._operator is None:
            return "none"
        return "key" if self._token is None else "token"

    @property
    def name(self) -> str:
        """The operator's name, or "" before a proof."""
        return self._operator.name if self._operator else ""

    def enrolled(self, key_line: str) -> bool:
        """Whether this public key could prove an operator now. Public keys are public; names are not told."""
        try:
            self._holder(key_line)
        except QueenrightError:
            return False
        return True

    def prove_key(self, line: str, signature: str) -> dict[str, Any]:
        """Take an SSH signature over this connection's nonce.

        Raises InvalidSignature, NotEntitled or Malformed.
        """
        self._once()
        operator = self._holder(line)
        message = session_bytes(self._runtime, self._nonce, self._socket)
        verify_sshsig(operator.key_line, SESSION_NAMESPACE, message, signature)
        self._operator = operator
        return self._session(operator)

    def prove_token(self, token: bytes, proof: bytes) -> dict[str, Any]:
        """Take a login token's proof over this connection's nonce. Raises InvalidSignature or NotEntitled."""
        self._once()
        message = token_bytes(self._runtime, self._nonce, self._socket)
        key_line, expires_ms = self._tokens.verify(token, proof, message)
        operator = self._holder(key_line)
        self._operator, self._token, self._expires_ms = operator, token, expires_ms
        return self._session(operator)

    def present(self) -> Signer:
        """The operator, if still enrolled and not logged out since. Raises NotEntitled."""
        if self._operator is None:
            raise NotEntitled("prove an operator's key first", hint="`queenright login`, or pass --key")
        if self._token is not None:
            self._tokens.alive(self._token)
        self._operator = self._holder(self._operator.key_line)
        return self._operator

    async def admit(
        self,
        method: Method,
        params: dict[str, Any],
        order: bytes | None,
        signature: str | None,
    ) -> Caller:
        """The caller as the service sees it, with its order spent where the method needs one.

        Raises NotEntitled, Malformed, InvalidSignature or Conflict.
        """
        if method.need is not Need.ORDER and (order is not None or signature is not None):
            raise Malformed(f"method `{method.name}` takes no order")
        if method.need is Need.NOTHING:
            return self._caller(None)
        operator = self.present()
        if method.need is Need.KEY and self._token is not None:
            hint = "pass --key, or load the key into ssh-agent"
            raise NotEntitled(f"`{method.name}` needs a key; a login is not enough", hint=hint)
        if method.need is not Need.ORDER:
            return self._caller(None)
        return self._caller(await self._spend(operator, method.name, params, order, signature))

    def whoami(self) -> WhoAmI:
        """Raises NotEntitled."""
        operator = self.present()
        return {
            "operator": operator.name,
            "fingerprint": operator.fingerprint,
            "key_kind": parse_key_line(operator.key_line).kind,
            "level": "key" if self._token is None else "token",
            "expires_ms": self._expires_ms,
            "distance": self._gate.distance(operator),
            "owner": operator.owner,
        }

    def _holder(self, key_line: str) -> Signer:
        fingerprint = parse_key_line(key_line).fingerprint
        return self._gate.operators().holder(fingerprint, self._clock.wall_ms())

    def _once(self) -> None:
        if self._tried:
            raise InvalidSignature("a connection proves one key, once", hint="connect again")
        self._tried = True

    def _session(self, operator: Signer) -> dict[str, Any]:
        return {
            "t": "session",
            "operator": operator.name,
            "fingerprint": operator.fingerprint,
            "level": self.level,
            "expires_ms": self._expires_ms,
        }

    def _caller(self, order: SignedOrder | None) -> Caller:
        return Caller(self._connection, self._peer, self._operator, self.level, order)

    async def _spend(
        self,
        operator: Signer,
        name: str,
        params: dict[str, Any],
        order: bytes | None,
        signature: str | None,
    ) -> SignedOrder:
        if order is None or signature is None:
            raise NotEntitled(f"`{name}` gives something: it needs a signed order", hint="pass --key")
        now = self._clock.wall_ms()
        signed = check_order(
            order,
            signature,
            operators=self._gate.operators(),
            caller=operator,
            method=name,
            params=params,
            runtime=self._runtime,
            policy_revision=self._gate.policy_revision(),
            now_ms=now,
        )
        self._gate.entitle(operator, name, params, now)
        await self._gate.spend(signed, operator, name)
        return signed
