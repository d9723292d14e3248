"""Steps: what `ctx` returns and a handler awaits. Each is recorded before its effect and gives the same when run again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from queenright.core.cell import Suspension

if TYPE_CHECKING:
    from queenright.agent.message import Message
    from queenright.agent.turn import Turn

__all__ = ["Gather", "Step"]

T = TypeVar("T")


def _same(value: Any) -> Any:
    return value


class Step(Suspension, Generic[T]):
    """One step: `kind` and `request` say what is wanted, `convert` makes the author's value of the recorded one.

    It opens when it is awaited, once. `carries` is a message to be sealed for its receiver when the request is written;
    `compute` is the work of a step that is done in the cell itself (`ctx.run`).
    """

    __slots__ = (
        "_turn",
        "carries",
        "compute",
        "convert",
        "error",
        "kind",
        "ordinal",
        "request",
        "settled",
        "value",
    )

    def __init__(
        self,
        turn: Turn,
        kind: str,
        request: dict[str, Any],
        convert: Callable[[Any], T] = _same,
        *,
        carries: tuple[bytes, Message] | None = None,
        compute: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._turn = turn
        self.kind = kind
        self.request = request
        self.convert = convert
        self.carries = carries
        self.compute = compute
        self.ordinal: int | None = None
        self.settled = False
        self.value: Any = None
        self.error: Exception | None = None

    def settle(self, value: Any) -> None:
        """The recorded value has come. A value that does not convert is the step's error."""
        self.settled = True
        try:
            self.value = self.convert(value)
        except Exception as error:
            self.error = error

    def fail(self, error: Exception) -> None:
        """The recorded refusal has come."""
        self.settled = True
        self.error = error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        value: T = self.value
        return value

    def __await__(self) -> Generator[Suspension, None, T]:
        self._turn.open((self,))
        while not self.settled:
            yield self
        self._turn.close((self,))
        return self.result()


class Gather(Suspension):
    """Several steps open at once; ordinals in the order of the arguments. Waits for all, whatever happens to one."""

    __slots__ = ("_return_errors", "_steps", "_turn")

    def __init__(self, turn: Turn, steps: Sequence[Step[Any]], return_errors: bool) -> None:
        self._turn = turn
        self._steps = tuple(steps)
        self._return_errors = return_errors

    def __await__(self) -> Generator[Suspension, None, list[Any]]:
        self._turn.open(self._steps)
        while not all(step.settled for step in self._steps):
            yield self
        self._turn.close(self._steps)
        if self._return_errors:
            return [step.value if step.error is None else step.error for step in self._steps]
        return [step.result() for step in self._steps]
