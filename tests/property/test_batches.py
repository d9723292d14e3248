"""However sends fall into batches, each pair reads the same messages in order; every letter opens alone, and only as itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.agent import Message
from queenright.core import Letter, SigningKey, canonical
from queenright.core.cell import Opener, Sealer, encode_message
from queenright.core.host import Packet, sealing_keypair, verify_record
from queenright.errors import InvalidProof, InvalidSignature, Malformed, Unknown

RUNTIME, SENDER = b"r" * 32, b"s" * 32
KEY = SigningKey.from_seed(b"k" * 32)
RECEIVERS = [bytes([n]) * 32 for n in range(4)]


class Said(Message, volatile=True):
    n: int
    text: str
    inner: tuple[bytes, ...] = ()


def pair() -> tuple[Sealer, dict[bytes, Opener]]:
    sealer = Sealer(RUNTIME, SENDER, 2, 10_000, 1 << 30, 256)
    openers = {}
    for receiver in RECEIVERS:
        private_key, public_key = sealing_keypair(b"u" * 32, receiver, 0)
        sealer.learn(receiver, public_key, 0, 1, receiver)
        opener = openers[receiver] = Opener(RUNTIME)
        opener.give_key(receiver, 0, private_key)
        opener.introduce(SENDER, 2, KEY.public_key)
    return sealer, openers


SAID = st.builds(
    Said, st.integers(-(2**63), 2**64 - 1), st.text(max_size=40), st.lists(st.binary(max_size=9), max_size=3).map(tuple)
)  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 3), SAID), min_size=1, max_size=40),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_any_partition_into_batches_reads_the_same_in_order_for_each_pair(
    sends: list[tuple[int, Said]], cuts: list[int]
) -> None:
    sealer, openers = pair()
    found: dict[bytes, list[Any]] = {receiver: [] for receiver in RECEIVERS}
    previous, first, at, turn = bytes(32), 0, 0, 0
    while at < len(sends):
        part = sends[at : at + cuts[turn % len(cuts)]]
        at, turn = at + len(part), turn + 1
        for to, message in part:
            sealer.add(RECEIVERS[to], message)
        assert sealer.cut()
        packet = Packet.parse(sealer.seal_bag(KEY, bytes(16 * len(part))))
        assert (packet.first, packet.count, packet.previous) == (first, len(part), previous)
        previous, first = packet.verify(RUNTIME, KEY.public_key), first + len(part)
        for receiver, *_ in packet.pairs:
            arrival = openers[receiver].open_packet(packet.only([receiver]), lambda name: Said)
            assert (arrival.sender, arrival.life) == (SENDER, 2)
            found[receiver] += [message for to, _, message, _ in arrival.messages if to == receiver]
    for number, receiver in enumerate(RECEIVERS):
        assert found[receiver] == [message for to, message in sends if to == number]


@given(SAID)
def test_a_body_is_the_canonical_map_of_the_fields(message: Said) -> None:
    assert encode_message(message) == canonical(message.__plain__())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=60)), min_size=1, max_size=20),
    st.integers(0, 2**20), st.integers(0, 7),
)  # fmt: skip
def test_a_letter_opens_alone_for_its_receiver_and_with_a_flipped_bit_for_nobody(
    bodies: list[tuple[int, bytes]], at: int, bit: int
) -> None:
    sealer, openers = pair()
    drafts = [(RECEIVERS[to], "t.Said", body) for to, body in bodies]
    letters = sealer.seal_letters(KEY, drafts, bytes(16 * len(drafts)))
    digest = verify_record([Letter.parse(letter) for letter in letters], RUNTIME, KEY.public_key)
    for letter, (receiver, kind, body) in zip(letters, drafts, strict=True):
        assert Letter.parse(letter).verify(RUNTIME, KEY.public_key) == digest
        expected = {"sender": SENDER, "incarnation": 2, "kind": kind, "public_key": KEY.public_key}
        assert openers[receiver].open_letter(letter, receiver=receiver, **expected) == body
        other = RECEIVERS[(RECEIVERS.index(receiver) + 1) % 4]
        with pytest.raises(InvalidSignature):
            openers[other].open_letter(letter, receiver=other, **expected)
        spoiled = bytearray(letter)
        spoiled[at % len(letter)] ^= 1 << bit
        with pytest.raises((InvalidProof, InvalidSignature, Malformed, Unknown)):
            openers[receiver].open_letter(bytes(spoiled), receiver=receiver, **expected)
