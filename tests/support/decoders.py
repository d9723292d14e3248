"""Every Python decoder of bytes that others wrote: its property, and real values of it to begin from.

A property returns, or fails its promise: bytes are refused with one of our own refusals, or they are read and written back
as exactly themselves where the decoder has a writer. `fuzz/README.md` says how to add one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from authority_world import HEAD, KEYS, PACKAGES, RULES, RUNTIME, bytes_source, operators

from queenright.actions.channel import decoded as executor_frame
from queenright.actions.prometheus import Sample
from queenright.actions.prometheus import parse as parse_metrics
from queenright.actions.resources import ResourceMap
from queenright.actions.resources_toml import compile_resources
from queenright.agent import Agent, Message
from queenright.agent.message import body_of, message_from
from queenright.authority.ask import Ask
from queenright.authority.intent import Intent
from queenright.authority.intent_toml import parse_intent
from queenright.authority.operators import Operators
from queenright.authority.order import Order
from queenright.authority.verdict import Verdict, make_verdict
from queenright.behaviours.manifest import Manifest
from queenright.cell.mail import Mail
from queenright.cell.state import dump_state, load_state
from queenright.control.dial import read_event
from queenright.control.frames import check_params, read_request
from queenright.control.methods import METHODS
from queenright.core import SigningKey, canonical
from queenright.core import decode as decode_canonical
from queenright.errors import QueenrightError
from queenright.ledger import Entry, Supervisor
from queenright.ledger import leaf as ledger_leaf
from queenright.ledger.checkpoint import Checkpoint, LogKey, open_note, vkey
from queenright.wire import ids, link, page
from queenright.wire.certificate import Birth, IncarnationCertificate, SealingCertificate
from queenright.wire.frame import FrameReader, pack
from queenright.wire.refusal import decode_refusal, encode_refusal
from queenright.wire.step import step_digest

__all__ = ["DECODERS", "Decoder"]

EXAMPLES = Path(__file__).parents[2] / "examples"
ID = bytes(range(32))
KEY = SigningKey.from_seed(bytes([5]) * 32)
LOG = LogKey.parse(vkey("queenright/test", KEY.public_key))


class Decoder(NamedTuple):
    check: Callable[[bytes], None]
    seeds: dict[str, bytes]


def refused(read: Callable[[], Any]) -> bool:
    """Whether one of our own refusals is raised: anything else that is raised goes on up."""
    try:
        read()
    except QueenrightError:
        return True
    return False


def reads_itself(read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> Callable[[bytes], None]:
    """The bytes are refused, or are the one form of what was read."""

    def check(data: bytes) -> None:
        try:
            found = read(data)
        except QueenrightError:
            return
        assert write(found) == data

    return check


def text_or_refused(read: Callable[[str], Any]) -> Callable[[bytes], None]:
    """Any text is read or refused."""

    def check(data: bytes) -> None:
        refused(lambda: read(data.decode("utf-8", "replace")))

    return check


def map_or_refused(read: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], None]:
    """Any canonical map is read or refused."""

    def check(data: bytes) -> None:
        try:
            found = decode_canonical(data)
        except QueenrightError:
            return
        if isinstance(found, dict):
            refused(lambda: read(found))

    return check


# --- the cell link ----------------------------------------------------------------------------------------------------


def sample_of(kind: Any) -> Any:
    """Something of a frame's field type."""
    return {
        bytes: ID, str: "text", int: 300, bool: True, list: [1, ["a", b"b"]], dict: {"a": None, "b": -7},
        NoneType: None,
    }[kind]  # fmt: skip


def frames() -> dict[str, bytes]:
    found = {}
    for cls in link.Frame.__subclasses__():
        kinds = list(link._SHAPES[cls.t].values())
        for label, at in (("full", 0), ("empty", -1)):
            found[f"{cls.t}-{label}"] = link.encode(cls(*(sample_of(kind[at]) for kind in kinds)))
    return found


def stream(data: bytes) -> None:
    """However a stream is cut, the same frames come out, and no more is held than one frame and one chunk."""
    size, limit, rest = 1 + (data[0] if data else 0), 64, data[1:]

    def fed(step: int) -> tuple[list[bytes], bool]:
        reader, bodies = FrameReader(limit), []
        for at in range(0, len(rest), step):
            try:
                bodies += reader.feed(rest[at : at + step])
            except QueenrightError:
                return bodies, True
            assert len(reader._buffer) < limit + 4 + step
        return bodies, False

    whole, pieces = fed(len(rest) or 1), fed(size)
    assert pieces[1] == whole[1]
    if not whole[1]:
        assert pieces[0] == whole[0]
        packed = b"".join(map(pack, whole[0]))
        assert rest.startswith(packed)
        assert len(rest) - len(packed) < limit + 4


def step(data: bytes) -> None:
    """A step's request has one digest or none, the same each time."""
    for kind in ("act", "spawn", "run"):
        if not refused(lambda kind=kind: step_digest(kind, data)):  # type: ignore[misc]
            assert step_digest(kind, data) == step_digest(kind, data)
            assert len(step_digest(kind, data)) == 32


