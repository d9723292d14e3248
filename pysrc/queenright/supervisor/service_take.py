"""The taking half of the control service: works with any session, at once, and answers with what was reached.

Each order is written down, carried out, and followed until the kernel has said of everything it ends that it is gone
(`stops.py`); docs/guides/stopping.md is the table of what each does to what.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from queenright.authority.intents import IntentState
from queenright.control.protocol import Decided, Done
from queenright.control.service import Caller
from queenright.errors import Conflict, Malformed
from queenright.ledger.entry import Kind, Operator, Supervisor
from queenright.supervisor.agents import Agent
from queenright.supervisor.book import Book
from queenright.supervisor.find import find
from queenright.supervisor.service_workspace import ReadingWorkspaces
from queenright.supervisor.stops import WITHIN_S, Order, Point
from queenright.wire.ids import full

__all__ = ["Taking"]

WHY = "by an operator"


class Taking(ReadingWorkspaces):
    """Deny, revoke, freeze, pause, stop."""

    def _actor(self, caller: Caller) -> Operator | Supervisor:
        return Book.person(caller)

    def _leaf(self) -> int:
        return self.rt.ledger.size - 1

    async def _obeyed(
        self, order: Order, count: int, points: list[Point], *burying: Coroutine[Any, Any, None]
    ) -> Done:
        """Answer when everything is gone, or after the promise's time with the names of what is not. Agents that end are
        written down one by one after that; of many, some are after the answer.
        """
        reach = await self.rt.stops.follow(order, points)
        buried = [self.rt.stops.also(one) for one in burying]
        if buried:
            await asyncio.wait(buried, timeout=max(0.0, WITHIN_S - reach["ms"] / 1000))
        return {"count": count, "leaf": order.leaf, "unacked": reach["unreached"], "reach": reach}

    # --- authority, for good --------------------------------------------------------------------------------------

    async def revoke(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """Authority ends: of an intent, of an agent's subtree, of a grant, of one lease, or of everything. What it runs with that
        authority ends with it; an agent's own turn goes on and may ask again.
        """
        rt, why, actor, at = self.rt, (reason or WHY), self._actor(caller), self.rt.clock.boot_ms()
        if target == "all":
            return await self._end_swarms("revoke", at, "revoked", "intent.revoked", why, actor)
        kind, digest = find(rt, target, ("agent", "intent", "grant", "lease"))
        if kind == "intent":
            return await self._end_swarm("revoke", digest, at, "revoked", "intent.revoked", why, actor)
        if kind == "lease":
            lease = rt.leases.get(digest)
            receipt = rt.commit(rt.leases.end(digest, why), rt.book.lease("lease.ended", lease, why, actor))
            points = [] if rt.locked else rt.acting.cut_lease(lease.agent, digest, why)
            rt.changed("agents", lease.agent)
            order = Order("revoke", actor, receipt.first_leaf, at, intent=lease.intent, agent=lease.agent)
            return await self._obeyed(order, 1, points)
        return await self._revoke_agent(rt.agents.get(digest), at, why, actor)

    async def _revoke_agent(self, agent: Agent, at: int, why: str, actor: Operator | Supervisor) -> Done:
        """A subtree's authority: one durable flag, seen by the next check; leases and open asks end with it, then what runs."""
        rt = self.rt
        if agent.ended:
            raise Conflict(f"{agent.name} has ended: it holds nothing")
        family = frozenset(rt.agents.table.subtree(agent.id, True))
        voided = rt.asks.of_agents(family)
        receipt = rt.commit(
            rt.grants.revoke(agent.id),
            rt.leases.end_agents(family, why),
            *(rt.asks.void(head.id, why) for head in voided),
            rt.book.grant_revoked(agent.id, agent.intent, why, actor),
        )
        with rt.launcher.together():
            points = rt.cut(family, why)
        for head in voided:
            rt.settle(head.id)
        rt.appeared(lambda: list(family))
        order = Order("revoke", actor, receipt.first_leaf, at, intent=agent.intent, agent=agent.id)
        return await self._obeyed(order, len(family), points)

    # --- holding --------------------------------------------------------------------------------------------------

    async def freeze(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """Grants deny and nothing of it runs, for a subtree or a whole intent, until a signed unfreeze."""
        return await self._hold(caller, target, reason or WHY, "frozen")

    async def pause(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """Nothing of it runs until a signed resume; authority stays."""
        return await self._hold(caller, target, reason or WHY, "paused")

    async def _hold(self, caller: Caller, target: str, why: str, status: str) -> Done:
        rt, actor, at = self.rt, self._actor(caller), self.rt.clock.boot_ms()
        verb = "freeze" if status == "frozen" else "pause"
        if target == "all":
            targets = [standing.intent.id for standing in rt.swarms.live()]
        else:
            kind, digest = find(rt, target, ("agent", "intent"))
            if kind == "agent":
                agent = rt.agents.get(digest)
                count, points = self._hold_agents(agent, why, status, actor)
                order = Order(verb, actor, self._leaf(), at, intent=agent.intent, agent=agent.id)
                return await self._obeyed(order, count, points)
            targets = [digest]
        count, points = 0, []
        for intent in targets:
            if status == "frozen":
                count += rt.agents.table.intent_counts(intent)[0]
                points += rt.swarms.set_frozen(intent, True, why, actor)
            else:
                for agent in rt.agents.roots(intent):
                    held, more = self._hold_agents(agent, why, status, actor)
                    count += held
                    points += more
        one = targets[0] if len(targets) == 1 else None
        return await self._obeyed(Order(verb, actor, self._leaf(), at, intent=one), count, points)

    def _hold_agents(
        self, agent: Agent, why: str, status: str, actor: Operator | Supervisor
    ) -> tuple[int, list[Point]]:
        """A subtree is held in one durable write, then what runs of it ends. A pause leaves what is frozen frozen."""
        rt = self.rt
        holdable = ("live", "suspect", "paused") + (("frozen",) if status == "frozen" else ())
        members = [member for member in rt.agents.subtree(agent.id) if member.status in holdable]
        kind: Kind = "agent.frozen" if status == "frozen" else "agent.paused"
        rt.commit(
            *([rt.grants.freeze(agent.id)] if status == "frozen" else []),
            *(rt.agents.save(member, status=status, reason=why[:200]) for member in members),
            rt.book.agent_state(kind, agent, why, actor),
        )
        with rt.launcher.together():
            points = rt.cut((member.id for member in members), why, hold=True)
        points += rt.cells.evict_all(members)
        for member in members:
            rt.changed("agents", member.id)
        return len(members), points

    # --- ending ---------------------------------------------------------------------------------------------------

    async def stop(self, caller: Caller, target: str, reason: str | None = None) -> Done:
        """End an agent's subtree, a swarm, or everything. Answers when the kernel confirmed, or says who has not."""
        rt, why, actor, at = self.rt, (reason or WHY), self._actor(caller), self.rt.clock.boot_ms()
        if target == "all":
            rt.stopped = True
            return await self._end_swarms("stop", at, "ended", "intent.ended", why, actor)
        kind, digest = find(rt, target, ("agent", "intent"))
        if kind == "intent":
            return await self._end_swarm("stop", digest, at, "ended", "intent.ended", why, actor)
        agent = rt.agents.get(digest)
        asleep = rt.lives.end_sleepers(rt.agents.table.batches_below(digest), why)
        family = rt.agents.subtree(digest)
        # Held in one write, so that none of them runs from here on; each one's end is a write of its own.
        receipt = rt.commit(
            *(
                rt.agents.save(member, status="frozen", reason=f"is being ended: {why}"[:200])
                for member in family
            ),
            rt.book.agent_state("agent.frozen", agent, f"is being ended: {why}", actor),
        )
        with rt.launcher.together():
            points = rt.cut((member.id for member in family), why)
        points += rt.cells.evict_all(family)
        burying = rt.lives.bury([member.id for member in family], why)
        order = Order("stop", actor, receipt.first_leaf, at, intent=agent.intent, agent=agent.id)
        return await self._obeyed(order, asleep + len(family), points, burying)

    async def _end_swarm(
        self,
        verb: str,
        intent: bytes,
        at: int,
        state: IntentState,
        kind: Kind,
        why: str,
        actor: Operator | Supervisor,
    ) -> Done:
        ending = self.rt.swarms.stop(intent, state, kind, why, actor)
        order = Order(verb, actor, ending.leaf, at, intent=intent)
        return await self._obeyed(order, ending.count, ending.points, ending.burying)

    async def _end_swarms(
        self, verb: str, at: int, state: IntentState, kind: Kind, why: str, actor: Operator | Supervisor
    ) -> Done:
        ended = [
            self.rt.swarms.stop(standing.intent.id, state, kind, why, actor)
            for standing in self.rt.swarms.live()
        ]
        points = [point for ending in ended for point in ending.points]
        order = Order(verb, actor, ended[0].leaf if ended else self._leaf(), at)
        return await self._obeyed(
            order, sum(ending.count for ending in ended), points, *(ending.burying for ending in ended)
        )

    async def down(self, caller: Caller) -> Done:
        """Stop the supervisor and everything it started; what is durable stays. Answers with what was reached, then goes down."""
        rt, at, why = self.rt, self.rt.clock.boot_ms(), "the supervisor goes down"
        count = len(rt.cells)
        rt.closing = True
        with rt.launcher.together():
            points = rt.cells.end_all(why) + ([] if rt.locked else rt.acting.end_all(why))
        done = await self._obeyed(Order("down", self._actor(caller), self._leaf(), at), count, points)
        rt.soon(rt.stop)
        return done

    # --- asks -----------------------------------------------------------------------------------------------------

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
