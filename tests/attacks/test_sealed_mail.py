"""Mail between cells: sealed, signed, chained; whatever was tampered with is refused, reported and never handled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cells import Swarm

from queenright.agent import Agent, AgentRef, Context, Message, handles
from queenright.cell.keys import WINDOW_MESSAGES
from queenright.core import Letter, SigningKey, canonical, decode
from queenright.errors import Conflict, InvalidProof, InvalidSignature, Malformed, QueenrightError, Unknown
from queenright.wire.envelope import prove
from queenright.wire.link import (
    Batch,
    Certified,
    Deliver,
    Frame,
    Incarnation,
    NeedSealKey,
    OpenKey,
    Peer,
    Result,
    SealKey,
)

SECRET = "the password is hunter2"


def replace(frame: Frame, **changes: Any) -> Frame:
    """The frame with other fields."""
    return type(frame)(**({name: getattr(frame, name) for name in frame.__slots__} | changes))


class Tell(Message):
    to: AgentRef
    text: str = SECRET


class Word(Message):
    text: str


class Blip(Message, volatile=True):
    text: str


class Many(Message):
    to: AgentRef
    count: int


class Ping(Message, volatile=True):
    n: int


class Pong(Message, volatile=True):
    n: int


@dataclass
class Heard:
    words: list[str] = field(default_factory=list)


class Talker(Agent):
    state: Heard

    @handles
    async def tell(self, ctx: Context, message: Tell) -> None:
        ctx.send(message.to, Word(message.text))
        ctx.send(message.to, Blip(message.text))
        reply = await ctx.call(message.to, Word("call"))
        self.state.words.append(reply.text)

    @handles
    async def word(self, ctx: Context, message: Word) -> Word:
        self.state.words.append(message.text)
        return Word(f"heard {message.text}")

    @handles
    async def many(self, ctx: Context, message: Many) -> None:
        for n in range(message.count):
            ctx.send(message.to, Ping(n))

    @handles
    async def ping(self, ctx: Context, message: Ping) -> None:
        assert ctx.sender is not None
        ctx.send(ctx.sender, Pong(message.n))

    @handles
    async def pong(self, ctx: Context, message: Pong) -> None:
        self.state.words.append(str(message.n))

    @handles
    async def blip(self, ctx: Context, message: Blip) -> None:
        self.state.words.append("blip")


@pytest.fixture
def pair() -> tuple[Any, Any, Any]:
    swarm = Swarm(Talker)
    here, there = swarm.cell(), swarm.cell()
    return swarm, swarm.start(Talker, here, name="sender"), swarm.start(Talker, there, name="receiver")


def words(agent: Any) -> list[str]:
    return list(decode(agent.state)["words"]) if agent.state else []


def test_mail_to_another_cell_is_sealed_and_arrives_once_in_order(pair: Any) -> None:
    swarm, sender, receiver = pair
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(receiver) == [SECRET, "blip", "call"]
    assert words(sender) == ["heard call"]
    assert [body for _, _, body in sender.sent] == [None] * 2
    assert len([frame for frame in swarm.runtime.frames if isinstance(frame, Batch)]) == 1
    assert sender.errors == receiver.errors == []


def test_nothing_that_crosses_the_supervisor_holds_the_plaintext(pair: Any) -> None:
    from queenright.wire.link import encode

    swarm, sender, receiver = pair
    seen: list[bytes] = []

    def watch(frame: Frame) -> Frame:
        seen.append(encode(frame))
        return frame

    swarm.send(sender, Tell(AgentRef(receiver.id)))
    swarm.runtime.frames.clear()
    swarm.tamper = watch
    swarm.runtime.post(sender.id, swarm.mail(Tell(AgentRef(receiver.id), "another secret"), None))
    del seen[:]
    swarm.run()
    crossing = seen[1:] + [encode(frame) for frame in swarm.runtime.frames]
    carriers = [data for data in crossing if b"another secret" in data]
    # The receiver's own state is all that comes out in clear, and that is the journal's to encrypt.
    assert [decode(data)["t"] for data in carriers if decode(data)["t"] != "end"] in ([], ["deliver"])


def test_volatile_mail_leaves_once_a_loop_turn_in_batches_and_is_answered_in_order(pair: Any) -> None:
    swarm, sender, receiver = pair
    swarm.send(sender, Many(AgentRef(receiver.id), 400))
    swarm.send(sender, Word("durable"))
    assert words(sender) == [*map(str, range(400)), "durable"]
    batches = [frame.agent for frame in swarm.runtime.frames if isinstance(frame, Batch)]
    assert batches.count(sender.id) == 2  # 256 and the rest
    assert 1 <= batches.count(receiver.id) <= 4
    assert sender.errors == receiver.errors == []


def test_a_flooder_gets_its_message_back_and_its_window_once_the_receiver_has_taken(pair: Any) -> None:
    """More than a window at once: MailboxFull in the sender's own turn; nothing is lost silently."""
    swarm, sender, receiver = pair
    swarm.send(sender, Many(AgentRef(receiver.id), 100))
    keys = swarm.process(sender.cell).post._desks[sender.id].keys
    assert keys.sealer.under_way == (0, 0)
    swarm.send(sender, Many(AgentRef(receiver.id), WINDOW_MESSAGES + 1))
    assert "MailboxFull" in sender.errors[0]
    assert keys.sealer.under_way == (0, 0)
    swarm.send(sender, Word("goes on"))
    assert words(sender)[-1] == "goes on"


