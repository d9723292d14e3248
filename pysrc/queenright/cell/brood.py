"""Births in a batch, in the parent's cell: made from one template, signed once, their refs made when looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from queenright.agent.ref import AgentRef
from queenright.core import BirthBatch, canonical, digest
from queenright.wire.certificate import BatchStatement

__all__ = ["Brood", "Litter"]


class Brood(Sequence[AgentRef]):
    """The refs of a batch's members, in the order in which they were named."""

    __slots__ = ("_members",)

    def __init__(self, members: BirthBatch) -> None:
        self._members = members

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> AgentRef: ...
    @overload
    def __getitem__(self, index: slice) -> list[AgentRef]: ...
    def __getitem__(self, index: int | slice) -> AgentRef | list[AgentRef]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"no member {index} among {len(self)}")
        return AgentRef(self._members.id(at), self._members.name(at))


class Litter:
    """Members to be: what the parent says of all of them. The same request in another run has another seed and time."""

    def __init__(
        self, *, runtime: bytes, intent: bytes, parent: AgentRef, behaviour: str, package: bytes,
        names: list[str] | tuple[str, int], grant: dict[str, Any], args: bytes | list[bytes],
    ) -> None:  # fmt: skip
        self._runtime, self._intent, self._parent = runtime, intent, parent
        self._names = names
        self._args = (
            digest("args", args) if isinstance(args, bytes) else [digest("args", one) for one in args]
        )
        self._made: tuple[bytes, BirthBatch] | None = None
        self.request: dict[str, Any] = {
            "behaviour": behaviour,
            "package": package,
            "names": {"stem": names[0], "count": names[1]} if isinstance(names, tuple) else names,
            "grant": grant,
            "args": args,
        }

    def _statement(self, born_ms: int, root: bytes) -> BatchStatement:
        request = self.request
        return BatchStatement(
            runtime=self._runtime, intent=self._intent, parent=self._parent.id, behaviour=request["behaviour"],
            package=request["package"], grant=digest("grant", canonical(request["grant"])), born_ms=born_ms,
            count=self._names[1] if isinstance(self._names, tuple) else len(self._names), root=root,
        )  # fmt: skip

    def _members(self, born_ms: int, seed: bytes) -> BirthBatch:
        if self._made is None or self._made[0] != seed:
            said = self._statement(born_ms, bytes(32))
            family = self._parent.name
            self._made = seed, said.members(family=family, seed=seed, names=self._names, args=self._args)
        return self._made[1]

    def propose(self, born_ms: int, seed: bytes) -> tuple[dict[str, Any], bytes]:
        """What is asked for but for its signature, and what is to be signed."""
        root = self._members(born_ms, seed).root
        asked = self.request | {"born_ms": born_ms, "seed": seed, "root": root}
        return asked, self._statement(born_ms, root).signed_bytes

    def born(self, value: dict[str, Any]) -> Brood:
        """The members the supervisor says were born, which another run may have proposed."""
        return Brood(self._members(value["born_ms"], value["seed"]))
