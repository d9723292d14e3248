"""The batch format, read by hand: nothing of the core takes part, so that an outsider could do the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

VECTORS = [
    line.split(" ", 1)
    for line in Path(__file__).with_name("batch.txt").read_text().splitlines()
    if not line.startswith("#")
]
RUNTIME, SENDER = b"\x09" * 32, b"\x01" * 32
KEY = SigningKey(b"\x07" * 32).verify_key
MESSAGES = [(b"\x0a" * 32, 5, "tests.Kind0", b""), (b"\x0b" * 32, 5, "tests.Kind1", b"\x01" * 30),
            (b"\x0a" * 32, 6, "tests.Kind2", b"\x02" * 60)]  # fmt: skip


def vectors(name: str) -> list[bytes]:
    return [bytes.fromhex(value) for found, value in VECTORS if found == name]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def digest(kind: str, *parts: bytes) -> bytes:
    return sha(f"queenright/{kind}/v1".encode(), b"\0", *parts)


def bin32(data: bytes) -> bytes:
    return b"\xc4\x20" + data


def text(value: str) -> bytes:
    return bytes([0xA0 | len(value)]) + value.encode()


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        assert len(taken) == count
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")


def read_head(reader: Reader, magic: bytes) -> tuple[int, bytes]:
    assert reader.take(4) == magic
    assert reader.take(32) == SENDER
    assert (reader.number(8), reader.number(8)) == (3, 0)
    count = reader.number(4)
    assert reader.take(32) == bytes(32)
    return count, reader.take(64)


def leaf_of(at: int, generation: int, enc: bytes, counter: int, salted: bytes, ciphertext: bytes) -> bytes:
    receiver, sequence, kind, body = MESSAGES[at]
    assert salted == digest("plaintext", bytes(range(16 * at, 16 * at + 16)), body)
    assert len(ciphertext) == 16 + len(body) + 16
    sealed = digest("ciphertext", enc, generation.to_bytes(8, "big"), counter.to_bytes(8, "big"), ciphertext)
    parts = [b"\x95", bin32(receiver), bytes([sequence]), text(kind), bin32(sealed), bin32(salted)]
    return sha(b"\0", *parts)


def signed(root: bytes) -> bytes:
    return b"".join([
        b"\x98", text("queenright-batch/v1"), bin32(RUNTIME), bin32(SENDER), bytes([3, 0, 3]), bin32(bytes(32)),
        bin32(root),
    ])  # fmt: skip


def read_packet(data: bytes) -> tuple[list[bytes], bytes, int]:
    reader = Reader(data)
    count, signature = read_head(reader, b"QRB1")
    pairs = [(reader.take(32), reader.number(8), reader.take(32)) for _ in range(reader.number(2))]
    kinds = [reader.take(reader.number(1)).decode() for _ in range(reader.number(2))]
    leaves, messages = [], 0
    for at in range(count):
        if reader.number(1) == 0:
            leaves.append(reader.take(32))
            continue
        pair, kind = pairs[reader.number(2)], kinds[reader.number(2)]
        assert (pair[0], reader.number(8), kind) == MESSAGES[at][:3]
        counter, salted = reader.number(8), reader.take(32)
        leaves.append(leaf_of(at, pair[1], pair[2], counter, salted, reader.take(reader.number(4))))
        messages += 1
    assert reader.data == b""
    return leaves, signature, messages


def root_of(leaves: list[bytes]) -> bytes:
    one, two, three = leaves
    return sha(b"\1", sha(b"\1", one, two), three)


@pytest.mark.parametrize(("name", "messages"), [("packet", 3), ("forwarded", 1)])
def test_a_packet_and_what_is_forwarded_of_it_have_the_signed_root(name: str, messages: int) -> None:
    leaves, signature, found = read_packet(vectors(name)[0])
    assert found == messages
    root = root_of(leaves)
    assert root == vectors("root")[0]
    KEY.verify(signed(root), signature)
    assert digest("batch", signed(root)) == vectors("digest")[0]
    with pytest.raises(BadSignatureError):
        KEY.verify(signed(root_of([leaves[1], leaves[0], leaves[2]])), signature)


@pytest.mark.parametrize("at", range(3))
def test_each_letter_leads_to_the_signed_root(at: int) -> None:
    reader = Reader(vectors("letter")[at])
    _, signature = read_head(reader, b"QRL1")
    assert reader.take(32) == MESSAGES[at][0]
    generation, enc = reader.number(8), reader.take(32)
    assert reader.take(reader.number(1)).decode() == MESSAGES[at][2]
    assert (reader.number(4), reader.number(8)) == (at, MESSAGES[at][1])
    counter, salted = reader.number(8), reader.take(32)
    path = [reader.take(32) for _ in range(reader.number(1))]
    leaf = leaf_of(at, generation, enc, counter, salted, reader.take(reader.number(4)))
    assert reader.data == b""
    roots = {
        0: lambda: sha(b"\1", sha(b"\1", leaf, path[0]), path[1]),
        1: lambda: sha(b"\1", sha(b"\1", path[0], leaf), path[1]),
        2: lambda: sha(b"\1", path[0], leaf),
    }
    KEY.verify(signed(roots[at]()), signature)
