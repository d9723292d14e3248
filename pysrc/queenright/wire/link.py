"""The frames of the cell link: everything a cell and the supervisor can say to each other, one class each.

A cell only proposes: what it sends are requests, states and messages, checked again by the supervisor. A frame that is
not listed here, or has a field of another type, is a protocol violation and ends the cell.

Shapes inside frames (canonical maps, `bytes` fields named below hold canonical bytes):

- `Mail` map: {"id": bytes, "sender": bytes 32 (zeros: the runtime), "sender_name": str, "type": str, "body": bytes | None,
  "sealed": Sealed map | None, "call": bytes 16 | None (reply to this), "chain": [bytes 32] (open calls)}
- `Sealed` map: the fields of `wire.envelope.SEALED`: a letter with its sender's certificate. A cell gives only the letter's
  bytes; the supervisor, which has the certificate, makes the map. The letters of one record (its ops in their order, then
  its request or reply) are exactly one signed batch.
- `ops` list, in the order the behaviour made them, each a map with "op":
  {"op": "send", "to", "type", "volatile": bool, "body": bytes | None, "sealed": letter | None, "plain_digest": bytes 32}
  {"op": "timer", "id": bytes 16, "after_ms": int, "every_ms": int | None, "type", "body"}, {"op": "cancel", "id"}
  {"op": "monitor", "agent"}, {"op": "stop"}
- `steps` list of recorded steps of an open turn: {"ordinal": int, "kind": str, "digest": bytes 32, "done": bool, "ok": bool,
  "value": bytes, "error": map | None, "ops": digests [bytes 32]}
  The digests are `wire.step.step_digest` and `wire.step.op_digest`: they leave out what differs in every life.
- step kinds, their requests and values:
  act {"verb", "resource", "args": map, "reason"} -> the action's value (shell and files are acts on `ws:self`)
  call {"to", "type", "body", "sealed", "plain_digest", "timeout_ms"} -> {"type", "body", "sealed", "sender"} | None
  spawn {"certificate", "signature", "grant": map, "args"} -> {"agent", "name"}; signed is digest("birth", certificate)
  spawn_many {"behaviour", "package", "names": [str] | {"stem", "count"}, "grant": map, "args": bytes | [bytes], "born_ms",
    "seed", "root", "signature"} -> {"root", "count", "born_ms", "seed"}; signed is certificate.BatchStatement
  discover {"behaviour", "capability"} -> [{"agent", "name", "behaviour", "capabilities": [str], "claimed": [str]}]
  sleep {"ms"} -> None; now {} -> int; random {"bytes": int} -> bytes
  run {"name", "ok": bool, "value": canonical bytes}, computed in the cell -> the request itself, recorded
- turn 0 is a volatile message: it has no steps and no End
- `packet`: bytes of `queenright_core::batch::Packet`; `counts`: [[sender, its incarnation, receiver, messages,
  bytes of ciphertext]]

Volatile mail between cells: a sender's batch goes up as one `Batch`, is checked once and goes on as one `Batch` to each cell
that has receivers, with only their messages, after a `Peer` with the sender's certificate, once for each life and cell. What
the receivers' mailboxes took, or nobody can have, comes back as `Taken` and `Credit`: a sender's volatile mail under way is
bounded (`cell.post.WINDOW_MESSAGES`, `WINDOW_BYTES`), and at the bound its `ctx.send` raises MailboxFull.
- error map: {"code": str (queenright.errors), "message": str, "facts": map}
"""

from __future__ import annotations

from types import NoneType
from typing import Any, ClassVar, dataclass_transform

from queenright.core import canonical
from queenright.core import decode as decode_canonical
from queenright.errors import Malformed

__all__ = [
    "Batch",
    "Certified",
    "Credit",
    "Deliver",
    "End",
    "Evict",
    "Evicted",
    "Fault",
    "Frame",
    "Host",
    "Incarnation",
    "Log",
    "NeedSealKey",
    "OpenKey",
    "Peer",
    "Ready",
    "Rest",
    "Result",
    "SealKey",
    "Shutdown",
    "Start",
    "Step",
    "Stop",
    "Taken",
    "Talk",
    "Up",
    "decode",
    "encode",
]

_TYPES: dict[str, tuple[type, ...]] = {
    "bytes": (bytes,),
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "list[Any]": (list,),
    "dict[str, Any]": (dict,),
    "bytes | None": (bytes, NoneType),
    "dict[str, Any] | None": (dict, NoneType),
}


