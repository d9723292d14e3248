"""A feed without a runtime: a small shop's swarm at a fixed time, and a record of everything it was asked to do."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from queenright.clock import ManualClock
from queenright.core import canonical, digest
from queenright.errors import StaleVerdict, Unknown
from queenright_tui.ask_bytes import open_ask
from queenright_tui.feed import Approval, Changed, Heard, LinkUp, Listed, Listing, OpenAsk, Rows, Verified

NOW = 1_800_000_067_000
OPERATOR = "ana"


def hex_id(kind: str, name: str) -> str:
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()}"


INTENT = hex_id("intent", "shop")


def agent_row(name: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": hex_id("agent", name),
        "name": name,
        "behaviour": "sre.Watcher",
        "intent": INTENT,
        "parent": None,
        "depth": 0,
        "state": "run",
        "mailbox": 3,
        "rate": 12.5,
        "leases": 1,
        "ttl_ms": 700_000,
        "health": [0, 0, 0, 0, 0, 0],
        "cell": "cell-1",
        "shared": True,
        "incarnation": 1,
        "doing": "scraping metrics",
    }
    return row | more


def ask_body(name: str, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "v": 1,
        "kind": "ask",
        "runtime": hashlib.sha256(b"runtime").digest(),
        "intent": bytes.fromhex(INTENT[7:]),
        "revision": 1,
        "agent": bytes.fromhex(hex_id("agent", "remedy-2")[6:]),
        "chain": hashlib.sha256(b"chain").digest(),
        "verb": "db.session.kill",
        "resource": "db:shop/main",
        "args": {"session": "42"},
        "precondition": {"session": "42", "started_ms": NOW - 95_000},
        "risk": "CRITICAL",
        "manifest": hashlib.sha256(b"m").digest(),
        "plan": hashlib.sha256(b"p").digest(),
        "undo": hashlib.sha256(b"u").digest(),
        "dry_run": b"",
        "policy": hashlib.sha256(b"pol").digest(),
        "answer_by": NOW + 528_000,
        "not_after": NOW + 1_428_000,
        "nonce": hashlib.sha256(name.encode()).digest()[:16],
    }
    return body | more


def ask_detail(name: str, **more: Any) -> dict[str, Any]:
    words = ("reason", "effect", "diff", "undo", "purpose", "context", "row")
    body_more = {k: v for k, v in more.items() if k not in words}
    body = ask_body(name, **body_more)
    data = canonical(body)
    row = {
        "id": f"ask-{digest('ask', data).hex()}",
        "state": "open",
        "agent": hex_id("agent", "remedy-2"),
        "agent_name": "remedy-2",
        "intent": INTENT,
        "verb": body["verb"],
        "resource": body["resource"],
        "risk": body["risk"],
        "raised_ms": NOW - 72_000,
        "deadline_ms": body["answer_by"],
        "members": 1,
        "decided_by": "",
        "verdict": "",
    } | more.get("row", {})
    context = {
        "chain": [
            {"id": hex_id("agent", "commander"), "name": "commander", "behaviour": "sre.Commander"},
            {"id": hex_id("agent", "remedy-2"), "name": "remedy-2", "behaviour": "sre.Remedy"},
        ],
        "operator": OPERATOR,
        "purpose": more.get("purpose", "keep the shop's checkout under 400 ms"),
        "reason": more.get(
            "reason", "session 42 of worker-2 holds the write lock since 95 s; 31 requests wait behind it."
        ),
        "effect": more.get("effect", "the connection of worker-2 is closed; its open transaction is lost"),
        "diff": more.get("diff", ""),
        "undo": more.get("undo", ""),
        "blast": {"resources": ["db:shop/main"], "agents": 1, "budget_used": 0, "budget_max": 2},
        "similar": [{"at_ms": NOW - 3_600_000, "operator": "bo", "verdict": "once", "outcome": "done"}],
        "same_person": True,
        "accept_same_user": False,
        "forbidden": "",
    } | more.get("context", {})
    return {
        "row": row,
        "bytes": data,
        "members": [data],
        "reasons": [context["reason"]],
        "more": 0,
        "context": context,
    }


def group(count: int, **more: Any) -> dict[str, Any]:
    """Equal requests of several agents under one card, each with words of its own."""
    details = [
        ask_detail(f"equal-{n}", agent=bytes([n]) * 32, reason=f"wording {n}", **more) for n in range(count)
    ]
    first = details[0]
    first["row"]["members"] = count
    return first | {
        "members": [d["bytes"] for d in details],
        "reasons": [d["context"]["reason"] for d in details],
    }


def leaf_row(index: int, **more: Any) -> dict[str, Any]:
    entry = {
        "index": index,
        "kind": "action",
        "who": "agent remedy-1",
        "verb": "release.rollback",
        "resource": "svc:shop/web",
    }
    row = {
        "index": index,
        "at_ms": NOW - (140 - index) * 1000,
        "kind": "action",
        "who": "remedy-1",
        "verb": "release.rollback",
        "resource": "svc:shop/web",
        "outcome": "done",
        "undo": "exact",
        "hash": hashlib.sha256(bytes([index % 256])).digest(),
        "entry": json.dumps(entry).encode(),
    } | more
    return row


class FakeFeed:
    """What the terminal sees. `emit` says something new; `calls` is what it asked for."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock(NOW)
        self.calls: list[tuple[Any, ...]] = []
        self.armed_with: Any = None
        self.refuse: dict[str, Exception] = {}
        self.tier, self.memory = "full", "hard"
        self.queue: asyncio.Queue[Heard] = asyncio.Queue()
        self.intents = [
            {
                "id": INTENT,
                "swarm": "shop",
                "purpose": "keep the shop's checkout under 400 ms",
                "revision": 1,
                "operator": OPERATOR,
                "state": "live",
                "applied_ms": NOW - 500_000,
                "not_after_ms": NOW + 6_500_000,
                "agents": 7,
                "max_agents": 60,
                "asks_open": 1,
                "leases": 3,
            }
        ]
        commander = hex_id("agent", "commander")
        self.agents = [
            agent_row("watcher", behaviour="sre.Watcher", leases=2),
            agent_row("commander", behaviour="sre.Commander", doing="two findings of three", mailbox=12),
            agent_row(
                "log-1",
                parent=commander,
                depth=1,
                behaviour="sre.Log",
                doing="svc:shop/web 10:36-10:40",
                health=[0, 0, 1, 0, 0, 0],
            ),
            agent_row(
                "metric-1",
                parent=commander,
                depth=1,
                behaviour="sre.Metric",
                doing="http_errors_total",
                rate=64.0,
            ),
            agent_row(
                "metric-2",
                parent=commander,
                depth=1,
                behaviour="sre.Metric",
                state="wait",
                rate=0.0,
                doing="",
                leases=0,
                ttl_ms=None,
            ),
            agent_row(
                "remedy-1",
                parent=commander,
                depth=1,
                behaviour="sre.Remedy",
                state="paused",
                doing="rolled back web",
                ttl_ms=42_000,
            ),
            agent_row(
                "remedy-2",
                parent=commander,
                depth=1,
                behaviour="sre.Remedy",
                state="needs_human",
                mailbox=318,
                rate=0.0,
                health=[0, 0, 0, 2, 5, 7],
                doing="wants db.session.kill",
            ),
        ]
        self.kill = ask_detail("kill")
        self.flag = ask_detail(
            "flag",
            verb="flag.set",
            resource="svc:shop/web",
            args={"flag": "recommendations", "value": "off"},
            risk="LOW",
            precondition={"value": "on"},
            effect="recommendations are no longer shown",
            undo="set it to `on` again",
            diff="-recommendations: on\n+recommendations: off",
            reason="takes load off the database",
            row={"raised_ms": NOW - 9_000},
        )
        self.restart = ask_detail(
            "restart",
            verb="svc.restart",
            resource="svc:shop/worker-2",
            args={"signal": "TERM"},
            risk="HIGH",
            precondition={"pid": 4242, "started_ms": NOW - 400_000},
            effect="worker-2 restarts: 1.2 s without it",
            undo="start it again",
            reason="it does not answer",
            row={"raised_ms": NOW - 40_000},
        )
        self.asks = {detail["row"]["id"]: detail for detail in (self.kill, self.flag, self.restart)}
        self.leaves = [leaf_row(index) for index in range(120, 140)]
        self.leaves[-3] |= {
            "outcome": "denied",
            "verb": "net.open",
            "resource": "tcp:10.0.0.9:5432",
            "who": "log-1",
            "undo": "",
        }
        self.verified = Verified(
            True,
            True,
            140,
            hashlib.sha256(b"root").digest(),
            "every entry, and the tail against your checkpoint of 10:12:07Z",
        )

    # --- hearing ---

    def status(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for row in self.agents:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        return {
            "name": "shop-demo",
            "version": "0.1.0",
            "runtime": hashlib.sha256(b"runtime").digest(),
            "locked": False,
            "stop": "ready",
            "stop_unacked": 0,
            "stop_late": [],
            "uptime_ms": 520_000,
            "now_ms": NOW,
            "distance": "uid",
            "policy_revision": bytes(32),
            "tier": self.tier,
            "memory": self.memory,
            "agents": counts,
            "swarms": 1,
            "cells": 3,
            "own_cells": {"alive": 1, "most": 8, "waiting": 0, "pool": 1, "refused": ""},
            "asks_open": len(self.asks),
            "oldest_ask_ms": NOW - 72_000,
            "leases": 5,
            "ledger_size": 140,
            "ledger_root": bytes(32),
            "ledger_ok": True,
            "messages_per_s": 138.0,
            "denials_per_min": 0.4,
            "mailbox_max": 318,
        }

    def whoami(self) -> dict[str, Any]:
        return {
            "operator": OPERATOR,
            "fingerprint": "SHA256:Qk3vTq0m9PLuJ2y6cX1dEw8rBn5sKfZgHjA4oVi79f",
            "key_kind": "ssh-ed25519",
            "level": "key",
            "expires_ms": None,
            "distance": "uid",
            "owner": True,
        }

    async def events(self) -> AsyncIterator[Heard]:
        yield LinkUp(self.whoami(), self.status())
        for topic, rows in (
            ("intents", self.intents),
            ("agents", self.agents),
            ("asks", [d["row"] for d in self.asks.values()]),
            ("ledger", self.leaves),
        ):
            yield Listing(topic)
            yield Rows(topic, rows)
            yield Listed(topic)
        while True:
            yield await self.queue.get()

    def emit(self, heard: Heard) -> None:
        self.queue.put_nowait(heard)

    def decide_elsewhere(self, ask: str, who: str, verdict: str) -> None:
        """Another operator's verdict arrives."""
        row = self.asks[ask]["row"] | {"state": "approved", "decided_by": who, "verdict": verdict}
        self.asks[ask]["row"] = row
        self.emit(Changed("asks", row))

    def watch_log(self, agent: str | None) -> None:
        self.calls.append(("watch_log", agent))

    # --- calls ---

    def _refuse(self, method: str) -> None:
        error = self.refuse.get(method)
        if error is not None:
            raise error

    async def ask(self, ask: str) -> OpenAsk:
        self._refuse("ask")
        if ask not in self.asks:
            raise Unknown(f"no ask `{ask}`")
        detail = self.asks[ask]
        return open_ask(detail)

    async def agent(self, agent: str) -> dict[str, Any]:
        row = next((row for row in self.agents if row["id"] == agent), None)
        if row is None:
            raise Unknown(f"no agent `{agent}`")
        chain = [
            {"kind": "intent", "id": INTENT, "name": "shop", "certificate": b"", "signature": b""},
            {"kind": "birth", "id": row["id"], "name": row["name"], "certificate": b"", "signature": b""},
        ]
        action = {"at_ms": NOW - 200_000, "agent": agent, "outcome": "done"}
        return {
            "row": row,
            "chain": chain,
            "born_ms": NOW - 450_000,
            "children": 0,
            "grant": [
                {
                    "authority": "exercise",
                    "mode": "allow",
                    "verbs": ["metrics.read"],
                    "resource": "svc:shop/*",
                    "max": None,
                    "used": None,
                },
                {
                    "authority": "exercise",
                    "mode": "allow",
                    "verbs": ["release.rollback"],
                    "resource": "svc:shop/web",
                    "max": 2,
                    "used": 1,
                },
                {
                    "authority": "exercise",
                    "mode": "ask",
                    "verbs": ["db.session.kill"],
                    "resource": "db:shop/main",
                    "max": 2,
                    "used": 0,
                },
            ],
            "not_after_ms": NOW + 6_500_000,
            "leases": [
                {
                    "id": hex_id("lease", "1"),
                    "agent": agent,
                    "agent_name": row["name"],
                    "intent": INTENT,
                    "resource": "svc:shop/admin",
                    "secret": "shop-admin",
                    "delivery": "act",
                    "state": "active",
                    "issued_ms": NOW - 60_000,
                    "expires_ms": NOW + 191_000,
                    "uses": 12,
                }
            ],
            "mailbox": [
                {
                    "sender": hex_id("agent", "commander"),
                    "sender_name": "commander",
                    "type": "sre.Fix",
                    "bytes": 812,
                    "at_ms": NOW - 9_000,
                }
            ],
            "actions": [
                action
                | {
                    "id": hex_id("act", "rollback"),
                    "leaf": 131,
                    "verb": "release.rollback",
                    "resource": "svc:shop/web",
                    "reversibility": "exact",
                    "undo": "point the link at release 42 again",
                },
                action
                | {
                    "id": hex_id("act", "restart"),
                    "leaf": 128,
                    "verb": "svc.restart",
                    "resource": "svc:shop/worker-2",
                    "reversibility": "compensate",
                    "undo": "start it again",
                },
                action
                | {
                    "id": hex_id("act", "kill"),
                    "leaf": 125,
                    "verb": "db.session.kill",
                    "resource": "db:shop/main",
                    "reversibility": "none",
                    "undo": "a killed session is gone",
                },
                action
                | {
                    "id": hex_id("act", "scrape"),
                    "leaf": 121,
                    "verb": "metrics.read",
                    "resource": "svc:shop/web",
                    "reversibility": "read",
                    "undo": "it only read",
                },
            ],
            "ask": None,
            "last_error": "",
        }

    async def agent_log(self, agent: str) -> dict[str, Any]:
        lines = [
            {
                "seq": n,
                "at_ms": NOW - (30 - n) * 1000,
                "stream": "log",
                "text": f"http_errors_total rose to {n * 7} in 10 s",
            }
            for n in range(30)
        ]
        return {"lines": lines, "next": 30, "dropped": 0}

    async def ledger(self, query: str, after: int | None = None) -> dict[str, Any]:
        self.calls.append(("ledger", query))
        rows = [row for row in self.leaves if query in row["verb"] or query in row["who"]]
        return {"rows": rows, "next": None, "size": 140}

    async def why(self, target: str) -> dict[str, Any]:
        self.calls.append(("why", target))
        steps = [
            {
                "what": "release.rollback svc:shop/web done",
                "who": "remedy-1",
                "at_ms": NOW - 9000,
                "leaf": 131,
                "detail": "",
                "checked": True,
            },
            {
                "what": "born under",
                "who": "commander",
                "at_ms": NOW - 90_000,
                "leaf": 104,
                "detail": "errors after release 42",
                "checked": True,
            },
            {
                "what": "intent signed",
                "who": OPERATOR,
                "at_ms": NOW - 500_000,
                "leaf": 3,
                "detail": "",
                "checked": True,
            },
        ]
        return {"id": target, "kind": "act", "steps": steps}

    async def verify(self) -> Verified:
        self.calls.append(("verify",))
        self._refuse("verify")
        return self.verified

    async def take(self, method: str, target: str, reason: str) -> dict[str, Any]:
        self.calls.append((method, target))
        self._refuse(method)
        return {"count": 3, "leaf": 141, "unacked": 0}

    async def deny(self, ask: str, reason: str) -> dict[str, Any]:
        self.calls.append(("deny", ask, reason))
        return self._decided(ask, "denied", "deny")

    async def approve(self, approval: Approval) -> dict[str, Any]:
        if self.armed_with is None:
            raise AssertionError("asked to sign without a key")
        ask = approval.ask.detail["row"]["id"]
        self.calls.append(
            (
                "approve",
                ask,
                approval.ask.digest,
                approval.kind,
                approval.args,
                approval.max_uses,
                approval.same_user,
            )
        )
        if self.asks[ask]["row"]["state"] != "open":
            raise StaleVerdict("the ask was decided")
        self.armed_with.sign("approve@queenright.v1", approval.ask.digest)
        return self._decided(ask, "approved", approval.kind)

    def _decided(self, ask: str, state: str, verdict: str) -> dict[str, Any]:
        row = self.asks[ask]["row"] | {"state": state, "decided_by": OPERATOR, "verdict": verdict}
        self.asks[ask]["row"] = row
        self.emit(Changed("asks", row))
        return {"ask": ask, "state": state, "leaf": 142}

    async def give(self, method: str, target: str) -> dict[str, Any]:
        self.calls.append((method, target))
        return {"count": 1, "leaf": 143, "unacked": 0}

    async def undo_preview(self, target: str) -> dict[str, Any]:
        self.calls.append(("undo_preview", target))
        rough = target == hex_id("act", "restart")
        step = {
            "action": target,
            "verb": "svc.restart" if rough else "release.rollback",
            "resource": "svc:shop/worker-2" if rough else "svc:shop/web",
            "reversibility": "compensate" if rough else "exact",
            "what": "the link `current` points at release 42 again",
            "diff": "-current -> releases/41\n+current -> releases/42",
            "conflict": "",
        }
        return {
            "target": target,
            "steps": [step],
            "skipped": [],
            "bytes": canonical({"v": 1, "target": target}),
        }

    async def undo(self, preview: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(("undo", preview["target"], preview["bytes"]))
        return {"target": preview["target"], "done": [preview["target"]], "failed": [], "leaf": 144}

    def arm(self, signer: Any) -> None:
        self.armed_with = signer

    def disarm(self) -> None:
        if self.armed_with is not None:
            self.armed_with.close()
        self.armed_with = None

    async def close(self) -> None:
        self.calls.append(("close",))


class FakeSigner:
    """Signs nothing real; counts what it was asked to sign."""

    where = "a test"

    def __init__(self) -> None:
        self.signed: list[tuple[str, bytes]] = []
        self.closed = False

    def sign(self, namespace: str, message: bytes) -> str:
        if self.closed:
            raise AssertionError("asked to sign after it was closed")
        self.signed.append((namespace, message))
        return "signature"

    def close(self) -> None:
        self.closed = True
