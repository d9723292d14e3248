"""What the terminal knows of the runtime: rows by identity, counts, and how old all of it is.

Fed by `feed`, read by screens. Nothing here waits or draws. Rows carry agents' text as it came; it is sanitised
where it is drawn.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from queenright.clock import Clock
from queenright.control.protocol import Status, WhoAmI
from queenright.core import View
from queenright_tui.feed import Changed, Heard, LinkDown, LinkUp, Listed, Listing, Rows

__all__ = ["AGENT_COLUMNS", "Model", "leaf_key", "row_key"]

# Sorting and filtering happen in the core, over these values.
AGENT_COLUMNS: Final = (
    ("name", "text"), ("state", "text"), ("mailbox", "int"), ("rate", "float"), ("leases", "int"), ("ttl", "int"),
    ("errors", "int"), ("attention", "int"), ("doing", "text"), ("intent", "text"), ("behaviour", "text"),
)  # fmt: skip
ASK_COLUMNS: Final = (
    ("rank", "int"),
    ("agent", "text"),
    ("verb", "text"),
    ("resource", "text"),
    ("risk", "text"),
)
LEAF_COLUMNS: Final = (
    ("index", "int"),
    ("who", "text"),
    ("verb", "text"),
    ("resource", "text"),
    ("outcome", "text"),
)

ATTENTION: Final = {"needs_human": 6, "suspect": 5, "frozen": 4, "paused": 3, "run": 2, "wait": 1, "ended": 0}
RISK_RANK: Final = {"LOW": 1, "MED": 2, "HIGH": 3, "CRITICAL": 4}
NEVER_MS: Final = 1 << 43
SAMPLES: Final = 20  # one a second
LEAVES: Final = 5_000  # newest ledger rows held for scrolling; older ones are asked for by a query
DECIDED: Final = 20


def row_key(text: str) -> bytes:
    """A row's identity from an id as text."""
    return text.encode()


def leaf_key(index: int) -> bytes:
    return index.to_bytes(8, "big")