@dataclass_transform()
class _FrameType(type):
    """Makes of annotations what `dataclass(slots=True)` would, in a tenth of the time: a cell's start waits for all of them."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _FrameType:
        annotations: dict[str, str] = namespace.get("__annotations__", {})
        fields = tuple(field for field, kind in annotations.items() if not kind.startswith("ClassVar"))
        # The text holds names of fields of this file's classes and nothing else.
        assigned = "".join(f"\n self.{field} = {field}" for field in fields) or " pass"
        exec(f"def __init__(self, {', '.join(fields)}):{assigned}", namespace)  # noqa: S102
        namespace.pop("__builtins__", None)
        return super().__new__(cls, name, bases, namespace | {"__slots__": fields, "__match_args__": fields})


class Frame(metaclass=_FrameType):
    """Base of all frames. Not frozen: that would cost a fifth of what it takes to hand a message to an agent."""

    t: ClassVar[str] = ""
    __slots__: ClassVar[tuple[str, ...]]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, field) == getattr(other, field) for field in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.__slots__)
        return f"{type(self).__name__}({fields})"


# --- supervisor to cell ---------------------------------------------------------------------------------------------


class Start(Frame):
    """First frame to a cell, which is empty until then. `packages`: [{"name", "digest", "path", "classes": [str], "bundle":
    bool}], each mounted read-only at `path`, or, a bundle, in the next of the descriptors that come with this frame."""

    t: ClassVar[str] = "start"
    cell: str
    number: int  # the incarnation number of every agent this cell will host
    shared: bool
    runtime_key: bytes
    nonce: bytes
    packages: list[Any]
    turn_ms: int  # a handler that holds the interpreter this long is interrupted
    now_ms: int


class Talk(Frame):
    """From now on exactly these pairs of this cell's behaviours may write to each other beside kin and who wrote lately:
    [[sender's "package.Class", receiver's]]. A speed-up: what leaves the cell is decided by the supervisor."""

    t: ClassVar[str] = "talk"
    pairs: list[Any]


class Host(Frame):
    """An agent lives here from now on. `born`: run on_start as its first turn (delivered as a message)."""

    t: ClassVar[str] = "host"
    agent: bytes
    name: str
    behaviour: str  # "package.Class"
    args: bytes
    parent: bytes
    intent: bytes
    package: bytes
    state: bytes | None
    state_version: int
    kin: list[Any]  # agent ids it may write to from the start: parent and children


class Deliver(Frame):
    """One message to handle as turn `turn`. `steps` holds what an earlier try of this turn already recorded."""

    t: ClassVar[str] = "deliver"
    agent: bytes
    turn: int
    attempt: int
    mail: dict[str, Any]
    steps: list[Any]


class Result(Frame):
    """The answer to a step: `value` (canonical bytes) if ok, else `error`."""

    t: ClassVar[str] = "result"
    agent: bytes
    turn: int
    ordinal: int
    ok: bool
    value: bytes
    error: dict[str, Any] | None


class Certified(Frame):
    """The runtime's certificate over this agent's incarnation key."""

    t: ClassVar[str] = "certified"
    agent: bytes
    certificate: bytes
    signature: bytes


class SealKey(Frame):
    """What `sender` seals to: the receiver's certified X25519 key, and the pair's next free sequence (it survives lives)."""

    t: ClassVar[str] = "seal_key"
    agent: bytes
    sender: bytes
    sequence: int
    generation: int
    certificate: bytes
    signature: bytes


class OpenKey(Frame):
    """The private half, given only to the cell the receiver lives in."""

    t: ClassVar[str] = "open_key"
    agent: bytes
    generation: int
    private_key: bytes


class Peer(Frame):
    """A sender's certificate, before its first batch of this life for this cell."""

    t: ClassVar[str] = "peer"
    agent: bytes
    certificate: bytes
    signature: bytes


class Credit(Frame):
    """So much of the agent's volatile mail is no longer under way; `dropped` of these messages reached nobody."""

    t: ClassVar[str] = "credit"
    agent: bytes
    messages: int
    size: int  # bytes of ciphertext
    dropped: int


class Stop(Frame):
    """Run on_stop as the agent's last turn (`turn`), then forget it."""

    t: ClassVar[str] = "stop"
    agent: bytes
    turn: int
    reason: str


