"""How hard giving is: by risk, by what was on screen, and by whether the operator armed. Pure; the clock is handed in.

Taking away passes none of this. The phrase to type is never the key that started the approval, and no key held down or
typed ahead can pass both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from queenright.clock import Clock
from queenright_tui.words import last_word

__all__ = ["ARMED_MS", "SETTLE_MS", "Arming", "Confirm", "Demand", "Settled", "demand"]

SETTLE_MS: Final = 400  # a key already on its way when the request appeared must not decide it
ARMED_MS: Final = 15 * 60 * 1000


class Confirm(Enum):
    """What follows the key that starts an approval."""

    NOTHING = "nothing"
    ENTER = "enter"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Demand:
    """What it takes to approve. `phrase` is what must be typed, exactly, for TYPE."""

    confirm: Confirm
    phrase: str = ""


def demand(risk: str, resource: str, *, same_user: bool) -> Demand:
    """The friction of `risk`. An unknown risk is treated as the highest.

    `same_user`: nothing keeps this key from the supervisor's user, so above MED one more word is typed, and it says so.
    """
    extra = " same-user" if same_user else ""
    if risk == "LOW":
        return Demand(Confirm.NOTHING)
    if risk == "MED":
        return Demand(Confirm.ENTER)
    if risk == "HIGH":
        return Demand(Confirm.TYPE, last_word(resource) + extra)
    return Demand(Confirm.TYPE, resource + extra)


class Settled:
    """Whether the request on screen has stood there, unchanged, for long enough."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._digest: bytes | None = None
        self._since = 0
        self.changed = False
        """The request changed while it was on screen: `scope changed, look again`."""

    def painted(self, digest: bytes, *, same_place: bool) -> None:
        """The request with `digest` was painted. `same_place`: it replaced another version of itself."""
        if digest != self._digest:
            self.changed = same_place and self._digest is not None
            self._digest = digest
            self._since = self._clock.boot_ms()

    def gone(self) -> None:
        """Nothing is on screen."""
        self._digest = None
        self.changed = False

    def ready(self, digest: bytes) -> bool:
        return digest == self._digest and self._clock.boot_ms() - self._since >= SETTLE_MS

    @property
    def since_ms(self) -> int:
        return self._clock.boot_ms() - self._since if self._digest is not None else 0


class Arming:
    """OBSERVE until the operator unlocks a key, then ARMED for 15 minutes by boot time (sleep counts)."""

    def __init__(self, clock: Clock, *, read_only: bool = False) -> None:
        self._clock = clock
        self.read_only = read_only
        self._until = 0

    def arm(self) -> None:
        if not self.read_only:
            self._until = self._clock.boot_ms() + ARMED_MS

    def disarm(self) -> None:
        self._until = 0

    @property
    def left_ms(self) -> int:
        return max(0, self._until - self._clock.boot_ms())

    @property
    def armed(self) -> bool:
        return self.left_ms > 0

    @property
    def words(self) -> str:
        """`OBSERVE`, `READ ONLY` or `ARMED 14:32`."""
        if self.read_only:
            return "READ ONLY"
        if not self.armed:
            return "OBSERVE"
        seconds = self.left_ms // 1000
        return f"ARMED {seconds // 60:02}:{seconds % 60:02}"
