"""A6: what is signed and what a grant says are the same bytes on every machine, today and in ten years."""

from __future__ import annotations

import hashlib
from pathlib import Path

from queenright.authority.ask import Ask, card_key, group_key, view_digest
from queenright.authority.grant_request import first_request, first_spec, root_spec
from queenright.authority.intent import Intent
from queenright.authority.intent_toml import parse_intent
from queenright.authority.order import Order
from queenright.authority.verdict import make_verdict
from queenright.core import canonical, digest

HERE = Path(__file__).parent
TOML = HERE.parents[1] / "examples" / "intents" / "payments.toml"


def compiled() -> Intent:
    return parse_intent(TOML.read_text()).compile(
        runtime=bytes(range(32)),
        packages={"sre": bytes(range(32, 64))},
        now_ms=1_800_000_000_000,
        rand=lambda size: bytes(range(100, 100 + size)),
    )


def vectors() -> dict[str, bytes]:
    intent = compiled()
    ask = Ask(
        bytes(32), intent.id, 1, b"a" * 32, b"c" * 32, "db.write", b"m" * 32, "pg:payments/main", {"sql": "select 1"},
        {"etag": "7"}, b"p" * 32, b"u" * 32, b"", b"y" * 32, "HIGH", 1_800_000_600_000, 1_800_001_500_000, b"n" * 16,
    )  # fmt: skip
    verdict = make_verdict(bytes(32), [(ask.encode(), "because")], "once", rand=lambda size: b"r" * size)
    order = Order.make(bytes(32), "undo", b"t" * 32, b"p" * 32, 1_800_000_060_000, lambda size: b"r" * size)
    return {
        "intent": intent.encode(),
        "intent-id": intent.id,
        "root-grant": canonical(root_spec(intent)),
        "first-grant": canonical(first_spec(intent)),
        "first-request": first_request(intent).digest,
        "ask": ask.encode(),
        "ask-hash": ask.hash,
        "ask-group": group_key(ask.encode()),
        "ask-card": card_key(ask.encode()),
        "view": view_digest(ask.hash, "because"),
        "verdict": verdict.encode(),
        "order": order.encode(),
    }


def test_documents_and_grants_are_the_bytes_on_record() -> None:
    kept = dict(line.split(" ", 1) for line in (HERE / "authority_v1.txt").read_text().splitlines())
    assert {name: data.hex() for name, data in vectors().items()} == kept


def test_ask_hash_is_the_published_formula() -> None:
    data = vectors()["ask"]
    assert (
        digest("ask", data) == hashlib.sha256(b"queenright/ask/v1\0" + data).digest() == vectors()["ask-hash"]
    )


def test_decoding_gives_the_same_grant_as_compiling() -> None:
    again = Intent.decode(vectors()["intent"])
    assert canonical(root_spec(again)) == vectors()["root-grant"]
    assert canonical(first_spec(again)) == vectors()["first-grant"]