@pytest.mark.parametrize("change", [{"agent": bytes(32)}, {"packet": b"QRB1"}, {"packet": b""}])
def test_a_batch_altered_on_its_way_to_a_cell_is_refused_by_the_cell_itself(
    pair: Any, change: dict[str, Any]
) -> None:
    swarm, sender, receiver = pair
    swarm.tamper = lambda frame: replace(frame, **change) if isinstance(frame, Batch) else frame
    with pytest.raises(QueenrightError):
        swarm.send(sender, Many(AgentRef(receiver.id), 3))
    assert words(receiver) == []


def test_a_batch_is_never_taken_without_its_senders_certificate_or_twice(pair: Any) -> None:
    swarm, sender, receiver = pair
    kept: list[Frame] = []

    def keep(frame: Frame) -> Frame:
        kept.extend([frame] if isinstance(frame, Batch) else [])
        return frame

    swarm.tamper = lambda frame: None if isinstance(frame, Peer) else frame
    with pytest.raises(Unknown, match="certificate has not come"):
        swarm.send(sender, Many(AgentRef(receiver.id), 3))
    swarm.runtime.cells[1].peers.clear()
    swarm.tamper = keep
    swarm.send(sender, Many(AgentRef(receiver.id), 3))
    with pytest.raises(Conflict, match="came before"):
        swarm.process(receiver.cell).receive(kept[0])


def test_keys_are_made_once_and_only_when_something_must_be_signed(pair: Any) -> None:
    swarm, sender, receiver = pair
    kinds = [type(frame) for frame in swarm.runtime.frames]
    assert Incarnation not in kinds
    assert NeedSealKey not in kinds
    for _ in range(3):
        swarm.send(sender, Tell(AgentRef(receiver.id)))
    claims = [frame.agent for frame in swarm.runtime.frames if isinstance(frame, Incarnation)]
    needs = [frame.agent for frame in swarm.runtime.frames if isinstance(frame, NeedSealKey)]
    assert sorted(claims) == sorted([sender.id, receiver.id])
    assert sorted(needs) == sorted([sender.id, receiver.id])


def test_sequences_of_a_pair_rise_across_the_lives_of_the_sender(pair: Any) -> None:
    swarm, sender, receiver = pair
    for _ in range(2):
        swarm.send(sender, Tell(AgentRef(receiver.id)))
        swarm.crash(sender.cell)
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(receiver).count(SECRET) == 3
    assert sender.errors == receiver.errors == []


