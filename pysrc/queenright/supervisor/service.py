"""The control service: what operators read, take away and give. The giving half; the others are its bases.

The server has checked the session and spent the order before a method here runs; what a document may say is checked here.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Literal

from queenright.actions.act import Done as Ended
from queenright.actions.act import Failed
from queenright.actions.resources import OWN_WORKSPACE
from queenright.actions.restore import RESTORE
from queenright.actions.verb import ActionFailed
from queenright.authority.document import APPROVE, OPERATORS
from queenright.control.protocol import (
    BehaviourRow,
    Decided,
    Done,
    DrillBegun,
    Health,
    IntentRow,
    LeaseRow,
    OperatorsView,
    ResourcesView,
    Restored,
    SecretRow,
    UndoResult,
)
from queenright.control.service import Caller
from queenright.core import digest
from queenright.errors import Conflict, NotEntitled
from queenright.ledger.entry import Operator, Signed
from queenright.supervisor.agents import Agent
from queenright.supervisor.find import find
from queenright.supervisor.master import MasterKey, Passphrase
from queenright.supervisor.rows import lease_row
from queenright.supervisor.service_take import Taking
from queenright.supervisor.stops import Order
from queenright.wire.ids import full

__all__ = ["Service"]


class Service(Taking):
    """Intents, verdicts, orders, documents, secrets, packages."""

    @staticmethod
    def _person(caller: Caller) -> Operator:
        if caller.operator is None:
            raise NotEntitled("prove an operator's key first")
        return Operator(caller.operator.fingerprint, caller.operator.person.name)

    # --- by a document signed in its own namespace ----------------------------------------------------------------

    async def intent_apply(self, caller: Caller, document: bytes, signature: str) -> IntentRow:
        if self.rt.stopped:
            raise Conflict(
                "everything was stopped", hint="`queenright down`, then `queenright up`, starts anew"
            )
        self.rt.evidence.put(document)
        return self.intent_row(self.rt.swarms.apply(document, signature, self._person(caller).name))

    async def intent_amend(self, caller: Caller, document: bytes, signature: str) -> IntentRow:
        self.rt.evidence.put(document)
        return self.intent_row(self.rt.swarms.amend(document, signature))

    async def ask_decide(self, caller: Caller, verdict: bytes, signature: str) -> Decided:
        """A signed verdict over one card. The first decision stands; a second operator is told who was first."""
        rt = self.rt
        heads, change = rt.asks.decide(verdict, signature, rt.documents.operators, rt.intents.get)
        signer = rt.documents.operators.signer(APPROVE, verdict, signature, rt.clock.wall_ms())
        rt.evidence.put(verdict)
        signed = Signed(APPROVE, hashlib.sha256(verdict).digest(), signer.fingerprint, signature)
        actor = Operator(signer.fingerprint, signer.person.name)
        receipt = rt.commit(change, *(rt.book.ask("ask.decided", head, actor, signed) for head in heads))
        for head in heads:
            rt.settle(head.id)
        return {"ask": full("ask", heads[0].id), "state": heads[0].state, "leaf": receipt.first_leaf}

    async def resources_set(self, caller: Caller, document: bytes, signature: str) -> ResourcesView:
        rt = self.rt
        _, signer, change = rt.documents.set_resources(document, signature)
        rt.evidence.put(document)
        signed = Signed(
            "resources@queenright.v1", hashlib.sha256(document).digest(), signer.fingerprint, signature
        )
        person = Operator(signer.fingerprint, signer.person.name)
        rt.commit(change, rt.book.document("resources.changed", signed, person))
        rt.acting.observe_now()
        return await self.resources(caller)

    async def operators_set(self, caller: Caller, document: bytes, signature: str) -> OperatorsView:
        """The next version. A removed key's unspent verdicts are void, and intents that rest on it freeze."""
        rt = self.rt
        signer = rt.documents.operators_signer(document, signature)
        after, gone, change = rt.documents.set_operators(document, signature)
        rt.evidence.put(document)
        signed = Signed(OPERATORS, hashlib.sha256(document).digest(), signer.fingerprint, signature)
        person = Operator(signer.fingerprint, signer.person.name)
        resting = rt.asks.resting_on(gone)
        rt.commit(
            change,
            rt.book.document("operators.changed", signed, person),
            *(rt.asks.void(head.id, "the key that approved it was removed") for head in resting),
            *(rt.book.ask("ask.void", head, person) for head in resting),
        )
        for head in resting:
            rt.settle(head.id)
        for standing in rt.intents.unsupported(after):
            at, frozen = rt.clock.boot_ms(), standing.intent.id
            points = rt.swarms.set_frozen(frozen, True, "its signer may no longer sign it", person)
            rt.stops.follow_unasked(Order("freeze", person, self._leaf(), at, intent=frozen), points)
        return await self.operators(caller)

    # --- by an order ----------------------------------------------------------------------------------------------

    async def unfreeze(self, caller: Caller, target: str) -> Done:
        rt, person = self.rt, self._person(caller)
        kind, found = find(rt, target, ("agent", "intent"))
        if kind == "intent":
            standing = rt.intents.get(found)
            if not rt.intents.supported(standing, rt.documents.operators):
                raise NotEntitled(
                    "its signer may no longer sign it", hint="another entitled operator signs an amendment"
                )
            rt.swarms.set_frozen(found, False, "by an operator", person)
            return {"count": rt.agents.table.intent_counts(found)[0], "leaf": self._leaf(), "unacked": 0}
        agent = rt.agents.get(found)
        rt.commit(rt.grants.unfreeze(found))
        return self._release(agent, "frozen", person)

    async def resume(self, caller: Caller, target: str) -> Done:
        rt, person = self.rt, self._person(caller)
        kind, found = find(rt, target, ("agent", "intent"))
        roots = [rt.agents.get(found)] if kind == "agent" else rt.agents.roots(found)
        results = [self._release(agent, "paused", person) for agent in roots]
        return {"count": sum(done["count"] for done in results), "leaf": self._leaf(), "unacked": 0}

    def _release(self, agent: Agent, status: str, person: Operator) -> Done:
        rt = self.rt
        members = [member for member in rt.agents.subtree(agent.id) if member.status == status]
        if status == "paused" and agent.status == "quarantined":
            members.append(agent)  # only the one that was named: its subtree's cases are looked at one by one
        kind = "agent.unfrozen" if status == "frozen" else "agent.resumed"
        receipt = rt.commit(
            *(rt.agents.save(member, status="live", reason="") for member in members),
            rt.book.agent_state(kind, agent, "by an operator", person),  # type: ignore[arg-type]
        )
        for member in members:
            rt.turns.pump(member.id)
            rt.changed("agents", member.id)
        return {"count": len(members), "leaf": receipt.first_leaf, "unacked": 0}

    async def lease_extend(self, caller: Caller, lease: str, by_ms: int) -> LeaseRow:
        rt, person = self.rt, self._person(caller)
        _, found = find(rt, lease, ("lease",))
        rt.commit(
            rt.leases.extend(found, by_ms),
            rt.book.lease("lease.extended", rt.leases.get(found), f"by {by_ms} ms", person),
        )
        return lease_row(rt, rt.leases.get(found))

    async def undo(
        self, caller: Caller, target: str, preview: bytes, since_ms: int | None = None
    ) -> UndoResult:
        """Undo exactly what was previewed: a preview that is no longer true is refused."""
        rt, person = self.rt, self._person(caller)
        now = await rt.acting.undo.preview(self.undo_target(target, since_ms))
        if digest("undo", now.encode()) != preview:
            raise Conflict(
                "the preview is no longer what would be undone", hint="look at it again and sign it anew"
            )
        signer = rt.documents.operators.holder(person.fingerprint, rt.clock.wall_ms())
        for step in now.steps:
            if not step.skipped:
                rt.documents.operators.entitle(signer, "undo", step.verb, step.resource)
        outcome = await rt.acting.undo.execute(now, person)
        return {
            "target": target,
            "done": [full("act", act) for act in outcome.done],
            "failed": [
                {"action": full("act", act), "code": code, "message": text}
                for act, code, text in outcome.failed
            ],
            "leaf": self._leaf(),
        }

    async def workspace_restore(self, caller: Caller, agent: str, version: int, preview: bytes) -> Restored:
        """Put an agent's workspace back exactly as it was previewed."""
        rt, person, found = self.rt, self._person(caller), self._agent(agent)
        signer = rt.documents.operators.holder(person.fingerprint, rt.clock.wall_ms())
        rt.documents.operators.entitle(signer, "undo", RESTORE, OWN_WORKSPACE)
        try:
            end = await rt.acting.restore.execute(rt.acting.restoring(found, version), preview, person)
        except ActionFailed as failed:
            raise Conflict(failed.message) from None
        outcomes: dict[type, Literal["done", "failed", "unknown"]] = {Ended: "done", Failed: "failed"}
        value: dict[str, Any] = end.value if isinstance(end, Ended) else {"version": None, "changed": 0}
        return {
            "agent": full("agent", found.id),
            "act": full("act", end.act or b""),
            "outcome": outcomes.get(type(end), "unknown"),
            "message": "" if isinstance(end, Ended) else end.message,
            "version": value["version"],
            "changed": value["changed"],
            "leaf": self._leaf(),
        }

    async def drill_begin(self, caller: Caller, document: bytes, signature: str, canary: bytes) -> DrillBegun:
        """Start the drill of a signed intent, with decoys in the vault and the state directory."""
        drill, warden = self.rt.drills.begin(document, signature, canary, self._person(caller))
        return {"drill": full("intent", drill), "warden": full("agent", warden), "pid": os.getpid()}

    async def drill_attack(self, caller: Caller, drill: str, attack: str, facts: bytes, fresh: bool) -> Done:
        """Have one attack made that the order named."""
        _, found = find(self.rt, drill, ("intent",))
        self.rt.drills.attack(found, attack, facts, fresh, self._person(caller))
        return {"count": 1, "leaf": self._leaf(), "unacked": 0}

    async def drill_end(
        self, caller: Caller, drill: str, report: bytes, stopped: int, escaped: int, not_run: int
    ) -> Done:
        """Remove what the drill planted, end its swarm, and write its report's digest and counts into the ledger."""
        _, found = find(self.rt, drill, ("intent",))
        counts = {"stopped": stopped, "escaped": escaped, "not_run": not_run}
        leaf = await self.rt.drills.end(found, report, counts, self._person(caller))
        return {"count": stopped + escaped + not_run, "leaf": leaf, "unacked": 0}

    async def secret_set(self, caller: Caller, name: str, value: bytes, salt: bytes) -> SecretRow:
        rt = self.rt
        rt.commit(rt.vault.set(name, value), rt.book.secret_changed(name, "set", self._person(caller)))
        return next(row for row in await self.secret_list(caller) if row["name"] == name)

    async def secret_remove(self, caller: Caller, name: str) -> Done:
        rt = self.rt
        receipt = rt.commit(
            rt.vault.remove(name), rt.book.secret_changed(name, "removed", self._person(caller))
        )
        return {"count": 1, "leaf": receipt.first_leaf, "unacked": 0}

    # --- by a key -------------------------------------------------------------------------------------------------

    async def behaviour_add(self, caller: Caller, files: dict[str, bytes]) -> BehaviourRow:
        rt = self.rt
        package = rt.packages.add_files(files)
        rt.commit(rt.book.behaviour_added(package.name, package.digest, self._person(caller)))
        return next(row for row in await self.behaviours(caller) if row["digest"] == package.digest)

    async def unlock(
        self, caller: Caller, master_key: bytes | None = None, passphrase: bytes | None = None
    ) -> Health:
        """Give the master key to a LOCKED supervisor. Raises Conflict if it has it, WrongPassphrase if it is not it."""
        if not self.rt.locked:
            raise Conflict("the supervisor is not locked")
        if master_key is not None:
            self.rt.unlock(MasterKey(master_key))
        else:
            self.rt.unlock(Passphrase(passphrase or b""))
        return await self.health(caller)
