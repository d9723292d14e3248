"""A batch of births as a cell proposes it: the form of the request, and what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.core import MAX_BIRTHS, BirthBatch
from queenright.errors import Malformed
from queenright.wire.certificate import BatchStatement

__all__ = ["MAX_ARGS", "Brood", "check_shape"]

MAX_ARGS = 64 * 1024  # of one agent


@dataclass(frozen=True, slots=True)
class Brood:
    """A batch of births that a cell proposed: what was signed, its members, and the request as it came."""

    statement: BatchStatement
    members: BirthBatch
    request: dict[str, Any]

    @property
    def result(self) -> dict[str, Any]:
        """What the cell needs to make the members again."""
        return {
            "root": self.statement.root,
            "count": self.statement.count,
            "born_ms": self.statement.born_ms,
            "seed": self.request["seed"],
        }


def check_shape(request: dict[str, Any]) -> None:
    """Raises Malformed for a request that no cell of ours would send."""
    shape = {
        "behaviour": str, "package": bytes, "born_ms": int, "seed": bytes, "grant": dict, "root": bytes, "signature": bytes,
    }  # fmt: skip
    if request.keys() != shape.keys() | {"names", "args"}:
        raise Malformed("births in a batch carry what they share, names, arguments, a root and its signature")
    if any(type(request[name]) is not kind for name, kind in shape.items()):
        raise Malformed("births in a batch: a field has the wrong type")
    if (len(request["package"]), len(request["seed"]), len(request["root"])) != (32, 12, 32):
        raise Malformed("births in a batch: a digest has 32 bytes and a seed 12")
    if request["born_ms"] < 0:
        raise Malformed("births in a batch: a time before 1970")
    names, args = request["names"], request["args"]
    if isinstance(names, dict):
        if (
            names.keys() != {"stem", "count"}
            or type(names["stem"]) is not str
            or type(names["count"]) is not int
        ):
            raise Malformed("counted names are a stem and a count")
        count = names["count"]
    elif isinstance(names, list) and all(type(name) is str for name in names):
        count = len(names)
    else:
        raise Malformed("names are a list of text, or a stem and a count")
    if not 0 < count <= MAX_BIRTHS:
        raise Malformed(f"a batch of {count} births: 1 to {MAX_BIRTHS} are born at once")
    each = [args] if isinstance(args, bytes) else args
    if not isinstance(each, list) or any(type(one) is not bytes or len(one) > MAX_ARGS for one in each):
        raise Malformed(f"arguments are bytes, at most {MAX_ARGS} of one agent")
