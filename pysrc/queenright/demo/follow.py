"""Follows the swarm over the control socket and tells what happens: births, ends, asks, and what agents log."""

from __future__ import annotations

import re
import threading
from typing import Any

from queenright.control.client import Client
from queenright.demo.tell import Tell
from queenright.errors import NoSupervisor, QueenrightError, TimedOut, Unknown

__all__ = ["Follow"]

SEVERITY = re.compile(r"incident \d+: severity (small|severe): (.+)")
TOPICS = ("agents", "asks", "incidents", "status")  # a status comes every second, so nothing waits for long
SILENT_S = 20.0  # without any event: the supervisor hangs
HEARD = frozenset(
    {"sre.Watcher", "sre.Commander", "sre.Remedy"}
)  # whose words are the story; the others find


class Follow(threading.Thread):
    """Runs beside the story with a connection of its own. `error` says why it stopped, if it was not told to."""

    def __init__(self, client: Client, tell: Tell) -> None:
        super().__init__(name="follow", daemon=True)
        self._client, self._tell = client, tell
        self._over = threading.Event()
        self._heard: dict[str, tuple[str, int]] = {}  # agent -> name, next log line
        self._asks: dict[str, str] = {}  # ask -> state
        self.live: dict[str, dict[str, Any]] = {}
        self.said: list[tuple[int, str, str]] = []  # (wall ms, agent's name, line) of those heard
        self.error = ""

    def stop(self) -> None:
        self._over.set()
        self.join(10)

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._listen()
        except NoSupervisor as error:
            if not self._over.is_set():
                self.error = error.message
        except QueenrightError as error:
            self.error = error.message

    def severity(self, since_ms: int) -> tuple[str, str]:
        """(level, measured numbers) as the first commander since then printed them; empty if there was none."""
        for at_ms, _, line in self.said:
            if at_ms >= since_ms and (found := SEVERITY.fullmatch(line)):
                return found[1], found[2]
        return "", ""

    def heard(self, since_ms: int, words: str) -> bool:
        """Whether an agent has said `words` since then."""
        return any(at_ms >= since_ms and words in line for at_ms, _, line in self.said)

    def _listen(self) -> None:
        """Until somebody is to be heard whose log is not watched yet.

        All is listed once the watch is in force, which the first event says: what happened before it, and what
        the server dropped when the topics changed, is in the list.
        """
        watched, listed = set(self._heard), False
        for event in self._client.watch([*TOPICS, *(f"log:{agent}" for agent in watched)], idle_s=SILENT_S):
            if not listed:
                self._list()
                listed = True
            topic, data = event["topic"], event["data"]
            if topic == "agents":
                self._agent(data)
            elif topic == "asks":
                self._ask(data)
            elif topic == "incidents":
                self._tell.say("supervisor", f"{data['kind']}: {data['text']}")
            elif topic == "resync":
                self._list()
            elif topic.startswith("log:"):
                self._log(topic.removeprefix("log:"), data)
            if set(self._heard) != watched or self._over.is_set():
                return
        raise TimedOut(f"the supervisor said nothing for {SILENT_S:.0f} s")

    def _list(self) -> None:
        """All of it again: at the start, and whenever events were lost."""
        rows, after = [], None
        while True:
            page = self._client.call("agents", after=after)
            rows += page["rows"]
            after = page["next"]
            if after is None:
                break
        live = {row["id"]: row for row in rows if row["state"] != "ended"}
        for gone in set(self.live) - set(live):
            self._agent({"id": gone, "gone": True})
        for row in live.values():
            self._agent(row)
        for row in self._client.call("asks")["rows"]:
            self._ask(row)
        for agent, (_, after_line) in list(self._heard.items()):
            try:
                page = self._client.call("agent_log", agent=agent, after=after_line - 1)
            except Unknown:
                continue
            for line in page["lines"]:
                self._log(agent, line)

    def _agent(self, row: dict[str, Any]) -> None:
        agent = row["id"]
        if row.get("gone") or row["state"] == "ended":
            self.live.pop(agent, None)
            return
        self.live[agent] = row
        if row["behaviour"] in HEARD and agent not in self._heard:
            self._heard[agent] = (row["name"].rpartition("/")[2], 0)

    def _ask(self, row: dict[str, Any]) -> None:
        known, state = self._asks.get(row["id"]), row["state"]
        if known == state:
            return
        self._asks[row["id"]] = state
        if state == "open":
            self._tell.say(
                "ask", f"{row['verb']} on {row['resource']}, risk {row['risk']}: a person must decide"
            )
        else:
            by = f" by {row['decided_by'].replace('-', ' ')}" if row["decided_by"] else ""
            self._tell.say("ask", f"{row['verb']} on {row['resource']}: {state}{by}")

    def _log(self, agent: str, line: dict[str, Any]) -> None:
        name, after = self._heard.get(agent, ("", 0))
        if name and line["seq"] >= after:
            self._heard[agent] = (name, line["seq"] + 1)
            if line["stream"] == "log":
                self.said.append((line["at_ms"], name, line["text"]))
                self._tell.say(name, line["text"])