def refusal(data: bytes) -> None:
    """Whatever a map says, a refusal comes of it, and that one travels unchanged."""
    try:
        found = decode_canonical(data)
    except QueenrightError:
        return
    if isinstance(found, dict):
        error = decode_refusal(found)
        again = decode_refusal(encode_refusal(error))
        assert encode_refusal(again) == encode_refusal(error)


def shared_page(data: bytes) -> None:
    noted = page.read(data[: page.USED].ljust(page.PAGE_BYTES, b"\0"))
    assert noted is None or (len(noted.agent) == 32 and noted.step > 0)


# --- what behaviours write --------------------------------------------------------------------------------------------


class Leaf(Message):
    n: int
    text: str = ""


class Tree(Message):
    flag: bool | None
    size: float
    raw: bytes
    leaves: tuple[Leaf, ...]
    pair: tuple[str, Leaf | None]


@dataclass
class Kept:
    count: int = 0
    names: dict[str, int] | None = None
    last: Leaf | None = None


class Keeper(Agent):
    state: Kept


TREE = Tree(None, 1.5, b"raw", (Leaf(1), Leaf(-2, "two")), ("a", None))


def state(data: bytes) -> None:
    """A state that can be read is written again, in one form."""
    if refused(lambda: load_state(Keeper, data, 1)):
        return
    written = dump_state(load_state(Keeper, data, 1))
    assert dump_state(load_state(Keeper, written, 1)) == written


# --- the control socket -----------------------------------------------------------------------------------------------


def request(data: bytes) -> None:
    """A request is refused, or the one spelling of what was read; a call's parameters are checked without a crash."""
    try:
        found = read_request(data)
    except QueenrightError:
        return
    assert canonical(found) == data
    if found["t"] == "call":
        refused(lambda: check_params(found["method"], found["params"]))


def requests() -> dict[str, bytes]:
    made: dict[str, dict[str, Any]] = {
        "offer": {"t": "offer", "keys": [KEYS["ana"].public_line]},
        "prove": {"t": "prove", "key": KEYS["ana"].public_line, "signature": KEYS["ana"].sign("session@queenright.v1", ID)},
        "token": {"t": "token", "id": ID[:16], "proof": ID},
        "watch": {"t": "watch", "id": 3, "topics": ["agents", "status"]},
    }  # fmt: skip
    for name in ("health", "behaviour_add", "ask_decide", "agent_log", "ledger", "undo"):
        params: dict[str, Any] = {
            field: {"str": "x", "int": 1, "bool": True, "bytes": b"y", "list": [], "dict": {}, "files": {"a/b.py": b"1"}}[kind.rstrip("?")]
            for field, kind in METHODS[name].params.items()
        } if name in METHODS else {}  # fmt: skip
        made[f"call-{name}"] = {"t": "call", "id": 1, "method": name, "params": params, "order": None, "signature": None}  # fmt: skip
    return {name: canonical(body) for name, body in made.items()}


# --- documents, records, other people's formats -------------------------------------------------------------------------


def note(data: bytes) -> None:
    """Only the log's own key opens a note, and an opened checkpoint is written again as it was signed."""
    try:
        text = open_note(data, LOG)
        found = Checkpoint.parse(text)
    except QueenrightError:
        return
    assert text.startswith(found.text())


def metrics(text: str) -> None:
    for sample in parse_metrics(text):
        assert isinstance(sample, Sample)


def log_key(text: str) -> None:
    key = LogKey.parse(text)
    assert vkey(key.name, key.public_key) == text.strip()


def short_id(text: str) -> None:
    kind, digits = ids.parse(text)
    assert text == (f"{kind}-{digits}" if kind else digits)


