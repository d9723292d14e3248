"""The reading half of the control service: rows and details, never a secret, never a message's body."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queenright.authority.ask import Ask
from queenright.authority.asks import AskHead
from queenright.authority.decision import Decision
from queenright.authority.intents import Standing
from queenright.control.protocol import (
    AgentDetail,
    AgentPage,
    AskContext,
    AskDetail,
    AskPage,
    AskRow,
    BehaviourRow,
    CanResult,
    CertificateRow,
    Checkpoint,
    GrantRow,
    Health,
    IntentDetail,
    IntentRow,
    LeaseRow,
    LedgerCopy,
    LedgerExport,
    LedgerFile,
    LedgerPage,
    LogPage,
    OperatorsView,
    Resolved,
    ResourcesView,
    SecretRow,
    Status,
    UndoPreview,
    UndoStep,
    Why,
)
from queenright.control.service import Caller
from queenright.core import sanitize_name
from queenright.errors import LedgerUnwritable, Malformed, Unknown
from queenright.ledger import Query
from queenright.ledger.export import EVIDENCE
from queenright.ledger.log import ENTRIES, LOG_VKEY
from queenright.supervisor.agents import Agent
from queenright.supervisor.explain import explain, leaf_row
from queenright.supervisor.find import find
from queenright.supervisor.rows import NAME_CHARACTERS, agent_row, agent_state, lease_row, mailbox_heads
from queenright.wire.ids import full

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Reading"]

PAGE = 500  # rows of one answer, so that an answer fits a frame
LOG_PAGE = 1000
MEMBERS = 200  # of one card


class Reading:
    """What any session may see."""

    def __init__(self, rt: Runtime, name: str) -> None:
        self.rt = rt
        self.name = name

    def locked(self) -> bool:
        return self.rt.locked

    # --- the whole ------------------------------------------------------------------------------------------------

    async def health(self, caller: Caller) -> Health:
        rt = self.rt
        return {
            "version": rt.version,
            "locked": rt.locked,
            "ledger_ok": rt.ledger_ok(),
            "stopped": rt.stopped,
            "uptime_ms": rt.clock.boot_ms() - rt.started_boot,
            "agents": sum(1 for agent in rt.agents if not agent.ended),
            "cells": len(rt.cells),
            "asks_open": sum(1 for head in rt.asks if head.state == "open"),
            "leases": len(rt.leases),
        }

    async def status(self, caller: Caller) -> Status:
        rt = self.rt
        boot = rt.clock.boot_ms()
        opened = [head.raised_ms for head in rt.asks if head.state == "open"]
        return {
            "name": self.name,
            "version": rt.version,
            "runtime": rt.runtime_key,
            "locked": rt.locked,
            "stop": "stopped" if rt.stopped else ("stopping" if rt.unacked else "ready"),
            "stop_unacked": rt.unacked,
            "uptime_ms": boot - rt.started_boot,
            "now_ms": rt.clock.wall_ms(),
            "distance": rt.gate.distance(caller.operator) if caller.operator is not None else "none",
            "policy_revision": rt.documents.policy_revision,
            "agents": dict(Counter(agent_state(rt, agent) for agent in rt.agents)),
            "swarms": len(rt.swarms.live()),
            "cells": len(rt.cells),
            "asks_open": len(opened),
            "oldest_ask_ms": min(opened, default=None),
            "leases": len(rt.leases),
            "ledger_size": rt.ledger.size,
            "ledger_root": rt.ledger.root(),
            "ledger_ok": rt.ledger_ok(),
            "messages_per_s": rt.meters.total_rate(boot),
            "denials_per_min": rt.meters.denials_per_minute(boot),
            "mailbox_max": max(
                (len(rt.mail.box(agent.id).heads) for agent in rt.agents if not agent.ended), default=0
            ),
        }

    async def resolve(self, caller: Caller, text: str, kind: str | None = None) -> Resolved:
        kinds = ("agent", "intent", "ask", "lease", "act") if kind is None else (kind,)
        found, digest = find(self.rt, text, kinds)
        name = self.rt.agents.get(digest).name if found == "agent" else ""
        return {"kind": found, "id": full(found, digest), "name": sanitize_name(name, NAME_CHARACTERS)}

    async def logs(self, caller: Caller, after: int | None = None, limit: int | None = None) -> LogPage:
        lines, following, dropped = self.rt.log.read(
            after if after is not None else -1, min(limit or LOG_PAGE, LOG_PAGE)
        )
        return {
            "lines": [
                {"seq": line.seq, "at_ms": line.at_ms, "stream": "runtime", "text": line.text}
                for line in lines
            ],
            "next": following,
            "dropped": dropped,
        }

    # --- intents --------------------------------------------------------------------------------------------------

    def intent_row(self, standing: Standing) -> IntentRow:
        rt, intent = self.rt, standing.intent
        members = rt.agents.of_intent(intent.id)
        return {
            "id": full("intent", intent.id),
            "swarm": intent.swarm,
            "purpose": intent.purpose,
            "revision": intent.revision,
            "operator": standing.signer,
            "state": standing.state_at(rt.clock.wall_ms()),
            "applied_ms": standing.applied_ms,
            "not_after_ms": intent.not_after,
            "agents": sum(1 for agent in members if not agent.ended),
            "max_agents": intent.limits.max_agents,
            "asks_open": sum(1 for head in rt.asks if head.intent == intent.id and head.state == "open"),
            "leases": sum(1 for lease in rt.leases if lease.intent == intent.id and lease.live),
        }

    async def intents(self, caller: Caller) -> list[IntentRow]:
        return [self.intent_row(standing) for standing in self.rt.intents]

    async def intent(self, caller: Caller, intent: str) -> IntentDetail:
        _, digest = find(self.rt, intent, ("intent",))
        standing = self.rt.intents.get(digest)
        budgets: list[dict[str, Any]] = []
        if digest in self.rt.grants:
            budgets = [
                {
                    "verbs": list(rule["verbs"]),
                    "resource": rule["on"],
                    "used": rule["used"],
                    "max": rule["max"],
                }
                for rule in self.rt.grants.view(digest).rules
            ]
        return {
            "row": self.intent_row(standing),
            "document": standing.intent.encode(),
            "signature": standing.signature,
            "budgets": budgets,
        }

    # --- agents ---------------------------------------------------------------------------------------------------

    async def agents(
        self,
        caller: Caller,
        parent: str | None = None,
        intent: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AgentPage:
        wanted = [agent for agent in self.rt.agents if not agent.ended]
        if parent is not None:
            _, digest = find(self.rt, parent, ("agent",))
            wanted = [agent for agent in wanted if agent.parent == digest]
        if intent is not None:
            _, digest = find(self.rt, intent, ("intent",))
            wanted = [agent for agent in wanted if agent.intent == digest]
        wanted.sort(key=lambda agent: agent.id)
        if after is not None:
            wanted = [agent for agent in wanted if full("agent", agent.id) > after]
        count = min(limit or PAGE, PAGE)
        rows = [agent_row(self.rt, agent) for agent in wanted[:count]]
        return {"rows": rows, "next": rows[-1]["id"] if len(wanted) > count else None}

    async def agent(self, caller: Caller, agent: str) -> AgentDetail:
        rt = self.rt
        _, digest = find(rt, agent, ("agent",))
        found = rt.agents.get(digest)
        standing = rt.intents.get(found.intent)
        grant, not_after = self._grant_rows(found)
        return {
            "row": agent_row(rt, found),
            "chain": self._chain(found, standing),
            "born_ms": found.born_ms,
            "children": sum(1 for child in found.children if not rt.agents.get(child).ended),
            "grant": grant,
            "not_after_ms": not_after,
            "leases": [lease_row(rt, lease) for lease in rt.leases if lease.agent == digest],
            "mailbox": mailbox_heads(rt, found),
            "actions": rt.acting.rows(digest),
            "ask": full("ask", found.waiting_ask) if found.waiting_ask is not None else None,
            "last_error": rt.logs.last(digest),
        }

    def _chain(self, agent: Agent, standing: Standing) -> list[CertificateRow]:
        signature = standing.signature.encode()
        rows: list[CertificateRow] = [
            {
                "kind": "intent",
                "id": full("intent", agent.intent),
                "name": standing.intent.purpose,
                "certificate": standing.intent.encode(),
                "signature": signature,
            }
        ]
        for member in self.rt.agents.chain(agent.id):
            rows.append(
                {
                    "kind": "birth",
                    "id": full("agent", member.id),
                    "name": sanitize_name(member.name, NAME_CHARACTERS),
                    "certificate": member.birth,
                    "signature": member.runtime_signature,
                }
            )
        if agent.certificate:
            rows.append(
                {
                    "kind": "incarnation",
                    "id": full("agent", agent.id),
                    "name": f"incarnation {agent.incarnation}",
                    "certificate": agent.certificate,
                    "signature": agent.certificate_signature,
                }
            )
        return rows

    def _grant_rows(self, agent: Agent) -> tuple[list[GrantRow], int]:
        if agent.id not in self.rt.grants:
            return [], agent.ended_ms
        view = self.rt.grants.view(agent.id)
        rows: list[GrantRow] = []
        for rule in view.rules:
            for authority in ("exercise", "delegate"):
                if rule[authority]:
                    rows.append(
                        {
                            "authority": authority,
                            "mode": rule["mode"],
                            "verbs": list(rule["verbs"]),
                            "resource": rule["on"],
                            "max": rule["max"],
                            "used": rule["used"],
                        }
                    )
        return rows, view.not_after

    async def agent_log(
        self, caller: Caller, agent: str, after: int | None = None, limit: int | None = None
    ) -> LogPage:
        _, digest = find(self.rt, agent, ("agent",))
        lines, following, dropped = self.rt.logs.read(
            digest, after if after is not None else -1, min(limit or LOG_PAGE, LOG_PAGE)
        )
        return {
            "lines": [
                {"seq": ln.seq, "at_ms": ln.at_ms, "stream": ln.stream, "text": ln.text} for ln in lines
            ],
            "next": following,
            "dropped": dropped,
        }

    # --- asks -----------------------------------------------------------------------------------------------------

    def ask_row(self, head: AskHead, members: int = 1) -> AskRow:
        agent = self.rt.agents.find(head.agent)
        return {
            "id": full("ask", head.id),
            "state": head.state,
            "agent": full("agent", head.agent),
            "agent_name": sanitize_name(agent.name, NAME_CHARACTERS) if agent is not None else "",
            "intent": full("intent", head.intent),
            "verb": head.verb,
            "resource": head.resource,
            "risk": head.risk,
            "raised_ms": head.raised_ms,
            "deadline_ms": head.answer_by,
            "members": members,
            "decided_by": head.decided_by,
            "verdict": head.answer,
        }

    async def asks(
        self, caller: Caller, state: str | None = None, after: str | None = None, limit: int | None = None
    ) -> AskPage:
        """Open ones a card a group, oldest first; decided ones newest first."""
        heads = [head for head in self.rt.asks if state is None or head.state == state]
        groups: Counter[bytes] = Counter(head.group for head in heads if head.state == "open")
        seen: set[bytes] = set()
        cards: list[AskRow] = []
        for head in sorted(
            heads,
            key=lambda one: (one.state != "open", one.raised_ms if one.state == "open" else -one.decided_ms),
        ):
            if head.state == "open":
                if head.group in seen:
                    continue
                seen.add(head.group)
            cards.append(self.ask_row(head, groups[head.group] if head.state == "open" else 1))
        start = next((n + 1 for n, card in enumerate(cards) if card["id"] == after), 0)
        rows = cards[start : start + min(limit or PAGE, PAGE)]
        return {"rows": rows, "next": rows[-1]["id"] if start + len(rows) < len(cards) else None}

    async def ask(self, caller: Caller, ask: str) -> AskDetail:
        rt = self.rt
        _, digest = find(rt, ask, ("ask",))
        head = rt.asks.get(digest)
        members = rt.asks.members(digest) if head.state == "open" else (head,)
        document, reason = rt.asks.document(digest)
        shown = [rt.asks.document(member.id) for member in members[:MEMBERS]]
        return {
            "row": self.ask_row(head, len(members)),
            "bytes": document,
            "members": [asked for asked, _ in shown],
            "reasons": [said for _, said in shown],
            "more": len(members) - len(shown),
            "context": self._context(caller, head, Ask.decode(document), reason),
        }

    def _context(self, caller: Caller, head: AskHead, asked: Ask, reason: str) -> AskContext:
        rt = self.rt
        standing = rt.intents.get(head.intent)
        forbidden = "prove an operator's key to decide"
        same = False
        if caller.operator is not None:
            signer = rt.documents.operators.holder(caller.operator.fingerprint, rt.clock.wall_ms())
            forbidden = rt.asks.forbidden(head, signer, rt.documents.operators, standing)
            same = caller.operator.person.name in standing.signers
        card = rt.acting.card(head.id)
        distance = rt.gate.distance(caller.operator) if caller.operator is not None else "none"
        used, most = self._budget(head)
        return {
            "chain": [
                {
                    "id": full("agent", a.id),
                    "name": sanitize_name(a.name, NAME_CHARACTERS),
                    "behaviour": a.behaviour,
                }
                for a in rt.agents.chain(head.agent)
            ],
            "operator": standing.signer,
            "purpose": standing.intent.purpose,
            "reason": reason,
            "effect": card.effect,
            "diff": card.diff,
            "undo": card.undo,
            "blast": {"resources": [head.resource], "agents": 1, "budget_used": used, "budget_max": most},
            "similar": [
                {
                    "at_ms": one.decided_ms,
                    "operator": one.decided_by,
                    "verdict": one.answer,
                    "outcome": one.state,
                }
                for one in rt.asks.similar(head.id)
                if one.id != head.id
            ],
            "same_person": same,
            "accept_same_user": distance == "none" and asked.risk in ("HIGH", "CRITICAL"),
            "forbidden": forbidden,
        }

    def _budget(self, head: AskHead) -> tuple[int | None, int | None]:
        """Of the intent's rule that asks for this verb, as far as it counts."""
        if head.intent not in self.rt.grants:
            return None, None
        for rule in self.rt.grants.view(head.intent).rules:
            if head.verb in rule["verbs"] and rule["max"] is not None:
                return rule["used"], rule["max"]
        return None, None

    # --- leases, authority ----------------------------------------------------------------------------------------

    async def leases(
        self, caller: Caller, agent: str | None = None, state: str | None = None
    ) -> list[LeaseRow]:
        chosen = find(self.rt, agent, ("agent",))[1] if agent is not None else None
        return [
            lease_row(self.rt, lease)
            for lease in self.rt.leases
            if (chosen is None or lease.agent == chosen) and (state is None or lease.state == state)
        ]

    def _can(self, decision: Decision) -> CanResult:
        agent = self.rt.agents.find(decision.grant)
        return {
            "agent": full("agent", decision.grant),
            "agent_name": sanitize_name(agent.name, NAME_CHARACTERS) if agent is not None else "",
            "verb": decision.verb,
            "resource": decision.resource,
            "outcome": decision.outcome,
            "dimensions": [
                {"name": d.name, "level": d.level, "detail": d.detail} for d in decision.dimensions
            ],
            "amendment": decision.amendment,
        }

    async def can(self, caller: Caller, agent: str, verb: str, resource: str) -> CanResult:
        _, digest = find(self.rt, agent, ("agent",))
        irreversible = self.rt.acting.irreversible(verb)
        return self._can(self.rt.grants.can(digest, verb, resource, irreversible=irreversible))

    async def who_can(self, caller: Caller, verb: str, resource: str) -> list[CanResult]:
        irreversible = self.rt.acting.irreversible(verb)
        decisions = self.rt.grants.who_can(verb, resource, irreversible=irreversible)
        return [self._can(one) for one in decisions if self.rt.agents.find(one.grant) is not None][:PAGE]

    # --- ledger ---------------------------------------------------------------------------------------------------

    async def ledger(
        self,
        caller: Caller,
        query: str | None = None,
        after: int | None = None,
        limit: int | None = None,
        newest: bool | None = None,
    ) -> LedgerPage:
        rt = self.rt
        count = min(limit or PAGE, PAGE)
        found = list(
            Query.parse(query or "").search(
                rt.ledger, rt.clock.wall_ms(), newest=bool(newest), after=after, limit=count
            )
        )
        rows = [leaf_row(rt, one.index, one.entry) for one in found]
        return {
            "rows": rows,
            "next": rows[-1]["index"] if len(rows) == count else None,
            "size": rt.ledger.size,
        }

    def _published(self) -> tuple[int, bytes, str]:
        published, vkey = self.rt.ledger.checkpoint(), self.rt.ledger.vkey
        if published is None or vkey is None:
            raise LedgerUnwritable("the ledger has no checkpoint yet", hint="queenright unlock")
        return published[0], published[1], vkey

    async def ledger_checkpoint(self, caller: Caller, since: int | None = None) -> Checkpoint:
        rt = self.rt
        size, note, vkey = self._published()
        root = rt.ledger.root(size)
        if since is not None and not 0 <= since <= size:
            raise Malformed(f"no tree of {since} entries is a prefix of one of {size}")
        if caller.operator is not None:
            rt.copies[caller.operator.person.name] = (size, root, rt.clock.wall_ms())
        return {
            "note": note.decode(),
            "vkey": vkey,
            "size": size,
            "root": root,
            "since": since,
            "proof": rt.ledger.consistency(since, size) if since else [],
        }

    def _export_files(self, size: int) -> dict[str, tuple[Path, int]]:
        """What an outsider needs, by name: entries up to the checkpoint, the log's key, the signed documents."""
        ledger = self.rt.ledger
        files = {
            ENTRIES: (ledger.directory / ENTRIES, sum(4 + len(leaf) for _, leaf in ledger.leaves(0, size))),
            LOG_VKEY: (ledger.directory / LOG_VKEY, (ledger.directory / LOG_VKEY).stat().st_size),
        }
        for name in self.rt.evidence.names():
            path = self.rt.paths.ledger / EVIDENCE / name.hex()
            files[f"{EVIDENCE}/{name.hex()}"] = (path, path.stat().st_size)
        return files

    async def ledger_export(self, caller: Caller) -> LedgerExport:
        size, note, vkey = self._published()
        files: list[LedgerFile] = [
            {"name": name, "bytes": length, "sha256": None}
            for name, (_, length) in self._export_files(size).items()
        ]
        return {"files": files, "checkpoint": note.decode(), "vkey": vkey}

    async def ledger_read(self, caller: Caller, name: str, offset: int, limit: int) -> bytes:
        files = self._export_files(self._published()[0])
        if name not in files:
            raise Unknown(f"no file `{name[:80]}` is exported", hint="ledger_export lists them")
        path, size = files[name]
        with path.open("rb") as file:
            file.seek(max(0, offset))
            return file.read(max(0, min(limit, 1 << 20, size - offset)))

    async def ledger_copies(self, caller: Caller) -> list[LedgerCopy]:
        return [
            {"who": who, "size": size, "root": root, "at_ms": at}
            for who, (size, root, at) in self.rt.copies.items()
        ]

    async def why(self, caller: Caller, id: str) -> Why:
        return explain(self.rt, id)

    async def undo_preview(self, caller: Caller, target: str, since_ms: int | None = None) -> UndoPreview:
        preview = await self.rt.acting.undo.preview(self.undo_target(target, since_ms))
        steps: list[UndoStep] = []
        skipped: list[UndoStep] = []
        for step in preview.steps:
            row: UndoStep = {
                "action": full("act", step.act),
                "verb": step.verb,
                "resource": step.resource,
                "reversibility": step.klass,
                "what": step.what,
                "diff": "",
                "conflict": step.conflict,
            }
            (skipped if step.skipped else steps).append(row)
        return {"target": target, "steps": steps, "skipped": skipped, "bytes": preview.encode()}

    def undo_target(self, target: str, since_ms: int | None) -> tuple[str, bytes | int]:
        if since_ms is not None:
            return "since", since_ms
        return find(self.rt, target, ("act", "agent", "intent"))

    # --- documents and packages -----------------------------------------------------------------------------------

    async def resources(self, caller: Caller) -> ResourcesView:
        documents = self.rt.documents
        signed = documents.resources_signed
        return {
            "document": documents.resources.encode(),
            "signature": signed.signature if signed is not None else "",
            "digest": documents.resources.digest,
            "signer": documents.resources_signer,
        }

    async def operators(self, caller: Caller) -> OperatorsView:
        documents = self.rt.documents
        return {
            "document": documents.operators_signed.document,
            "signature": documents.operators_signed.signature,
            "digest": documents.operators.digest,
            "version": documents.operators.version,
        }

    async def behaviours(self, caller: Caller) -> list[BehaviourRow]:
        used: dict[bytes, list[str]] = {}
        for standing in self.rt.swarms.live():
            for pinned in standing.intent.packages.values():
                used.setdefault(pinned, []).append(full("intent", standing.intent.id))
        return [
            {
                "name": package.name,
                "version": package.version,
                "digest": package.digest,
                "classes": sorted(package.classes),
                "cell": "own" if any(cls.cell == "own" for cls in package.classes.values()) else "shared",
                "added_ms": package.added_ms,
                "used_by": used.get(package.digest, []),
            }
            for package in self.rt.packages
        ]

    async def secret_list(self, caller: Caller) -> list[SecretRow]:
        by_secret: dict[str, list[str]] = {}
        for resource in self.rt.documents.resources:
            if resource.admin is not None and resource.admin.secret:
                by_secret.setdefault(resource.admin.secret.removeprefix("vault:"), []).append(resource.id)
        return [
            {"name": info.name, "set_ms": info.set_ms, "resources": by_secret.get(info.name, [])}
            for info in self.rt.vault.list()
        ]
