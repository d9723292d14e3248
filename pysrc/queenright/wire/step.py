"""What a re-run of a turn must present at a place to get what is recorded there: digests of steps and of sends.

Bytes that differ in every life (a seal, a birth's nonce, its time and signature, the value `ctx.run` computed) are left out,
and so is whether a message travelled plain or sealed, because its receiver may have moved. What they stand for is kept: the
child's name, behaviour, grant and arguments; of a message its receiver, type and `plain_digest`, which the cell gives with
every send and call.
"""

from __future__ import annotations

from typing import Any

from queenright.core import canonical, decode, digest
from queenright.errors import Malformed
from queenright.wire.certificate import Birth

__all__ = ["op_digest", "step_digest"]


_TRAVEL = ("body", "sealed")
_OF_THIS_RUN = ("born_ms", "seed", "root", "signature")


def _stable(body: dict[str, Any]) -> dict[str, Any]:
    if "plain_digest" not in body:
        return body
    return {name: value for name, value in body.items() if name not in _TRAVEL}


def step_digest(kind: str, request: bytes) -> bytes:
    """The digest of a step's canonical request. Raises Malformed if the request is no canonical map."""
    body = decode(request)
    if not isinstance(body, dict):
        raise Malformed("a step's request is a map")
    if kind == "spawn" and isinstance(body.get("certificate"), bytes):
        birth = Birth.decode(body["certificate"])
        body = {
            "name": birth.name, "behaviour": birth.behaviour, "package": birth.package, "grant": birth.grant,
            "args": birth.args,
        }  # fmt: skip
    elif kind == "spawn_many":
        body = {name: value for name, value in body.items() if name not in _OF_THIS_RUN}
    elif kind == "run":
        body = {"name": body.get("name")}
    return digest("step", canonical([kind, _stable(body)]))


def op_digest(op: dict[str, Any]) -> bytes:
    """The digest of one op of a record."""
    return digest("op", canonical(_stable(op)))
