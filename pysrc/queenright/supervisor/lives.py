"""Births and ends: who may be born, what happens to a subtree that stops (design sections 5 and 6, lives and deaths)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from queenright.authority.grant_request import GrantRequest, first_request
from queenright.authority.intent import Intent
from queenright.core import canonical, digest
from queenright.errors import Malformed, NotEntitled
from queenright.ledger import Supervisor
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.post import runtime_mail
from queenright.wire.certificate import NO_PARENT, Birth, IncarnationCertificate

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["MONITORS", "Lives"]

MONITORS = "agent.monitor"  # target + watcher
STOP_MS = 5_000  # what on_stop may take
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]|/(?=[a-z0-9])){0,95}\Z")
MAX_ARGS = 64 * 1024
# How far a birth's time, taken in the parent's cell, may lie from ours: the cell was given our clock at its start.
BIRTH_SKEW_MS = 600_000


class Lives:
    """Starts and ends agents."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    # --- births -------------------------------------------------------------------------------------------------

    def first(self, intent: Intent, package: bytes) -> tuple[Agent, list[Change]]:
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
        agent, born = self._born(birth, b"", b"", args)
        return agent, [granted, *born]

    def spawn(self, parent: Agent, request: dict[str, Any]) -> tuple[Agent, list[Change]]:
        """A child proposed by the parent's live incarnation. Raises Denied, Malformed, InvalidSignature, NotEntitled."""
        shape = {"certificate": bytes, "signature": bytes, "grant": dict, "args": bytes}
        if request.keys() != shape.keys() or any(type(request[k]) is not v for k, v in shape.items()):
            raise Malformed("a spawn carries a birth certificate, its signature, a grant and arguments")
        if not parent.certificate:
            raise NotEntitled("the parent has no certified incarnation that could sign a birth")
        key = IncarnationCertificate.verify(
            parent.certificate, parent.certificate_signature, self._rt.identity.runtime_key
        ).public_key
        birth = self._rt.identity.check_parent_signature(request["certificate"], request["signature"], key)
        now = self._rt.clock.wall_ms()
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
        if abs(birth.born_ms - now) > BIRTH_SKEW_MS:
            raise Malformed("the birth certificate's time is not the present")
        known = self._rt.agents.find(birth.agent)
        if known is not None:  # the step ran before a crash and its result was not recorded
            return known, []
        self._rt.swarms.check_behaviour(parent.intent, birth.behaviour, birth.package)
        granted = self._rt.grants.derive(
            parent.id, birth.agent, birth.name, GrantRequest.from_wire(request["grant"])
        )
        agent, born = self._born(birth, request["signature"], parent.certificate, request["args"])
        return agent, [granted, *born]

    def _born(
        self, birth: Birth, parent_signature: bytes, parent_incarnation: bytes, args: bytes
    ) -> tuple[Agent, list[Change]]:
        certificate = birth.encode()
        agent = Agent(
            id=birth.agent,
            name=birth.name,
            behaviour=birth.behaviour,
            package=birth.package,
            intent=birth.intent,
            parent=birth.parent,
            args=args,
            born_ms=birth.born_ms,
            birth=certificate,
            parent_signature=parent_signature,
            runtime_signature=self._rt.identity.sign_birth(certificate),
            parent_incarnation=parent_incarnation,
            own_cell=self._rt.swarms.manifest(birth.package, birth.behaviour).cell == "own",
        )
        first = self._rt.mail.put(
            agent.id, runtime_mail("queenright.Born", {}), self._rt.clock.wall_ms(), reserved=True
        )
        return agent, [
            self._rt.agents.add(agent),
            first,
            self._rt.book.born(agent, self._rt.agents.find(birth.parent)),
        ]

    # --- ends ---------------------------------------------------------------------------------------------------

    def stop(self, agent: Agent, reason: str, *, graceful: bool = True) -> int:
        """End the agent and everything below it, children first; how many that is. Idempotent."""
        family = [member for member in self._rt.agents.subtree(agent.id) if not member.ended]
        for member in family:
            if member.status == "stopping":
                continue
            if not graceful:
                self.finished(member, reason)
                continue
            self._rt.commit(self._rt.agents.save(member, status="stopping", reason=reason[:200]))
            self._rt.alarms.after(STOP_MS, lambda member=member: self.finished(member))  # type: ignore[misc]
            self._rt.turns.abandon(member.id)
        for member in family:
            self._rt.turns.pump(member.id)
        return len(family)

    def may_run_last_turn(self, agent: Agent) -> bool:
        """A stopping agent's on_stop waits for its children's ends."""
        return all(self._rt.agents.get(child).ended for child in agent.children)

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
