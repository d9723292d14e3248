"""What a cell says: each frame goes to whoever answers for it. A cell only proposes, and what none of ours would say ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queenright.errors import InvalidProof, InvalidSignature, Malformed
from queenright.supervisor.agents import Agent
from queenright.supervisor.cell_process import CellProcess
from queenright.wire.link import (
    Batch,
    Certified,
    End,
    Evicted,
    Fault,
    Frame,
    Incarnation,
    Log,
    NeedSealKey,
    Ready,
    Rest,
    SealKey,
    Step,
    Taken,
    Up,
)

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["CellFrames"]


class CellFrames:
    """The supervisor's ear at every cell's link."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    def on_frame(self, cell: CellProcess, frame: Frame) -> None:
        """One frame of a cell. What no cell of ours would send ends it and is recorded as its violation."""
        try:
            match frame:
                case Step() | End() | Batch():
                    self._on_mail(cell, frame)
                case Taken():
                    self._rt.volatile.on_taken(cell, frame)
                case Rest():
                    self._rt.turns.on_rest(cell, frame)
                case Incarnation():
                    self._on_incarnation(cell, frame)
                case Evicted():
                    cell.let_go(frame.agent)
                case NeedSealKey():
                    self._on_need_seal_key(cell, frame)
                case Log():
                    if frame.agent in cell.agents and cell.may_log(self._rt.clock.boot_ms()):
                        self._rt.logs.line(frame.agent, "log", frame.text)
                case Up():
                    if cell.state != "starting":
                        raise Malformed("a cell says once, and first, that it is up")
                case Ready():
                    self._on_ready(cell, frame)
                case Fault():
                    for agent in cell.agents:
                        self._rt.logs.line(agent, "runtime", frame.text, error=True)
                    cell.kill(f"cannot go on: {frame.text[:200]}")
                case _:
                    raise Malformed(f"a cell does not send `{frame.t}`")
        except (Malformed, InvalidSignature) as error:
            cell.violate(str(error))

    def _on_mail(self, cell: CellProcess, frame: Step | End | Batch) -> None:
        """What carries an agent's signature. One that does not hold costs that agent its place, and nobody else anything."""
        try:
            match frame:
                case Step():
                    self._rt.turns.on_step(cell, frame)
                case End():
                    self._rt.turns.on_end(cell, frame)
                case Batch():
                    self._rt.volatile.on_batch(cell, frame)
        except (InvalidSignature, InvalidProof) as error:
            self._forged(cell, self._rt.agents.get(frame.agent), error.message)

    def _forged(self, cell: CellProcess, agent: Agent, what: str) -> None:
        """A batch in the agent's name that its key did not sign: nothing of it counts, and the agent runs no more until a
        person has looked. The others of its cell go on: they sign for themselves.
        """
        why = f"a batch in its name does not verify: {what}"[:300]
        self._rt.commit(
            self._rt.book.violation(cell, why, agent),
            self._rt.agents.save(agent, status="quarantined", reason=why),
        )
        self._rt.log.error("batch.forged", cell=cell.id, agent=agent.name, error=what)
        self._rt.incident("agent.forged", agent.name, f"{cell.id}: {why}")
        self._rt.cells.evict(agent)
        self._rt.changed("agents", agent.id)

    def _on_ready(self, cell: CellProcess, frame: Ready) -> None:
        """The cell has imported its package. A class without a first turn by its manifest may have none in truth."""
        for told in frame.classes:
            if not isinstance(told, dict) or not isinstance(told.get("name"), str):
                raise Malformed("a cell tells of each class by name")
            module, _, name = told["name"].partition(".")
            for package in map(self._rt.packages.get, cell.packages):
                manifest = package.classes.get(name) if package.name == module else None
                if manifest is not None and not manifest.on_start and told.get("on_start") is not False:
                    what = f"`{told['name'][:96]}` has an on_start, and its behaviour.toml says `on_start = false`"
                    self._rt.incident("behaviour.differs", cell.id, what)
                    cell.kill(what)
                    return
        cell.state = "ready"
        self._rt.cells.own.ready(cell)

    def _on_incarnation(self, cell: CellProcess, frame: Incarnation) -> None:
        agent = self._rt.cells.mine(cell, frame.agent)
        if agent is None:
            return
        if agent.certificate:
            raise Malformed("an incarnation claims its key twice")
        certificate, signature = self._rt.identity.certify_incarnation(
            agent=agent.id,
            number=cell.number,
            cell=cell.id,
            shared=cell.shared,
            nonce=cell.nonce,
            public_key=frame.public_key,
            signature=frame.signature,
        )
        self._rt.commit(self._rt.book.incarnation_begun(agent, cell, certificate, signature))
        agent.certificate, agent.certificate_signature = certificate, signature
        cell.send(Certified(agent.id, certificate, signature))

    def _on_need_seal_key(self, cell: CellProcess, frame: NeedSealKey) -> None:
        sender = self._rt.cells.mine(cell, frame.agent)
        if sender is None:
            return
        receiver = self._rt.agents.find(frame.receiver)
        # Anybody may ask for anybody's public key by id: ids are digests, and reach is decided at delivery.
        generation = receiver.generation if receiver is not None else 0
        sealing = self._rt.identity.sealing(frame.receiver, generation)
        sequence = self._rt.post.last_sequence(sender.id, frame.receiver) + 1
        cell.send(
            SealKey(
                agent=frame.receiver,
                sender=sender.id,
                sequence=sequence,
                generation=generation,
                certificate=sealing.certificate,
                signature=sealing.signature,
            )
        )
