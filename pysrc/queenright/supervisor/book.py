"""What the supervisor itself writes into the ledger: births, lives, cells, intents, orders. Actions write their own.

Each method gives a Change that belongs in the same commit as the thing it tells of.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from queenright.authority.ask import Risk
from queenright.authority.asks import AskHead
from queenright.authority.intents import Standing
from queenright.authority.lease import Lease
from queenright.clock import Clock
from queenright.control.protocol import Reach
from queenright.control.service import Caller, Violation
from queenright.core import digest
from queenright.ledger.entry import Agent as Acting
from queenright.ledger.entry import Certificate, Entry, Kind, Operator, Signed, Supervisor
from queenright.ledger.log import Ledger
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.births import Head
from queenright.supervisor.cell_process import CellProcess
from queenright.wire.certificate import BIRTH, INCARNATION, Birth

__all__ = ["Book"]

WORDS = 300  # of a reason in a leaf: the supervisor's own words, never an agent's


class Book:
    """Writes entries."""

    def __init__(self, ledger: Ledger, clock: Clock, runtime_key: bytes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._runtime_key = runtime_key

    def _write(self, entry: Entry) -> Change:
        return self._ledger.entry(entry)

    def _now(self) -> int:
        return self._clock.wall_ms()

    @staticmethod
    def acting(agent: Agent, *, shared: bool | None = None) -> Acting:
        """The agent as a leaf names it; in a shared cell any of its agents may have acted."""
        return Acting(
            agent.id,
            agent.name,
            agent.incarnation,
            agent.cell or "none",
            not agent.own_cell if shared is None else shared,
        )

    @staticmethod
    def person(caller: Caller) -> Operator | Supervisor:
        if caller.operator is None:
            return Supervisor()
        return Operator(caller.operator.fingerprint, caller.operator.person.name)

    # --- the supervisor -----------------------------------------------------------------------------------------

    def started(self, version: str, recovered: bool, landlock_abi: int, tier: str, memory: str) -> Change:
        kind: Kind = "supervisor.recovered" if recovered else "supervisor.started"
        facts: dict[str, str | int | bool | None] = {
            "version": version,
            "landlock_abi": landlock_abi,
            "tier": tier,
            "memory": memory,
            "runtime": self._runtime_key.hex(),
        }
        return self._write(Entry(kind, self._now(), Supervisor(), facts=facts))

    def stopped(self, why: str) -> Change:
        return self._write(Entry("supervisor.stopped", self._now(), Supervisor(), facts={"why": why[:WORDS]}))

    # --- documents and intents ----------------------------------------------------------------------------------

    def document(
        self, kind: Literal["operators.changed", "resources.changed"], signed: Signed, person: Operator
    ) -> Change:
        return self._write(Entry(kind, self._now(), person, signed=signed))

    def intent_applied(self, standing: Standing, kind: Literal["intent.applied", "intent.amended"]) -> Change:
        intent = standing.intent
        return self._write(
            Entry(
                kind,
                self._now(),
                Operator(standing.fingerprint, standing.signer),
                intent=intent.id,
                signed=Signed(
                    "intent@queenright.v1", _sha256(intent.encode()), standing.fingerprint, standing.signature
                ),
                facts={
                    "purpose": intent.purpose,
                    "swarm": intent.swarm,
                    "revision": intent.revision,
                    "not_after": intent.not_after,
                    "spawner": standing.spawner,
                },
            )
        )

    def intent_state(self, kind: Kind, intent: bytes, why: str, actor: Operator | Supervisor) -> Change:
        return self._write(Entry(kind, self._now(), actor, intent=intent, facts={"why": why[:WORDS]}))

    def grant_revoked(self, grant: bytes, intent: bytes, why: str, actor: Operator | Supervisor) -> Change:
        return self._write(
            Entry("grant.revoked", self._now(), actor, intent=intent, grant=grant, facts={"why": why[:WORDS]})
        )

    # --- agents -------------------------------------------------------------------------------------------------

    def born(self, birth: Birth, signature: bytes, own_cell: bool, parent: Agent | None) -> Change:
        actor = self.acting(parent) if parent is not None else Supervisor()
        certificate = Certificate(self._runtime_key, digest(BIRTH, birth.encode()), signature)
        facts: dict[str, str | int | bool | None] = {
            "name": birth.name,
            "behaviour": birth.behaviour,
            "package": birth.package.hex(),
            "own_cell": own_cell,
        }
        return self._write(
            Entry(
                "agent.born",
                self._now(),
                actor,
                intent=birth.intent,
                agent=birth.agent,
                grant=birth.agent,
                certificate=certificate,
                facts=facts,
            )
        )

    def born_many(self, head: Head, parent: Agent) -> Change:
        """One leaf for a whole batch: its statement, and both signatures over it."""
        return self._write(
            Entry(
                "agents.born",
                self._now(),
                self.acting(parent),
                intent=parent.intent,
                certificate=self._batch(head),
                facts={
                    "statement": head.statement.encode().hex(),
                    "count": head.statement.count,
                    "root": head.statement.root.hex(),
                    "behaviour": head.statement.behaviour,
                    "parent_signature": head.parent_signature.hex(),
                },
            )
        )

    def born_member(
        self, agent: Agent, head: Head, position: int, path: list[bytes], parent: Agent | None
    ) -> Change:
        """The birth of one of a batch, told when it first does something: the batch's signature, and the way to its root."""
        return self._write(
            Entry(
                "agent.born",
                self._now(),
                self.acting(parent) if parent is not None else Supervisor(),
                intent=agent.intent,
                agent=agent.id,
                grant=agent.id,
                certificate=self._batch(head),
                facts={
                    "name": agent.name,
                    "behaviour": agent.behaviour,
                    "package": agent.package.hex(),
                    "own_cell": agent.own_cell,
                    "statement": head.statement.encode().hex(),
                    "position": position,
                    "path": b"".join(path).hex(),
                },
            )
        )

    def _batch(self, head: Head) -> Certificate:
        return Certificate(self._runtime_key, head.statement.signed_bytes, head.runtime_signature)

    def ended_many(self, root: bytes, intent: bytes, count: int, why: str) -> Change:
        """One leaf for all members of a batch that had done nothing."""
        facts: dict[str, str | int | bool | None] = {"root": root.hex(), "count": count, "why": why[:WORDS]}
        return self._write(Entry("agents.ended", self._now(), Supervisor(), intent=intent, facts=facts))

    def ended(self, agent: Agent, why: str) -> Change:
        return self._write(
            Entry(
                "agent.ended",
                self._now(),
                self.acting(agent),
                intent=agent.intent,
                agent=agent.id,
                facts={"why": why[:WORDS]},
            )
        )

    def agent_state(self, kind: Kind, agent: Agent, why: str, actor: Operator | Supervisor) -> Change:
        return self._write(
            Entry(kind, self._now(), actor, intent=agent.intent, agent=agent.id, facts={"why": why[:WORDS]})
        )

    def incarnation_begun(
        self, agent: Agent, cell: CellProcess, certificate: bytes, signature: bytes
    ) -> Change:
        return self._write(
            Entry(
                "incarnation.begun",
                self._now(),
                self.acting(agent, shared=cell.shared),
                intent=agent.intent,
                certificate=Certificate(self._runtime_key, digest(INCARNATION, certificate), signature),
                facts={"certificate": certificate.hex()},
            )
        )

    def incarnation_ended(self, agent: Agent, cell: CellProcess) -> Change:
        return self._write(
            Entry(
                "incarnation.ended", self._now(), self.acting(agent, shared=cell.shared), intent=agent.intent
            )
        )

    # --- cells --------------------------------------------------------------------------------------------------

    def cell_started(self, cell: CellProcess) -> Change:
        facts: dict[str, str | int | bool | None] = {
            "cell": cell.id,
            "shared": cell.shared,
            "pid": cell.sandbox.pid,
            "package": cell.packages[0].hex(),
        }
        return self._write(Entry("cell.started", self._now(), Supervisor(), intent=cell.intent, facts=facts))

    def cell_ended(self, cell: CellProcess, how: str, wanted: bool, agents: int) -> Change:
        kind: Kind = "cell.ended" if wanted else "cell.killed"
        facts: dict[str, str | int | bool | None] = {
            "cell": cell.id,
            "how": how[:WORDS],
            "agents": agents,
        }
        return self._write(Entry(kind, self._now(), Supervisor(), intent=cell.intent, facts=facts))

    def reached(
        self,
        actor: Operator | Supervisor,
        ordered: int,
        reach: Reach,
        intent: bytes | None,
        agent: bytes | None,
    ) -> Change:
        """What an order of `actor` that stands in leaf `ordered` has reached by now, and by name what it has not."""
        kind: Kind = "stop.unreached" if reach["unreached"] else "stop.reached"
        facts: dict[str, str | int | bool | None] = {
            "order": reach["verb"],
            "ordered": ordered,
            "cells": reach["cells"],
            "turns": reach["turns"],
            "commands": reach["commands"],
            "acts": reach["acts"],
            "connections": reach["connections"],
            "processes": reach["processes"],
            "unreached": reach["unreached"],
            "ms": reach["ms"],
        }
        named = {"late": reach["late"], "finishing": reach["finishing"], "unknown": reach["unknown"]}
        facts |= {name: "; ".join(names)[:WORDS] for name, names in named.items() if names}
        return self._write(Entry(kind, self._now(), actor, intent=intent, agent=agent, facts=facts))

    def violation(self, cell: CellProcess, what: str, agent: Agent | None = None) -> Change:
        """`agent`: in whose name it was done, where that is known. In a shared cell it may have been another of it."""
        facts: dict[str, str | int | bool | None] = {
            "cell": cell.id,
            "shared": cell.shared,
            "what": what[:WORDS],
        }
        return self._write(
            Entry(
                "protocol.violation",
                self._now(),
                Supervisor(),
                intent=cell.intent,
                agent=agent.id if agent is not None else None,
                facts=facts,
            )
        )

    def control_refused(self, violation: Violation) -> Change:
        facts: dict[str, str | int | bool | None] = {
            "what": violation.what[:WORDS],
            "pid": violation.peer.pid,
            "uid": violation.peer.uid,
            "operator": violation.operator,
        }
        return self._write(Entry("control.refused", self._now(), Supervisor(), facts=facts))

    # --- asks, leases, orders -----------------------------------------------------------------------------------

    def ask(
        self, kind: Kind, head: AskHead, actor: Operator | Supervisor | Acting, signed: Signed | None = None
    ) -> Change:
        risk: Risk = head.risk
        return self._write(
            Entry(
                kind,
                self._now(),
                actor,
                intent=head.intent,
                agent=head.agent,
                grant=head.agent,
                ask=head.id,
                verdict=head.verdict or None,
                signed=signed,
                facts={
                    "verb": head.verb,
                    "resource": head.resource,
                    "risk": risk,
                    "answer": head.answer,
                    "decided_by": head.decided_by,
                    "reason": head.reason[:WORDS],
                },
            )
        )

    def lease(self, kind: Kind, lease: Lease, why: str, actor: Operator | Supervisor | Acting) -> Change:
        return self._write(
            Entry(
                kind,
                self._now(),
                actor,
                intent=lease.intent,
                agent=lease.agent,
                lease=lease.id,
                facts={"secret": lease.secret, "resource": lease.resource, "why": why[:WORDS]},
            )
        )

    def order_spent(self, method: str, nonce: bytes, signed: Signed, person: Operator) -> Change:
        return self._write(
            Entry(
                "order.spent",
                self._now(),
                person,
                signed=signed,
                facts={"order": method, "nonce": nonce.hex()},
            )
        )

    def drill_begun(self, intent: bytes, package: bytes, attacks: int, person: Operator) -> Change:
        facts: dict[str, str | int | bool | None] = {"package": package.hex(), "attacks": attacks}
        return self._write(Entry("drill.begun", self._now(), person, intent=intent, facts=facts))

    def drill_ended(
        self, intent: bytes, facts: dict[str, str | int | bool | None], actor: Operator | Supervisor
    ) -> Change:
        """`facts`: the report's digest in hex, how many attacks were stopped, escaped and not run, and why it ended."""
        return self._write(Entry("drill.ended", self._now(), actor, intent=intent, facts=facts))

    def secret_changed(
        self, name: str, change: Literal["set", "removed"], actor: Operator | Supervisor
    ) -> Change:
        return self._write(
            Entry("secret.changed", self._now(), actor, facts={"name": name, "change": change})
        )

    def behaviour_added(self, name: str, package: bytes, actor: Operator | Supervisor) -> Change:
        return self._write(
            Entry("behaviour.added", self._now(), actor, facts={"name": name, "package": package.hex()})
        )

    def dead_letter(self, agent: Agent, kind: str, why: str) -> Change:
        facts: dict[str, str | int | bool | None] = {
            "type": kind,
            "why": digest("dead-letter", why.encode()).hex(),
        }
        return self._write(
            Entry("message.dead", self._now(), Supervisor(), intent=agent.intent, agent=agent.id, facts=facts)
        )


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