class Evict(Frame):
    """Forget the agent at once: frozen, moved or ended. Its open coroutine is discarded. Answered by `Evicted`."""

    t: ClassVar[str] = "evict"
    agent: bytes


class Shutdown(Frame):
    """Leave. The process is killed a moment later in any case."""

    t: ClassVar[str] = "shutdown"


# --- cell to supervisor ---------------------------------------------------------------------------------------------


class Up(Frame):
    """First frame of a cell: everything of the runtime's is imported, and it waits for `start`."""

    t: ClassVar[str] = "up"


class Ready(Frame):
    """The packages are imported. `classes` are the behaviours found: [{"name", "cell", "state_version",
    "on_start", "handles"}]."""

    t: ClassVar[str] = "ready"
    cell: str
    python: str
    classes: list[Any]


class Incarnation(Frame):
    """A signing key made here; `signature` is by that key over the incarnation claim (wire.certificate)."""

    t: ClassVar[str] = "incarnation"
    agent: bytes
    public_key: bytes
    signature: bytes


class Step(Frame):
    """A step opened: `request` is its canonical map; `ops` are the sends since the previous record of this turn."""

    t: ClassVar[str] = "step"
    agent: bytes
    turn: int
    ordinal: int
    kind: str
    request: bytes
    ops: list[Any]


class End(Frame):
    """The turn ended. `state` None: unchanged. On `ok` False nothing of it counts but `error` (for the retry)."""

    t: ClassVar[str] = "end"
    agent: bytes
    turn: int
    ok: bool
    error: str
    state: bytes | None
    state_version: int
    ops: list[Any]
    reply: dict[str, Any] | None  # {"type", "body" | "sealed"} when the mail was a call


class Batch(Frame):
    """Volatile mail of `agent` for agents of other cells, signed once; never journaled. Both ways."""

    t: ClassVar[str] = "batch"
    agent: bytes
    packet: bytes


class Taken(Frame):
    """What this cell no longer holds of batches it was sent: it is in a mailbox, or was dropped."""

    t: ClassVar[str] = "taken"
    counts: list[Any]


class Rest(Frame):
    """The agent's object was let go, between two turns; `state` is what volatile turns had made of it in memory."""

    t: ClassVar[str] = "rest"
    agent: bytes
    state: bytes
    state_version: int


class Evicted(Frame):
    """An agent that was to be evicted is not here any more: nothing of it runs in this cell, by the cell's own word."""

    t: ClassVar[str] = "evicted"
    agent: bytes


class NeedSealKey(Frame):
    t: ClassVar[str] = "need_seal_key"
    agent: bytes
    receiver: bytes


class Log(Frame):
    """A line for the agent's bounded log: untrusted text."""

    t: ClassVar[str] = "log"
    agent: bytes
    level: str
    text: str


class Fault(Frame):
    """The cell cannot go on (a package does not import): untrusted text for the operator."""

    t: ClassVar[str] = "fault"
    text: str


_FRAMES: dict[str, type[Frame]] = {cls.t: cls for cls in Frame.__subclasses__()}
_SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    t: {field: _TYPES[cls.__annotations__[field]] for field in cls.__slots__} for t, cls in _FRAMES.items()
}


def encode(frame: Frame) -> bytes:
    """Canonical bytes of a frame (without the length prefix)."""
    body: dict[str, Any] = {name: getattr(frame, name) for name in _SHAPES[frame.t]}
    body["t"] = frame.t
    return canonical(body)


def decode(data: bytes) -> Frame:
    """The frame in `data`. Raises Malformed naming the frame and the field that is wrong."""
    body = decode_canonical(data)
    if not isinstance(body, dict) or not isinstance(body.get("t"), str):
        raise Malformed("a link frame is a map with a `t`")
    t = body.pop("t")
    shape = _SHAPES.get(t)
    if shape is None:
        raise Malformed(f"unknown link frame `{t[:32]}`")
    if body.keys() != shape.keys():
        odd = sorted(body.keys() ^ shape.keys())[0]
        raise Malformed(f"link frame `{t}`: field `{odd[:32]}` is missing or unknown")
    for name, types in shape.items():
        if type(body[name]) not in types:  # the codec makes no subclasses, and a bool is no int here
            raise Malformed(f"link frame `{t}`: field `{name}` has the wrong type")
    return _FRAMES[t](**body)