# Where a letter's fields lie (core-rs/queenright-core/src/batch/letter.rs).
LETTER = {
    "magic": 0, "sender": 4, "incarnation": 43, "first": 51, "count": 55, "previous": 56, "signature": 88,
    "receiver": 152, "generation": 191, "encapsulated key": 192, "type": 225, "ciphertext": -1,
}  # fmt: skip


def _flip(name: str, at: int | None = None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(sealed: dict[str, Any]) -> dict[str, Any]:
        value = bytearray(sealed[name])
        value[len(value) // 2 if at is None else at] ^= 1
        return sealed | {name: bytes(value)}

    return change


TAMPERED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **{name: _flip("letter", at) for name, at in LETTER.items()},
    "certificate": _flip("certificate"),
    "the runtime's signature": _flip("certified"),
    "short letter": lambda sealed: sealed | {"letter": sealed["letter"][:-10]},
    "long letter": lambda sealed: sealed | {"letter": sealed["letter"] + b"x"},
    "extra field": lambda sealed: sealed | {"more": 1},
    "missing field": lambda sealed: {name: sealed[name] for name in sealed if name != "certified"},
    "wrong type": lambda sealed: sealed | {"letter": 5},
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_mail_is_refused_and_reported_and_never_handled(pair: Any, what: str) -> None:
    swarm, sender, receiver = pair

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, Deliver) and frame.mail["sealed"] is not None and frame.mail["call"] is None:
            return replace(frame, mail=frame.mail | {"sealed": TAMPERED[what](frame.mail["sealed"])})
        return frame

    swarm.tamper = tamper
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(receiver) == ["call"]
    refused = [text for level, text in receiver.logs if level == "refused"]
    assert refused
    assert all(sender.id.hex()[:12] in text for text in refused)
    assert SECRET not in str(receiver.logs) + str(receiver.errors)


@pytest.mark.parametrize("name", ["sender", "type"])
def test_mail_relabelled_on_its_way_is_refused(pair: Any, name: str) -> None:
    swarm, sender, receiver = pair
    other = swarm.start(Talker, sender.cell, name="other")
    label = {"sender": other.id, "type": "tests.Tell"}[name]

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, Deliver) and frame.agent == receiver.id and frame.mail["call"] is None:
            return replace(frame, mail=frame.mail | {name: label})
        return frame

    swarm.tamper = tamper
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(receiver) == ["call"]


def test_mail_for_one_agent_does_not_open_for_another(pair: Any) -> None:
    swarm, sender, receiver = pair
    other = swarm.start(Talker, receiver.cell, name="other")

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, OpenKey | Deliver) and frame.agent == receiver.id:
            return replace(frame, agent=other.id)
        return frame

    swarm.runtime._give_open_key(other, 0)
    swarm.tamper = tamper
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(other) == []
    assert any(level == "refused" for level, _ in other.logs)


def test_a_tampered_answer_is_an_error_of_the_call(pair: Any) -> None:
    swarm, sender, receiver = pair

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, Result) and frame.agent == sender.id and frame.value:
            value = decode(frame.value)
            if isinstance(value, dict) and value.get("sealed"):
                return replace(
                    frame, value=canonical(value | {"sealed": _flip("letter", -1)(value["sealed"])})
                )
        return frame

    swarm.tamper = tamper
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert "InvalidSignature" in sender.errors[0]
    assert any(level == "refused" for level, _ in sender.logs)


def test_a_forged_key_certificate_ends_the_cell(pair: Any) -> None:
    """Keys that the runtime did not sign, or signed for another agent, are never sealed to."""
    swarm, sender, receiver = pair
    forger = SigningKey.from_seed(bytes(32))

    def forge(frame: Frame) -> Frame:
        if isinstance(frame, SealKey):
            return replace(frame, signature=forger.sign(b"x"))
        return frame

    swarm.tamper = forge
    with pytest.raises(InvalidSignature):
        swarm.send(sender, Tell(AgentRef(receiver.id)))


