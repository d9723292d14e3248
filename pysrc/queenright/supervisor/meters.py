"""Small exact counters over the last minute: messages handled and turns failed, by agent, in ten-second buckets."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BUCKETS", "BUCKET_MS", "Meter", "Meters"]

BUCKET_MS = 10_000
BUCKETS = 6


@dataclass(slots=True)
class Meter:
    """One agent's counts; index 0 is the present bucket."""

    handled: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    failed: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    bucket: int = 0

    def roll(self, now_boot: int) -> None:
        bucket = now_boot // BUCKET_MS
        shift = min(BUCKETS, max(0, bucket - self.bucket))
        if shift:
            self.handled = [0] * shift + self.handled[: BUCKETS - shift]
            self.failed = [0] * shift + self.failed[: BUCKETS - shift]
            self.bucket = bucket


class Meters:
    """All agents' meters, and the runtime's own totals."""

    def __init__(self) -> None:
        self._by_agent: dict[bytes, Meter] = {}
        self.total = Meter()
        self.denials = Meter()

    def handled(self, agent: bytes, now_boot: int, *, ok: bool) -> None:
        """A turn ended."""
        for meter in (self._by_agent.setdefault(agent, Meter()), self.total):
            meter.roll(now_boot)
            if ok:
                meter.handled[0] += 1
            else:
                meter.failed[0] += 1

    def denied(self, now_boot: int) -> None:
        self.denials.roll(now_boot)
        self.denials.handled[0] += 1

    def rate(self, agent: bytes, now_boot: int) -> float:
        """Messages a second over the present and the last whole bucket."""
        return _rate(self._by_agent.get(agent), now_boot)

    def total_rate(self, now_boot: int) -> float:
        return _rate(self.total, now_boot)

    def denials_per_minute(self, now_boot: int) -> float:
        self.denials.roll(now_boot)
        return float(sum(self.denials.handled))

    def errors(self, agent: bytes, now_boot: int) -> list[int]:
        """Failed turns of the last six buckets, oldest first."""
        meter = self._by_agent.get(agent)
        if meter is None:
            return [0] * BUCKETS
        meter.roll(now_boot)
        return list(reversed(meter.failed))

    def forget(self, agent: bytes) -> None:
        self._by_agent.pop(agent, None)


def _rate(meter: Meter | None, now_boot: int) -> float:
    if meter is None:
        return 0.0
    meter.roll(now_boot)
    window_ms = now_boot % BUCKET_MS + BUCKET_MS
    return round((meter.handled[0] + meter.handled[1]) * 1000 / window_ms, 2)