BIRTH = Birth(ID, ID, bytes(32), "sre/logs/07", "sre.Logs", ID, ID, ID, 1_800_000_000_000, ID[:16])
INCARNATION = IncarnationCertificate(ID, ID, 7, "cell-7", True, KEY.public_key)
SEALING = SealingCertificate(ID, ID, 1, ID)
ASK = Ask(
    RUNTIME, b"i" * 32, 1, b"a" * 32, b"c" * 32, "db.session.kill", b"m" * 32, "pg:payments/main",
    {"sessions": [1, 2, 3]}, {"started": "08:00"}, b"p" * 32, b"u" * 32, b"", b"y" * 32, "CRITICAL",
    1_800_000_600_000, 1_800_001_500_000, b"n" * 16,
)  # fmt: skip
INTENT = parse_intent(HEAD + RULES).compile(
    runtime=RUNTIME, packages=PACKAGES, now_ms=1_800_000_000_000, rand=bytes_source()
)
RESOURCES = """
[svc."shop/web"]
start = ["/opt/shop/web", "--port", "8080"]
pidfile = "/opt/shop/run/web.pid"
metrics = "http://127.0.0.1:8080/metrics"
logs = ["/opt/shop/log/web.jsonl"]
risk = "high"
"""
CHECKPOINT = Checkpoint("queenright/test", 42, hashlib.sha256(b"root").digest())
ENTRY = Entry("cell.started", 1_800_000_000_000, Supervisor(), facts={"cell": "cell-7"})
MAIL = {
    "id": ID[:16], "sender": ID, "sender_name": "a", "type": "pkg.Leaf", "body": body_of(Leaf(1)), "sealed": None,
    "call": None, "chain": [ID],
}  # fmt: skip
TOML = {path.parent.name + "-" + path.stem: path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.toml"))}

DECODERS: dict[str, Decoder] = {
    "link": Decoder(reads_itself(link.decode, link.encode), frames()),
    "stream": Decoder(stream, {
        "two": b"\x02" + pack(b"abc") + pack(b""), "cut": b"\x00" + pack(b"abcdef")[:-2],
        "huge": b"\x09\xff\xff\xff\xff", "exact": b"\x05" + pack(b"x" * 64),
    }),
    "mail": Decoder(map_or_refused(Mail.from_map), {"plain": canonical(MAIL), "none": canonical(MAIL | {"body": None})}),
    "step": Decoder(step, {
        "act": canonical({"verb": "svc.restart", "resource": "svc:a", "args": {}, "reason": ""}),
        "spawn": canonical({"certificate": BIRTH.encode(), "signature": ID + ID, "grant": {}, "args": b""}),
    }),
    "refusal": Decoder(refusal, {
        "denied": canonical({"code": "denied", "message": "no", "facts": {"dimensions": [["verb", "intent", "x"]]}}),
        "parked": canonical({"code": "parked", "message": "", "facts": {"ask": "ask-1", "hint": "wait"}}),
        "odd": canonical({"code": 7, "facts": [1]}), "new": canonical({"code": "of-tomorrow", "message": "m", "facts": {}}),
    }),
    "page": Decoder(shared_page, {"busy": ID + (9).to_bytes(8, "little") * 2, "idle": bytes(48)}),
    "birth": Decoder(reads_itself(Birth.decode, Birth.encode), {"one": BIRTH.encode()}),
    "incarnation": Decoder(
        reads_itself(IncarnationCertificate.decode, IncarnationCertificate.encode), {"one": INCARNATION.encode()}
    ),
    "sealing": Decoder(reads_itself(SealingCertificate.decode, SealingCertificate.encode), {"one": SEALING.encode()}),
    "message": Decoder(
        reads_itself(lambda data: message_from(Tree, data), body_of), {"tree": body_of(TREE), "leaf": body_of(Leaf(3, "x"))}
    ),
    "state": Decoder(state, {"kept": dump_state(Kept(1, {"a": 2}, Leaf(4))), "new": dump_state(Kept())}),
    "request": Decoder(request, requests()),
    "event": Decoder(map_or_refused(read_event), {
        "row": canonical({"t": "event", "topic": "agents", "seq": 4, "data": {"id": "agent-1", "gone": True}}),
        "resync": canonical({"t": "event", "topic": "resync", "seq": 5, "data": {"topics": ["asks"]}}),
    }),
    "executor_frame": Decoder(reads_itself(executor_frame, canonical), {"one": canonical({"do": "plan", "data": b"x"})}),
    "intent": Decoder(reads_itself(Intent.decode, Intent.encode), {"rules": INTENT.encode()}),
    "ask": Decoder(reads_itself(Ask.decode, Ask.encode), {"one": ASK.encode()}),
    "verdict": Decoder(
        reads_itself(Verdict.decode, Verdict.encode),
        {"once": make_verdict(RUNTIME, [(ASK.encode(), "why")], "once", rand=bytes_source()).encode()},
    ),
    "leaf": Decoder(reads_itself(ledger_leaf.decode, ledger_leaf.encode), {"agent": ledger_leaf.encode(ENTRY)}),
    "order": Decoder(
        reads_itself(Order.decode, Order.encode),
        {"undo": Order.make(RUNTIME, "undo", b"t" * 32, b"p" * 32, 1_800_000_060_000, bytes_source()).encode()},
    ),
    "operators": Decoder(reads_itself(Operators.decode, Operators.encode), {"first": operators().encode()}),
    "resources": Decoder(reads_itself(ResourceMap.decode, ResourceMap.encode), {"shop": compile_resources(RESOURCES).encode()}),
    "intent_toml": Decoder(text_or_refused(parse_intent), {"rules": (HEAD + RULES).encode()} | TOML),
    "resources_toml": Decoder(text_or_refused(compile_resources), {"shop": RESOURCES.encode()}),
    "manifest": Decoder(text_or_refused(Manifest.parse), TOML),
    "checkpoint": Decoder(note, {"signed": CHECKPOINT.sign(KEY)}),
    "log_key": Decoder(text_or_refused(log_key), {"one": vkey("queenright/test", KEY.public_key).encode()}),
    "id": Decoder(text_or_refused(short_id), {"agent": b"agent-1a2b3c4d5e6f", "bare": b"00ff"}),
    "metrics": Decoder(text_or_refused(metrics), {
        "page": b'# HELP a b\nshop_up{zone="eu\\n",b="c"} 1\nlatency_sum 3.5e-2 1700000000\nx NaN\n',
    }),
}  # fmt: skip