class Model:
    """`apply` takes one thing heard; `dirty` names what changed since it was last emptied."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.up = False
        self.link_words = "connecting"
        self.down_since = clock.boot_ms()
        self.whoami: WhoAmI | None = None
        self.status: Status | None = None
        self.skew_ms = 0
        self.agents: dict[bytes, Any] = {}
        """AgentRow by `row_key(id)`, and IntentRow for the roots of the tree."""
        self.agent_view = View(AGENT_COLUMNS)
        self.agent_view.set_tree(True)
        self.agent_view.set_sort("attention", True)
        self.asks: dict[bytes, Any] = {}
        self.ask_view = View(ASK_COLUMNS)
        self.ask_view.set_sort("rank", True)
        self.decided: deque[Any] = deque(maxlen=DECIDED)
        self.leaves: dict[bytes, Any] = {}
        self.leaf_view = View(LEAF_COLUMNS)
        self.leaf_view.set_sort("index", True)
        self.incidents: deque[Any] = deque(maxlen=SAMPLES)
        self.mailbox_samples: deque[float] = deque(maxlen=SAMPLES)
        self.denial_samples: deque[float] = deque(maxlen=SAMPLES)
        self.log_lines: dict[str, list[Any]] = {}
        """Lines heard and not yet taken by the screen, by agent."""
        self.dirty: set[str] = {"all"}
        self._listing: dict[str, set[bytes]] = {}

    # --- time ---

    def now_ms(self) -> int:
        """The runtime's wall clock, as far as this process knows it."""
        return self.clock.wall_ms() + self.skew_ms

    # --- counts ---

    @property
    def open_asks(self) -> int:
        return sum(row["members"] for row in self.asks.values())

    @property
    def oldest_ask_ms(self) -> int | None:
        """When the oldest open ask was raised."""
        return min((row["raised_ms"] for row in self.asks.values()), default=None)

    # --- hearing ---

    def apply(self, heard: Heard) -> None:
        """Take in one thing heard."""
        match heard:
            case LinkUp(whoami, status):
                self.up, self.link_words, self.whoami = True, "", whoami
                self._status(status)
                self.dirty.add("link")
            case LinkDown(why):
                if self.up:
                    self.down_since = self.clock.boot_ms()
                self.up, self.link_words = False, why
                self.dirty.add("link")
            case Listing(topic):
                self._listing[topic] = set()
            case Rows(topic, rows):
                for row in rows:
                    self._row(topic, row)
            case Listed(topic):
                self._end(topic)
            case Changed(topic, data):
                self._row(topic, data)

    def _end(self, topic: str) -> None:
        seen = self._listing.pop(topic, None)
        if seen is None:
            return
        if topic == "agents":
            gone = [key for key, row in self.agents.items() if "swarm" not in row and key not in seen]
            for key in gone:
                self._drop_agent(key)
        elif topic == "intents":
            for key in [key for key, row in self.agents.items() if "swarm" in row and key not in seen]:
                self._drop_agent(key)
        elif topic == "asks":
            for key in [key for key in self.asks if key not in seen]:
                self._drop_ask(key)
        elif topic == "ledger":
            for key in [key for key in self.leaves if key not in seen]:
                del self.leaves[key]
                self.leaf_view.remove(key)
        self.dirty.add(topic)

    def _row(self, topic: str, row: Any) -> None:
        if topic.startswith("log:"):
            self.log_lines.setdefault(topic[4:], []).append(row)
            self.dirty.add("log")
            return
        if topic == "status":
            self._status(row)
            return
        if topic == "incidents":
            self.incidents.append(row)
            self.dirty.add("incidents")
            return
        key = leaf_key(row["index"]) if topic == "ledger" else row_key(row["id"])
        if topic in self._listing:
            self._listing[topic].add(key)
        if topic == "agents":
            if row.get("gone"):
                self._drop_agent(key)
            else:
                self._agent(key, row)
        elif topic == "intents":
            self._intent(key, row)
        elif topic == "asks":
            self._ask(key, row)
        elif topic == "ledger":
            self._leaf(key, row)
        self.dirty.add(topic)

    def _status(self, status: Status) -> None:
        self.status = status
        self.skew_ms = status["now_ms"] - self.clock.wall_ms()
        if "mailbox_max" in status:
            self.mailbox_samples.append(status["mailbox_max"])
        if "denials_per_min" in status:
            self.denial_samples.append(status["denials_per_min"])
        self.dirty.add("status")

    # --- agents ---

    def _agent(self, key: bytes, row: Any) -> None:
        if row["ttl_ms"] is not None:
            # Counted from the lease's end by the runtime's clock, not from when this screen drew it.
            row = row | {"ends_ms": self.now_ms() + row["ttl_ms"]}
        self.agents[key] = row
        values = [
            row["name"], row["state"], row["mailbox"], row["rate"], row["leases"], row.get("ends_ms", NEVER_MS),
            sum(row["health"]), ATTENTION.get(row["state"], 5), row["doing"], row["intent"], row["behaviour"],
        ]  # fmt: skip
        # A parent that has not come yet, or is long gone, is no matter: the view hangs the row when it can.
        self.agent_view.upsert(key, values, row_key(row["parent"] or row["intent"]))

    def _intent(self, key: bytes, row: Any) -> None:
        self.agents[key] = row
        attention = (
            6 if row["asks_open"] else ATTENTION.get("frozen" if row["state"] == "frozen" else "run", 1)
        )
        values = [
            row["swarm"], row["state"], 0, 0.0, row["leases"], row["not_after_ms"], 0, attention, row["purpose"],
            row["id"], "",
        ]  # fmt: skip
        self.agent_view.upsert(key, values, None)

    def _drop_agent(self, key: bytes) -> None:
        if self.agents.pop(key, None) is not None:
            self.agent_view.remove(key)

    # --- asks and leaves ---

    def _ask(self, key: bytes, row: Any) -> None:
        if row["state"] != "open":
            if self._drop_ask(key):
                self.decided.appendleft(row | {"heard_ms": self.now_ms()})
            return
        self.asks[key] = row
        # By risk, then by age: the riskiest first, and of those the one that waits longest.
        rank = RISK_RANK.get(row["risk"], 9) * NEVER_MS + (NEVER_MS - row["raised_ms"])
        self.ask_view.upsert(key, [rank, row["agent_name"], row["verb"], row["resource"], row["risk"]])

    def _drop_ask(self, key: bytes) -> bool:
        if self.asks.pop(key, None) is None:
            return False
        self.ask_view.remove(key)
        return True

    def _leaf(self, key: bytes, row: Any) -> None:
        self.leaves[key] = row
        self.leaf_view.upsert(key, [row["index"], row["who"], row["verb"], row["resource"], row["outcome"]])
        if len(self.leaves) > LEAVES:
            oldest = min(self.leaves)
            del self.leaves[oldest]
            self.leaf_view.remove(oldest)
