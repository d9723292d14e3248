"""The taking half of the control service: works with any session, at once, and says who has not obeyed yet."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from queenright.control.protocol import Decided, Done
from queenright.control.service import Caller
from queenright.errors import Conflict, Malformed
from queenright.ledger.entry import Kind, Operator, Supervisor
from queenright.store import Receipt
from queenright.supervisor.agents import Agent
from queenright.supervisor.book import Book
from queenright.supervisor.cell_process import CellProcess
from queenright.supervisor.find import find
from queenright.supervisor.service_workspace import ReadingWorkspaces
from queenright.wire.ids import full

if TYPE_CHECKING:
    pass

__all__ = ["Taking"]

# How long an answer waits for the kernel's word before it says "not acknowledged": the promise is 2 s.
ACKNOWLEDGE_S = 2.0
WHY = "by an operator"


class Taking(ReadingWorkspaces):
    """Deny, revoke, freeze, pause, stop."""

    def _actor(self, caller: Caller) -> Operator | Supervisor:
        return Book.person(caller)

    def _leaf(self) -> int:
        return self.rt.ledger.size - 1

    async def _acknowledged(self, cells: list[CellProcess]) -> int:
        """How many of these cells the kernel has not confirmed as ended within the promise's time."""
        if not cells:
            return 0
        self.rt.unacked += len(cells)
        tasks = [asyncio.ensure_future(cell.ended()) for cell in cells]
        done, late = await asyncio.wait(tasks, timeout=ACKNOWLEDGE_S)
        self.rt.unacked -= len(done)
        for task in late:
            task.add_done_callback(lambda _: setattr(self.rt, "unacked", self.rt.unacked - 1))
        return len(late)

    async def revoke(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """Authority ends: of an intent, of an agent's subtree, of a grant, of one lease, or of everything."""
        rt, why, actor = self.rt, (reason or WHY), self._actor(caller)
        if target == "all":
            count = sum(self._revoke_intent(standing.intent.id, why, actor) for standing in rt.swarms.live())
            return {"count": count, "leaf": self._leaf(), "unacked": 0}
        kind, digest = find(rt, target, ("agent", "intent", "grant", "lease"))
        if kind == "intent":
            return {"count": self._revoke_intent(digest, why, actor), "leaf": self._leaf(), "unacked": 0}
        if kind == "lease":
            lease = rt.leases.get(digest)
            receipt = rt.commit(rt.leases.end(digest, why), rt.book.lease("lease.ended", lease, why, actor))
            rt.changed("agents", lease.agent)
            return {"count": 1, "leaf": receipt.first_leaf, "unacked": 0}
        return self._revoke_agent(rt.agents.get(digest), why, actor)

    def _revoke_intent(self, intent: bytes, why: str, actor: Operator | Supervisor) -> int:
        count, _ = self.rt.swarms.stop(intent, "revoked", "intent.revoked", why, actor)
        return count

    def _revoke_agent(self, agent: Agent, why: str, actor: Operator | Supervisor) -> Done:
        """A subtree's authority: one durable flag, seen by the next check; leases and open asks end with it."""
        rt = self.rt
        if agent.ended:
            raise Conflict(f"{agent.name} has ended: it holds nothing")
        family = frozenset(rt.agents.table.subtree(agent.id, True))
        voided = rt.asks.of_agents(family)
        receipt: Receipt = rt.commit(
            rt.grants.revoke(agent.id),
            rt.leases.end_agents(family, why),
            *(rt.asks.void(head.id, why) for head in voided),
            rt.book.grant_revoked(agent.id, agent.intent, why, actor),
        )
        rt.cut(family, why)
        for head in voided:
            rt.settle(head.id)
        rt.appeared(lambda: list(family))
        return {"count": len(family), "leaf": receipt.first_leaf, "unacked": 0}

    async def freeze(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """Grants deny and no message is handed out, for a subtree or a whole intent, until a signed unfreeze."""
        return await self._hold(caller, target, reason or WHY, "frozen")

    async def pause(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """No message is handed out; authority stays."""
        return await self._hold(caller, target, reason or WHY, "paused")

    async def _hold(self, caller: Caller, target: str, why: str, status: str) -> Done:
        rt, actor = self.rt, self._actor(caller)
        if target == "all":
            targets = [standing.intent.id for standing in rt.swarms.live()]
        else:
            kind, digest = find(rt, target, ("agent", "intent"))
            if kind == "agent":
                return self._hold_agents(rt.agents.get(digest), why, status, actor)
            targets = [digest]
        count = 0
        for intent in targets:
            if status == "frozen":
                count += rt.agents.table.intent_counts(intent)[0]
                rt.swarms.set_frozen(intent, True, why, actor)
            else:
                for agent in rt.agents.roots(intent):
                    count += self._hold_agents(agent, why, status, actor)["count"]
        return {"count": count, "leaf": self._leaf(), "unacked": 0}

    def _hold_agents(self, agent: Agent, why: str, status: str, actor: Operator | Supervisor) -> Done:
        rt = self.rt
        members = [
            m for m in rt.agents.subtree(agent.id) if m.status in ("live", "suspect", "paused", "frozen")
        ]
        kind: Kind = "agent.frozen" if status == "frozen" else "agent.paused"
        if status == "frozen":
            rt.commit(rt.grants.freeze(agent.id))
        receipt = rt.commit(
            *(rt.agents.save(member, status=status, reason=why[:200]) for member in members),
            rt.book.agent_state(kind, agent, why, actor),
        )
        rt.cut((member.id for member in members), why)
        for member in members:
            rt.cells.evict(member)
            rt.changed("agents", member.id)
        return {"count": len(members), "leaf": receipt.first_leaf, "unacked": 0}

    async def stop(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """End an agent's subtree, a swarm, or everything. Answers when the kernel confirmed, or says who has not."""
        rt, why, actor = self.rt, (reason or WHY), self._actor(caller)
        if target != "all":
            kind, digest = find(rt, target, ("agent", "intent"))
            if kind == "agent":
                agent = rt.agents.get(digest)
                cells = [
                    cell
                    for member in rt.agents.subtree(digest)
                    if (cell := rt.cells.of(member)) and not cell.shared
                ]
                count = rt.lives.stop(agent, why, graceful=False)
                for cell in cells:
                    cell.kill(why, wanted=True)
                return {"count": count, "leaf": self._leaf(), "unacked": await self._acknowledged(cells)}
            count, cells = rt.swarms.stop(digest, "ended", "intent.ended", why, actor)
            return {"count": count, "leaf": self._leaf(), "unacked": await self._acknowledged(cells)}
        total, ending = 0, list[CellProcess]()
        rt.stopped = True
        for standing in rt.swarms.live():
            count, cells = rt.swarms.stop(standing.intent.id, "ended", "intent.ended", why, actor)
            total += count
            ending += cells
        return {"count": total, "leaf": self._leaf(), "unacked": await self._acknowledged(ending)}

    async def ask_deny(self, caller: Caller, ask: str, reason: str, freeze: bool | None = None) -> Decided:
        """A no needs a session and no signature: it gives nothing."""
        rt = self.rt
        if caller.operator is None or not reason.strip():
            raise Malformed("a denial has a reason", hint="the agent is told it")
        _, digest = find(rt, ask, ("ask",))
        # One card stands for all equal asks; a no to the card is a no to each of them.
        receipt = None
        for member in rt.asks.members(digest):
            head, change = rt.asks.deny(member.id, caller.operator.person.name, reason)
            written = rt.commit(change, rt.book.ask("ask.decided", head, self._actor(caller)))
            receipt = receipt or written
            rt.settle(head.id)
        head = rt.asks.get(digest)
        if freeze:
            with contextlib.suppress(Conflict):
                await self.freeze(caller, full("agent", head.agent), reason)
        return {"ask": full("ask", digest), "state": head.state, "leaf": receipt.first_leaf if receipt else 0}

    async def down(self, caller: Caller) -> Done:
        """Stop the supervisor and everything it started; what is durable stays."""
        rt = self.rt
        rt.soon(rt.stop)
        return {"count": len(rt.cells), "leaf": self._leaf(), "unacked": 0}
