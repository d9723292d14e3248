"""Births and ends: who may be born, what happens to a subtree that stops (design sections 5 and 6, lives and deaths)."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from queenright.authority.grant_request import GrantRequest, first_request
from queenright.authority.intent import Intent
from queenright.core import BirthBatch, canonical, digest
from queenright.errors import Malformed, NotEntitled, QueenrightError
from queenright.ledger import Supervisor
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.births import Head
from queenright.supervisor.brood import MAX_ARGS, Brood, check_shape
from queenright.supervisor.post import runtime_mail
from queenright.wire.certificate import NO_PARENT, BatchStatement, Birth, IncarnationCertificate

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["MONITORS", "Lives"]

MONITORS = "agent.monitor"  # target + watcher
STOP_MS = 5_000  # what on_stop may take
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]|/(?=[a-z0-9])){0,95}\Z")
# How far a birth's time, taken in the parent's cell, may lie from ours: the cell was given our clock at its start.
BIRTH_SKEW_MS = 600_000
# Born at once, of a behaviour with an on_start: each has a message and a turn of its own.
MAX_STARTING = 10_000


class Lives:
    """Starts and ends agents."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    # --- births -------------------------------------------------------------------------------------------------

    def first(self, intent: Intent, package: bytes) -> tuple[bytes, list[Change]]:
        """The swarm's first agent: born by the runtime key, which the operator's signature on the intent names."""
        args = canonical(dict(intent.args))
        birth = Birth(
            runtime=self._rt.identity.runtime_key,
            intent=intent.id,
            parent=NO_PARENT,
            name=f"{intent.swarm}/{intent.start.rsplit('.', 1)[-1].lower()}",
            behaviour=intent.start,
            package=package,
            grant=first_request(intent).digest,
            args=digest("args", args),
            born_ms=self._rt.clock.wall_ms(),
            nonce=self._rt.rand(16),
        )
        granted = self._rt.grants.first(intent, birth.agent, birth.name)
        return birth.agent, [granted, *self._born(birth, b"", b"", args)]

    def spawn(self, parent: Agent, request: dict[str, Any]) -> tuple[Birth, list[Change]]:
        """A child proposed by the parent's live incarnation. Raises Denied, Malformed, InvalidSignature, NotEntitled."""
        shape = {"certificate": bytes, "signature": bytes, "grant": dict, "args": bytes}
        if request.keys() != shape.keys() or any(type(request[k]) is not v for k, v in shape.items()):
            raise Malformed("a spawn carries a birth certificate, its signature, a grant and arguments")
        key = self._signing_key(parent)
        birth = self._rt.identity.check_parent_signature(request["certificate"], request["signature"], key)
        if (birth.runtime, birth.intent, birth.parent) != (
            self._rt.identity.runtime_key,
            parent.intent,
            parent.id,
        ):
            raise Malformed("the birth certificate names another runtime, intent or parent")
        if not NAME.match(birth.name):
            raise Malformed(
                f"`{birth.name[:64]}` is no agent name",
                hint="lower-case letters, digits, `.`, `_`, `-` and `/`, at most 96",
            )
        if birth.args != digest("args", request["args"]) or len(request["args"]) > MAX_ARGS:
            raise Malformed("the birth certificate's arguments are not those of the request")
        if birth.grant != digest("grant", canonical(request["grant"])):
            raise Malformed("the birth certificate's grant is not that of the request")
        self._present(birth.born_ms)
        if birth.agent in self._rt.agents.table:  # it ran before a crash and its result was not recorded
            return birth, []
        self._rt.swarms.check_behaviour(parent.intent, birth.behaviour, birth.package)
        granted = self._rt.grants.derive(
            parent.id, birth.agent, birth.name, GrantRequest.from_wire(request["grant"])
        )
        born = self._born(birth, request["signature"], parent.certificate, request["args"])
        return birth, [granted, *born]

    def _signing_key(self, parent: Agent) -> bytes:
        """Of the parent's live incarnation. Raises NotEntitled."""
        if not parent.certificate:
            raise NotEntitled("the parent has no certified incarnation that could sign a birth")
        return IncarnationCertificate.verify(
            parent.certificate, parent.certificate_signature, self._rt.identity.runtime_key
        ).public_key

    def _present(self, born_ms: int) -> None:
        if abs(born_ms - self._rt.clock.wall_ms()) > BIRTH_SKEW_MS:
            raise Malformed("the birth certificate's time is not the present")

    def _born(
        self, birth: Birth, parent_signature: bytes, parent_incarnation: bytes, args: bytes
    ) -> list[Change]:
        certificate = birth.encode()
        signature = self._rt.identity.sign_birth(certificate)
        manifest = self._rt.swarms.manifest(birth.package, birth.behaviour)
        added = self._rt.agents.add(
            birth.agent, name=birth.name, behaviour=birth.behaviour, package=birth.package, intent=birth.intent,
            parent=birth.parent, args=args, born_ms=birth.born_ms, birth=certificate, parent_signature=parent_signature,
            runtime_signature=signature, parent_incarnation=parent_incarnation, own_cell=manifest.cell == "own",
        )  # fmt: skip
        parent = self._rt.agents.find(birth.parent)
        changes = [added, self._rt.book.born(birth, signature, manifest.cell == "own", parent)]
        if manifest.on_start:
            changes.append(self._first_turn(birth.agent))
        return changes

    def _first_turn(self, agent: bytes) -> Change:
        """What makes it run `on_start`. A behaviour that has none sleeps until somebody writes to it."""
        now = self._rt.clock.wall_ms()
        return self._rt.mail.put(agent, runtime_mail("queenright.Born", {}), now, reserved=True)

    # --- births in batches ----------------------------------------------------------------------------------------

    async def propose(self, parent: Agent, request: dict[str, Any]) -> Brood:
        """The members a cell's request makes, in a thread of their own. Raises Malformed, Denied for more than there is room
        for, before any are made."""
        check_shape(request)
        names, args = request["names"], request["args"]
        counted = isinstance(names, dict)
        statement = BatchStatement(
            runtime=self._rt.identity.runtime_key,
            intent=parent.intent,
            parent=parent.id,
            behaviour=request["behaviour"],
            package=request["package"],
            grant=digest("grant", canonical(request["grant"])),
            born_ms=request["born_ms"],
            count=names["count"] if counted else len(names),
            root=request["root"],
        )
        if self._rt.births.find(statement.root) is None:
            self._rt.grants.check_room(parent.id, statement.count)
        family = parent.name

        def make() -> BirthBatch:
            each = args if isinstance(args, bytes) else [digest("args", one) for one in args]
            return statement.members(
                family=family,
                seed=request["seed"],
                names=(names["stem"], names["count"]) if counted else names,
                args=digest("args", each) if isinstance(each, bytes) else each,
            )

        members = await asyncio.to_thread(make)
        # Everything a member's certificate says is said here by the supervisor; so a batch with one that says anything
        # else has another root, and one signature stands for none of them.
        if members.root != statement.root:
            raise Malformed("the root that was signed is not that of these births")
        return Brood(statement, members, request)

    def spawn_many(self, parent: Agent, brood: Brood) -> list[Change]:
        """Children proposed in one batch by the parent's live incarnation: all or none. Raises as `spawn`."""
        rt, said, request = self._rt, brood.statement, brood.request
        rt.identity.check_batch_signature(said, request["signature"], self._signing_key(parent))
        if rt.births.find(said.root) is not None:  # it ran before a crash and its result was not recorded
            return []
        self._present(said.born_ms)
        taken = rt.agents.table.taken(brood.members)
        if taken is not None:
            raise Malformed(f"agent-{taken.hex()[:12]} of this batch was born before")
        rt.swarms.check_behaviour(parent.intent, said.behaviour, said.package)
        manifest = rt.swarms.manifest(said.package, said.behaviour)
        if manifest.on_start and said.count > MAX_STARTING:
            raise Malformed(
                f"{said.count} births at once of a behaviour that runs on_start; at most {MAX_STARTING}",
                hint="spawn fewer at once, or say `on_start = false` of a class without one in behaviour.toml",
            )
        granted = rt.grants.derive_batch(
            parent.id, brood.members, said.root, GrantRequest.from_wire(request["grant"])
        )
        counted, same = isinstance(request["names"], dict), isinstance(request["args"], bytes)
        head = Head(
            statement=said,
            family=parent.name,
            seed=request["seed"],
            stem=request["names"]["stem"] if counted else None,
            args=request["args"] if same else None,
            own_cell=manifest.cell == "own",
            grant=request["grant"],
            tops=brood.members.tops,
            parent_signature=request["signature"],
            parent_incarnation=parent.certificate,
            runtime_signature=rt.identity.sign_batch(said),
        )
        records = rt.births.records(
            head, None if counted else request["names"], None if same else request["args"]
        )
        changes = [
            granted,
            rt.agents.add_batch(brood.members, head.own_cell, records),
            rt.book.born_many(head, parent),
        ]
        if manifest.on_start:
            changes += [self._first_turn(agent) for agent in brood.members.ids()]
        return changes

    def first_word(self, agent: Agent) -> list[Change]:
        """Before a batch's member does anything: one leaf that says it was born, with the proof that it is of the batch.

        So whoever has the ledger alone can follow an act to the agent, and the agent to its parent and the intent.
        """
        if agent.origin is None or agent.turn:
            return []
        root, position = agent.origin
        head, path = self._rt.births.proof(root, position)
        return [self._rt.book.born_member(agent, head, position, path, self._rt.agents.find(agent.parent))]

    def started(self, brood: Brood) -> list[bytes]:
        """Those of a born batch that have a first turn to run."""
        manifest = self._rt.swarms.manifest(brood.statement.package, brood.statement.behaviour)
        return brood.members.ids() if manifest.on_start else []

    # --- ends ---------------------------------------------------------------------------------------------------

    def stop(self, agent: Agent, reason: str) -> int:
        """Let the agent and everything below it stop, children first, each with its last turn; how many that is. Idempotent."""
        asleep = self.end_sleepers(self._rt.agents.table.batches_below(agent.id), reason)
        family = self._rt.agents.subtree(agent.id)
        for member in family:
            if member.status == "stopping":
                continue
            self._rt.commit(self._rt.agents.save(member, status="stopping", reason=reason[:200]))
            self._rt.alarms.after(STOP_MS, lambda member=member: self.finished(member))  # type: ignore[misc]
            self._rt.turns.abandon(member.id)
        for member in family:
            self._rt.turns.pump(member.id)
        return asleep + len(family)

    async def bury(self, agents: list[bytes], reason: str) -> None:
        """End agents that may run no more, children before parents: a write each, and everybody else goes on in between."""
        try:
            for id in agents:
                agent = self._rt.agents.find(id)
                if agent is not None:
                    self.finished(agent, reason)
                await asyncio.sleep(0)
        except QueenrightError as error:
            self._rt.log.error("agents.not_buried", error=error.message)
            self._rt.incident("agents.not_buried", "supervisor", f"{error.message}; the next start ends them")

    def end_sleepers(self, batches: list[bytes], reason: str) -> int:
        """End the members of these batches that never had a turn: one row and one leaf a batch; how many that was.

        They have no state, no lease and nothing to stop, so they get no last turn. Those that somebody wrote to or watches
        end one by one, because a letter is to be buried or a watcher told.
        """
        rt, now, count = self._rt, self._rt.clock.wall_ms(), 0
        watched = {key[:32] for key, _ in rt.store.scan(MONITORS)} if batches else set()
        noticed = [
            agent for id in (*rt.mail.waiting(), *watched) if (agent := rt.agents.find(id)) is not None
        ]
        for root in batches:
            for agent in noticed:
                if (
                    agent.origin is not None
                    and agent.origin[0] == root
                    and not agent.turn
                    and not agent.ended
                ):
                    self.finished(agent, reason)
                    count += 1
            sleepers = rt.agents.table.sleepers(root)
            if not sleepers:
                continue
            head = rt.births.find(root)
            assert head is not None, "the table knows no batch that is not in the store"
            ended, who = rt.agents.end_sleepers(root, now, reason[:200])
            rt.commit(
                ended,
                rt.grants.end_batch(lambda who=who: who),  # type: ignore[misc]
                rt.book.ended_many(root, head.statement.intent, sleepers, reason),
            )
            count += len(who)
            rt.appeared(lambda who=who: who)  # type: ignore[misc]
        return count

    def may_run_last_turn(self, agent: Agent) -> bool:
        """A stopping agent's on_stop waits for its children's ends."""
        return self._rt.agents.table.live_children(agent.id) == 0

    def finished(self, agent: Agent, reason: str = "") -> None:
        """The end itself: authority gone, mail buried, relatives told, one leaf."""
        if agent.ended:
            return
        why = reason or agent.reason or "stopped"
        now = self._rt.clock.wall_ms()
        changes: list[Change] = [
            self._rt.agents.save(agent, status="ended", ended_ms=now, reason=why[:200]),
            *self._rt.turns.close_for(agent.id),
            *self._rt.timers.remove_all(agent.id),
            *self._rt.calls.caller_ended(agent.id),
            *self._rt.calls.callee_ended(agent.id),
            *self._rt.mail.bury_all(agent.id, f"the agent ended: {why}"[:300], now),
            *self._rt.swarms.end_authority(agent, why),
            self._rt.book.ended(agent, why),
        ]
        told: list[bytes] = []
        facts = {"agent": agent.id, "name": agent.name, "reason": why[:300], "error": ""}
        for target, kind in self._relatives(agent):
            if self._rt.mail.has_room(target, 512, reserved=True):
                changes.append(self._rt.mail.put(target, runtime_mail(kind, facts), now, reserved=True))
                told.append(target)
        changes.append(
            Change(tuple(("delete", MONITORS, key) for key, _ in self._rt.store.scan(MONITORS, agent.id)))
        )
        self._rt.commit(*changes)
        self._rt.cut((agent.id,), why)
        self._rt.cells.evict(agent)
        self._rt.meters.forget(agent.id)
        self._rt.logs.line(agent.id, "runtime", f"ended: {why}")
        for target in told:
            self._rt.turns.pump(target)
        parent = self._rt.agents.find(agent.parent)
        if parent is not None and parent.status == "stopping":
            self._rt.turns.pump(parent.id)
        self._rt.swarms.agent_ended(agent)
        self._rt.changed("agents", agent.id)

    def _relatives(self, agent: Agent) -> list[tuple[bytes, str]]:
        out: list[tuple[bytes, str]] = []
        parent = self._rt.agents.find(agent.parent)
        if parent is not None and not parent.ended:
            out.append((parent.id, "queenright.ChildEnded"))
        for key, _ in self._rt.store.scan(MONITORS, agent.id):
            watcher = self._rt.agents.find(key[32:])
            if watcher is not None and not watcher.ended and watcher.id != agent.parent:
                out.append((watcher.id, "queenright.Ended"))
        return out

    def monitor(self, watcher: Agent, op: dict[str, Any]) -> Change:
        """A record's wish to hear of an end. Raises Malformed for a shape, and is void for an agent out of reach."""
        target = op.get("agent")
        if op.keys() != {"op", "agent"} or not isinstance(target, bytes) or len(target) != 32:
            raise Malformed("a monitor names a 32-byte agent")
        agent = self._rt.agents.find(target)
        now = self._rt.clock.wall_ms()
        if agent is None or not self._rt.reach.allows(watcher, agent, self._rt.clock.boot_ms()):
            body = {"to": target, "type": "monitor", "body": b"", "reason": "out of reach"}
            return self._rt.mail.put(
                watcher.id, runtime_mail("queenright.Undelivered", body), now, reserved=True
            )
        if agent.ended:
            facts = {"agent": agent.id, "name": agent.name, "reason": agent.reason, "error": ""}
            return self._rt.mail.put(watcher.id, runtime_mail("queenright.Ended", facts), now, reserved=True)
        return Change((("put", MONITORS, target + watcher.id, b"\x01"),))

    def after_failure(self, agent: Agent, error: str) -> None:
        """A message was buried: the behaviour's manifest says whether its agent goes on, ends, or waits for a person."""
        why = f"a message failed for good: {error.strip().splitlines()[-1][:120]}"
        match self._rt.swarms.manifest(agent.package, agent.behaviour).on_failure:
            case "stop":
                self.stop(agent, why)
            case "escalate":
                self._rt.commit(
                    self._rt.agents.save(agent, status="paused", reason=why),
                    self._rt.book.agent_state(
                        "agent.paused", agent, "a message failed for good", Supervisor()
                    ),
                )
                self._rt.cells.evict(agent)
                self._rt.incident(
                    "agent.failed", agent.name, f"{why}; `queenright agent resume` lets it go on"
                )
                self._rt.changed("agents", agent.id)