@pytest.mark.parametrize("change", [{"agent": bytes(32)}, {"generation": 3}])
def test_a_key_of_another_agent_or_generation_is_refused(pair: Any, change: dict[str, Any]) -> None:
    swarm, sender, receiver = pair
    swarm.tamper = lambda frame: replace(frame, **change) if isinstance(frame, SealKey) else frame
    with pytest.raises(InvalidSignature):
        swarm.send(sender, Tell(AgentRef(receiver.id)))


def test_a_certificate_over_another_life_is_refused(pair: Any) -> None:
    swarm, sender, receiver = pair
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    old = next(
        frame for frame in swarm.runtime.frames if isinstance(frame, Incarnation) and frame.agent == sender.id
    )
    stale = Certified(sender.id, sender.certificate, sender.certified)
    swarm.crash(sender.cell)
    swarm.tamper = lambda frame: stale if isinstance(frame, Certified) and frame.agent == sender.id else frame
    with pytest.raises(InvalidSignature):
        swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert old.public_key


def test_without_its_key_a_cell_cannot_open_mail(pair: Any) -> None:
    swarm, sender, receiver = pair
    swarm.tamper = lambda frame: None if isinstance(frame, OpenKey) and frame.agent == receiver.id else frame
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert words(receiver) == []
    assert "was not given the sealing key" in str(receiver.logs)


def test_the_supervisors_side_refuses_replays_and_broken_chains(pair: Any) -> None:
    """What the loopback runtime checks is what the product's router checks; both refuse a record sent twice."""
    swarm, sender, receiver = pair
    seen: list[bytes] = []
    accept = swarm.runtime.identity.check_record

    def watch(of: Any, places: Any) -> None:
        seen.extend(place["sealed"] for _, place in places if of is sender)
        accept(of, places)

    swarm.runtime.identity.check_record = watch
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    identity = swarm.runtime.identity
    letter = Letter.parse(seen[0])
    place = {"type": letter.kind, "sealed": seen[0]}
    with pytest.raises(Malformed, match="used before"):
        accept(sender, [(receiver.id, dict(place))])
    identity.sequences.clear()
    with pytest.raises(Malformed, match="does not follow"):
        accept(sender, [(receiver.id, dict(place))])
    sender.batch, sender.signed = letter.previous, letter.first
    identity.sequences.clear()
    with pytest.raises(Malformed, match="another receiver or type"):
        accept(sender, [(receiver.id, place | {"type": "tests.Other"})])


def test_a_stored_letter_proves_its_sender_to_whoever_has_the_runtimes_key(pair: Any) -> None:
    swarm, sender, receiver = pair
    stored: list[dict[str, Any]] = []

    def keep(frame: Frame) -> Frame:
        if isinstance(frame, Deliver) and frame.mail["sealed"] is not None:
            stored.append(frame.mail["sealed"])
        return frame

    swarm.tamper = keep
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    key = swarm.runtime.identity.public_key
    letter = prove(stored[0], key)
    assert (letter.sender, letter.receiver) == (sender.id, receiver.id)
    for at in LETTER.values():
        with pytest.raises((InvalidProof, InvalidSignature, Malformed)):
            prove(_flip("letter", at)(stored[0]), key)
    with pytest.raises(InvalidSignature):
        prove(stored[0], SigningKey.from_seed(bytes(32)).public_key)


def test_a_sender_without_a_key_never_sends_unsealed(pair: Any) -> None:
    """Nobody answers NeedSealKey: the record waits, and nothing of it leaves."""
    swarm, sender, receiver = pair
    swarm.tamper = lambda frame: None if isinstance(frame, SealKey) else frame
    swarm.send(sender, Tell(AgentRef(receiver.id)))
    assert sender.sent == []
    assert sender.errors == []
