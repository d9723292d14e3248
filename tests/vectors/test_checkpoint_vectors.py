"""Signed notes against the examples of golang.org/x/mod/sumdb/note, and checkpoints against C2SP tlog-checkpoint."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.core import SigningKey
from queenright.errors import InvalidSignature, Malformed
from queenright.ledger.checkpoint import Checkpoint, LogKey, open_note, sign_note, vkey

# The example of the package's documentation: the same key, text and signature in every implementation of the format.
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = f"{TEXT}\n{SIGNATURE}".encode()


def peter() -> SigningKey:
    raw = base64.b64decode(SKEY.rpartition("+c74f20a3+")[2])
    assert raw[0] == 1
    return SigningKey.from_seed(raw[1:])


def test_the_published_key_and_note() -> None:
    assert vkey("PeterNeumann", peter().public_key) == VKEY
    assert sign_note(TEXT, "PeterNeumann", peter()) == NOTE
    assert open_note(NOTE, LogKey.parse(VKEY)) == TEXT


def test_a_note_may_carry_others_signatures() -> None:
    other = SigningKey.from_seed(bytes(32))
    cosigned = NOTE + sign_note(TEXT, "EnochRoot", other).rpartition(b"\n\n")[2]
    assert open_note(cosigned, LogKey.parse(VKEY)) == TEXT
    assert open_note(cosigned, LogKey.parse(vkey("EnochRoot", other.public_key))) == TEXT


# The malformed keys of that package's tests, and ours.
@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        VKEY.replace("c74f20a3", "c74f20a4"),
        VKEY.replace("PeterNeumann", "PeterNeumanm"),
        VKEY.replace("c74f20a3", "C74F20A3"),
        "",
        "a+b",
        VKEY[:-1] + "é",
        "two words+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_malformed_keys_are_refused(key: str) -> None:
    with pytest.raises(Malformed):
        LogKey.parse(key)


def test_no_part_of_a_key_is_a_key() -> None:
    for start in range(0, len(VKEY), 7):
        for end in range(start + 1, len(VKEY), 5):
            with pytest.raises(Malformed):
                LogKey.parse(VKEY[start:end])


# The malformed messages of that package's tests.
@pytest.mark.parametrize(
    "note",
    [
        NOTE[:-1],
        TEXT.encode(),
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace("— ".encode(), "—".encode()),
        NOTE.replace(b"x08go", b"x08g"),
        NOTE.replace(b"Neumann x", b"Neumann  x"),
        NOTE + b"\n",
        NOTE + b"extra\n",
        NOTE.replace(b"If you", b"If\ryou"),
        NOTE.replace(b"If you", b"If \xff"),
        b"\x00" + NOTE,
        NOTE + SIGNATURE.encode() * 100,
        b"x" * 70_000,
    ],
)
def test_malformed_notes_are_refused(note: bytes) -> None:
    with pytest.raises(Malformed):
        open_note(note, LogKey.parse(VKEY))


def test_a_note_by_another_key_is_refused() -> None:
    stranger = LogKey.parse(vkey("PeterNeumann", SigningKey.from_seed(bytes(32)).public_key))
    with pytest.raises(InvalidSignature):
        open_note(NOTE, stranger)


@settings(max_examples=200)
@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_refused(at: int, change: int) -> None:
    edited = NOTE[:at] + bytes([NOTE[at] ^ change]) + NOTE[at + 1 :]
    with pytest.raises((Malformed, InvalidSignature)):
        open_note(edited, LogKey.parse(VKEY))


def test_a_checkpoint_is_origin_size_and_root() -> None:
    # The example of C2SP tlog-checkpoint.
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == text
    assert Checkpoint.parse(text + "an extension line\n") == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx\n",
        "origin\n1\nnot base64!\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2é=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx\n",
    ],
)
def test_other_texts_are_no_checkpoints(text: str) -> None:
    with pytest.raises(Malformed):
        Checkpoint.parse(text)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    key = SigningKey.from_seed(bytes(32))
    note = sign_note(Checkpoint("other/log", 1, bytes(32)).text(), "mine/log", key)
    with pytest.raises(InvalidSignature):
        Checkpoint.open(note, LogKey.parse(vkey("mine/log", key.public_key)))
