"""Batches at the supervisor: who signed what is certain, what is replayed or forged is refused, what is dropped is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from batch_world import SUBKEY, Note, World

from queenright.core import Letter, SigningKey, digest
from queenright.core.host import sealing_keypair
from queenright.errors import InvalidProof, InvalidSignature, Malformed
from queenright.supervisor.mail import MAILBOX_MESSAGES
from queenright.supervisor.post import SEQUENCES
from queenright.wire.certificate import INCARNATION, IncarnationCertificate
from queenright.wire.envelope import prove
from queenright.wire.link import Batch, Credit, Peer


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def test_a_batch_goes_to_each_cell_with_only_its_messages_and_its_senders_certificate_once(
    world: World,
) -> None:
    here, there, elsewhere = world.cell(1), world.cell(2), world.cell(3)
    sender, one, two = world.agent("s", here), world.agent("a", there), world.agent("b", elsewhere)
    sealer = world.sealer(sender, one, two)
    for turn in range(2):
        mail = [(one, Note(turn)), (two, Note(turn + 10)), (one, Note(turn + 20))]
        world.receive(sender, world.packet(sender, sealer, mail))
    for receiver, cell, wanted in ((one, there, [[0, 20], [1, 21]]), (two, elsewhere, [[10], [11]])):
        assert len(cell.of(Peer)) == 1
        opened = [world.open(receiver, frame, sender) for frame in cell.of(Batch)]
        assert [[note.n for note in notes] for notes in opened] == wanted  # type: ignore[attr-defined]
    other = world.open(two, there.of(Batch)[0], sender)
    assert other == []


def flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        value = bytearray(data)
        value[at] ^= 1
        return bytes(value)

    return change


# Where a packet's fields lie (core-rs/queenright-core/src/batch/packet.rs).
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (flip(0), Malformed),  # magic
        (flip(20), Malformed),  # sender
        (flip(43), Malformed),  # incarnation
        (flip(51), Malformed),  # first
        (flip(55), Malformed),  # count
        (flip(60), Malformed),  # previous
        (flip(100), InvalidSignature),  # signature
        (flip(160), InvalidSignature),  # receiver
        (flip(-1), InvalidSignature),  # ciphertext
        (lambda data: data[:-1], Malformed),
        (lambda data: data + b"x", Malformed),
        (lambda data: b"", Malformed),
    ],
)
def test_an_altered_batch_is_refused_and_the_right_one_still_accepted(
    world: World, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    packet = world.packet(sender, world.sealer(sender, receiver), [(receiver, Note(1))])
    with pytest.raises(error):
        world.receive(sender, change(packet))
    assert world.cell(2).sent == []
    world.receive(sender, packet)
    assert len(world.cell(2).of(Batch)) == 1


def test_a_replayed_batch_a_dead_life_and_another_agents_batch_are_named_and_refused(world: World) -> None:
    cell = world.cell(1)
    sender, other, receiver = world.agent("s", cell), world.agent("o", cell), world.agent("r", world.cell(2))
    sealer = world.sealer(sender, receiver)
    first = world.packet(sender, sealer, [(receiver, Note(1))])
    second = world.packet(sender, sealer, [(receiver, Note(2))])
    with pytest.raises(Malformed, match=r"a batch of s \(agent-\w+\) does not follow"):
        world.receive(sender, second)
    world.receive(sender, first)
    with pytest.raises(Malformed, match="replayed"):
        world.receive(sender, first)
    with pytest.raises(Malformed, match=r"o \(agent-\w+\) sends a batch of agent-"):
        world.receive(other, second)
    world.live(sender, world.cell(3))
    with pytest.raises(Malformed, match="is in life 3 and sends a batch of 1"):
        world.receive(sender, second)


def test_a_sequence_used_in_an_earlier_life_is_refused(world: World) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    old = world.sealer(sender, receiver)
    world.receive(sender, world.packet(sender, old, [(receiver, Note(1)), (receiver, Note(2))]))
    world.live(sender, world.cell(3))
    stale = world.sealer(sender)
    stale.learn(receiver.id, sealing_keypair(SUBKEY, receiver.id, 0)[1], 0, 2, bytes(32))
    with pytest.raises(Malformed, match="used sequence 2"):
        world.receive(sender, world.packet(sender, stale, [(receiver, Note(3))]))
    fresh = world.sealer(sender, receiver)
    world.receive(sender, world.packet(sender, fresh, [(receiver, Note(4))]))


def test_a_forged_batch_is_refused_and_the_others_of_its_cell_are_delivered(world: World) -> None:
    cell = world.cell(1)
    forger, honest, receiver = world.agent("f", cell), world.agent("h", cell), world.agent("r", world.cell(2))
    good = world.packet(honest, world.sealer(honest, receiver), [(receiver, Note(7))])
    sealer = world.sealer(forger, receiver)
    world.keys[forger.id] = SigningKey.from_seed(b"x" * 32)
    with pytest.raises(InvalidSignature):
        world.receive(forger, world.packet(forger, sealer, [(receiver, Note(1))]))
    world.receive(honest, good)
    (frame,) = world.cell(2).of(Batch)
    assert frame.agent == honest.id


def test_a_sender_whose_certified_key_is_of_small_order_is_refused(world: World) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    weak = bytes([1]) + bytes(31)
    sender.certificate = IncarnationCertificate(
        world.runtime.public_key, sender.id, 1, "cell-1", True, weak
    ).encode()
    sender.certificate_signature = world.runtime.sign(digest(INCARNATION, sender.certificate))
    with pytest.raises(Malformed, match="small order"):
        world.receive(sender, world.packet(sender, world.sealer(sender, receiver), [(receiver, Note(1))]))


def test_a_batch_before_its_senders_certificate_is_refused(world: World) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    packet = world.packet(sender, world.sealer(sender, receiver), [(receiver, Note(1))])
    sender.certificate = b""
    with pytest.raises(Malformed, match="before its key is certified"):
        world.receive(sender, packet)


def test_what_nobody_can_have_is_dropped_counted_and_credited_at_once(world: World) -> None:
    cell, there = world.cell(1), world.cell(2)
    sender, near = world.agent("s", cell), world.agent("n", there)
    far, ended = world.agent("far", there, "pkg.Far"), world.agent("e", there)
    away, stopped = world.agent("w", there), world.agent("t", there)
    ended.status, stopped.status, away.cell = "ended", "frozen", None
    everybody = (near, far, ended, away, stopped)
    mail = [(receiver, Note(1)) for receiver in everybody] + [(far, Note(2))]
    world.receive(sender, world.packet(sender, world.sealer(sender, *everybody), mail))
    (frame,) = there.of(Batch)
    assert world.open(near, frame, sender) == [Note(1)]
    assert world.volatile.dropped == 5
    (credit,) = cell.of(Credit)
    assert (credit.messages, credit.dropped) == (5, 5)
    assert world.lines == [
        "5 volatile messages dropped: out of reach, the agent has ended, the agent is not running"
    ]


def test_a_cell_that_does_not_keep_up_loses_volatile_mail_and_is_not_ended_by_it(world: World) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    world.cell(2).behind = True
    world.receive(sender, world.packet(sender, world.sealer(sender, receiver), [(receiver, Note(1))]))
    assert (world.cell(2).of(Batch), world.volatile.dropped) == ([], 1)
    assert world.lines == ["1 volatile messages dropped: its cell is behind"]


def test_one_receivers_mail_under_way_is_bounded_and_comes_back_into_its_senders_window(world: World) -> None:
    here, there = world.cell(1), world.cell(2)
    sender, receiver = world.agent("s", here), world.agent("r", there)
    sealer = world.sealer(sender, receiver)

    def send(count: int) -> None:
        world.receive(sender, world.packet(sender, sealer, [(receiver, Note(1))] * count))

    send(MAILBOX_MESSAGES)
    send(1)
    assert (world.volatile.dropped, len(there.of(Batch))) == (1, 1)
    assert world.lines == ["1 volatile messages dropped: mailbox full"]
    size = len(receiver.id)
    with pytest.raises(Malformed, match="more volatile mail than it was sent"):
        world.take(there, [sender.id, 1, receiver.id, MAILBOX_MESSAGES + 1, size])
    with pytest.raises(Malformed):
        world.take(there, [sender.id, 2, receiver.id, 1, size])
    with pytest.raises(Malformed):
        world.take(here, [sender.id, 1, receiver.id, 1, size])
    for bad in ([], [sender.id], [sender.id, 1, receiver.id, 0, 0], [sender.id, 1, receiver.id, 1, -1]):
        with pytest.raises(Malformed):
            world.take(there, bad)
    world.take(there, [sender.id, 1, receiver.id, 10, size])
    assert here.of(Credit)[-1] == Credit(sender.id, 10, size, 0)
    send(10)
    assert (world.volatile.dropped, len(there.of(Batch))) == (1, 2)


def test_a_cell_that_dies_gives_its_senders_windows_back_and_no_other_life_gets_them(world: World) -> None:
    here, there = world.cell(1), world.cell(2)
    sender, moved, receiver = world.agent("s", here), world.agent("m", here), world.agent("r", there)
    for agent in (sender, moved):
        packet = world.packet(agent, world.sealer(agent, receiver), [(receiver, Note(1))] * 3)
        world.receive(agent, packet)
    world.live(moved, world.cell(3))
    world.volatile.cell_ended(there)  # type: ignore[arg-type]
    assert [(frame.agent, frame.messages, frame.dropped) for frame in here.of(Credit)] == [(sender.id, 3, 3)]
    assert world.cell(3).of(Credit) == []
    assert world.volatile.dropped == 6


def test_a_record_has_one_signature_and_each_of_its_letters_stands_alone(world: World) -> None:
    sender, one, two = (
        world.agent("s", world.cell(1)),
        world.agent("a", world.cell(2)),
        world.agent("b", world.cell(3)),
    )
    sealer = world.sealer(sender, one, two)
    letters = world.letters(sender, sealer, [(one, "t.A", b"x"), (two, "t.B", b"y"), (one, "t.A", b"z")])
    assert len({Letter.parse(letter).previous for letter in letters}) == 1
    places = [
        (to, {"type": kind, "sealed": letter})
        for (to, kind), letter in zip(((one.id, "t.A"), (two.id, "t.B"), (None, "t.A")), letters, strict=True)
    ]
    changes = world.post.accept_record(sender, places)
    world.store.commit(*changes)
    assert world.store.get(SEQUENCES, sender.id + one.id) == (2).to_bytes(8, "big")
    for _, place in places:
        letter = prove(place["sealed"], world.runtime.public_key)
        assert letter.sender == sender.id
    again = [(None, {"type": "t.A", "sealed": letters[0]})]
    with pytest.raises(Malformed, match="replayed"):
        world.post.accept_record(sender, again)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["left out", "swapped", "twice", "type", "receiver", "no letter", "altered"])
def test_a_record_whose_letters_are_not_one_batch_is_refused(world: World, what: str) -> None:
    sender, receiver = world.agent("s", world.cell(1)), world.agent("r", world.cell(2))
    sealer = world.sealer(sender, receiver)
    letters = world.letters(sender, sealer, [(receiver, "t.A", b"x"), (receiver, "t.A", b"y")])
    places: list[tuple[bytes | None, dict[str, object]]] = [
        (receiver.id, {"type": "t.A", "sealed": letter}) for letter in letters
    ]
    match what:
        case "left out":
            places.pop()
        case "swapped":
            places.reverse()
        case "twice":
            places[1] = places[0]
        case "type":
            places[0][1]["type"] = "t.B"
        case "receiver":
            places[0] = (sender.id, places[0][1])
        case "no letter":
            places[0][1]["sealed"] = {"letter": letters[0]}
        case "altered":
            places[1][1]["sealed"] = letters[1][:-1] + bytes([letters[1][-1] ^ 1])
    with pytest.raises((Malformed, InvalidSignature, InvalidProof)):
        world.post.accept_record(sender, places)
    assert world.post.last_sequence(sender.id, receiver.id) == 0
