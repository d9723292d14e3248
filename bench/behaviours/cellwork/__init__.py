"""What agents of one cell do in W1 to W7. All messages are volatile; every handler is a coroutine; only the authors' API."""

from __future__ import annotations

import json

from queenright.agent import Context


def told(ctx: Context, count: int, nanoseconds: int) -> None:
    """The figure of a run, as a log line that the driver reads."""
    ctx.log("bench " + json.dumps({"count": count, "seconds": nanoseconds / 1e9}))
