"""Many signatures in one call: each judged as alone, the culprits named, and the interpreter free meanwhile."""

from __future__ import annotations

import sys
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.core import SigningKey, verify, verify_many
from queenright.errors import InvalidSignature, Malformed

KEYS = [SigningKey.from_seed(bytes([n]) * 32) for n in range(1, 4)]
SMALL_ORDER = bytes([1]) + bytes(31)
SPOILS = ("good", "good", "message", "signature", "key", "small", "short", "swapped")


def item(key: int, message: bytes, spoil: str) -> tuple[bytes, bytes, bytes]:
    signer = KEYS[key]
    public, signature = signer.public_key, signer.sign(message)
    match spoil:
        case "message":
            message += b"!"
        case "signature":
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        case "key":
            public = KEYS[(key + 1) % 3].public_key
        case "small":
            public, signature = SMALL_ORDER, SMALL_ORDER + bytes(32)
        case "short":
            signature = signature[:63]
        case "swapped":
            signature = signature[32:] + signature[:32]
    return public, message, signature


def fails_alone(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify(public, message, signature)
    except (InvalidSignature, Malformed):
        return True
    return False


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=20), st.sampled_from(SPOILS)), max_size=12))
def test_many_names_exactly_those_that_fail_alone(wanted: list[tuple[int, bytes, str]]) -> None:
    items = [item(*one) for one in wanted]
    culprits = [at for at, (_, _, spoil) in enumerate(wanted) if spoil != "good"]
    assert [at for at, one in enumerate(items) if fails_alone(*one)] == culprits
    assert verify_many(items) == culprits


def test_other_threads_run_while_many_are_verified() -> None:
    items = [item(n % 3, bytes([n % 256]), "good") for n in range(300)]
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        verify_many(items)
        done.set()

    before = sys.getswitchinterval()
    # Nobody takes the interpreter from a thread that does not let it go: this one can only run inside `verify_many`.
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        ran_meanwhile = not done.is_set()
    finally:
        sys.setswitchinterval(before)
    thread.join()
    assert ran_meanwhile
