"""The bytes of an entry: canonical JSON, hashed exactly as they stand.

So an auditor needs a JSON reader and SHA-256 and nothing of ours. Ids are written with their kind and all
64 digits: what a screen shows of one finds it by search. What is absent is left out.
"""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from queenright.errors import Malformed
from queenright.ledger import canonical_json
from queenright.ledger.blobs import BlobRef
from queenright.ledger.entry import (
    KINDS,
    Action,
    Actor,
    Agent,
    Certificate,
    Entry,
    Operator,
    Result,
    Reversibility,
    Scalar,
    Signed,
    State,
    Supervisor,
)
from queenright.wire import ids

__all__ = ["MAX_LEAF", "decode", "encode", "read"]

MAX_LEAF: Final = 8 * 1024
"""Far below the 65,535 bytes that C2SP tlog-tiles can hold: what does not fit is a blob."""

_VERSION = 1
_MAX_NAME = 256  # names of agents and operators, resources
_MAX_WORD = 96  # verbs, codes, roles
_MAX_FACT = 4096
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")


def encode(entry: Entry) -> bytes:
    """The leaf's bytes. Raises Malformed for what a leaf may not hold, and for more than MAX_LEAF bytes."""
    data = canonical_json.dump(_write(entry))
    if len(data) > MAX_LEAF:
        raise Malformed(
            f"a ledger entry of {len(data)} bytes, at most {MAX_LEAF}", hint="keep the bytes as a blob"
        )
    return data


def decode(leaf: bytes) -> Entry:
    """The entry of which these are the exact bytes, for bytes from anywhere. Raises Malformed."""
    entry = read(leaf)
    # What reading passed over or mended would not come back: so nothing hides in a leaf beside what is
    # shown of it.
    if encode(entry) != leaf:
        raise Malformed("a ledger entry in another form, or with a field that this version does not know")
    return entry


def read(leaf: bytes) -> Entry:
    """The entry of a leaf that is known to be one of `encode`'s: of one's own ledger. Raises Malformed."""
    if len(leaf) > MAX_LEAF:
        raise Malformed(f"a ledger entry of {len(leaf)} bytes, at most {MAX_LEAF}")
    value = canonical_json.parse(leaf)
    try:
        return _read(value)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Malformed("a ledger entry with a field that is missing or of another type") from None


def _write(entry: Entry) -> dict[str, Any]:
    if not isinstance(entry.kind, str) or entry.kind not in KINDS:
        raise Malformed(f"`{str(entry.kind)[:40]}` is no kind of ledger entry")
    out: dict[str, Any] = {
        "v": _VERSION,
        "kind": entry.kind,
        "t": _number(entry.t_ms),
        "actor": _write_actor(entry.actor),
    }
    for name in ("intent", "agent", "grant", "lease", "ask", "verdict"):
        id = getattr(entry, name)
        if id is not None:
            out[name] = _id_text(name, id)
    if entry.cause is not None:
        out["cause"] = _bytes(entry.cause, 32).hex()
    if entry.action is not None:
        out["action"] = _write_action(entry.action)
    if entry.result is not None:
        out["result"] = _write_result(entry.result)
    if entry.signed is not None:
        out["signed"] = {
            "namespace": _word(entry.signed.namespace),
            "document": _bytes(entry.signed.document, 32).hex(),
            "fingerprint": _name(entry.signed.fingerprint),
            "signature": _limited(entry.signed.signature, _MAX_FACT),
        }
    if entry.certificate is not None:
        out["certificate"] = {
            "public_key": _bytes(entry.certificate.public_key, 32).hex(),
            "message": entry.certificate.message.hex(),
            "signature": _bytes(entry.certificate.signature, 64).hex(),
        }
    if entry.blobs:
        out["blobs"] = [
            {
                "role": _word(blob.role),
                "sha256": _bytes(blob.sha256, 32).hex(),
                "length": _number(blob.length),
                "commitment": _bytes(blob.commitment, 32).hex(),
            }
            for blob in entry.blobs
        ]
    if entry.facts:
        out["facts"] = {_fact_name(name): _fact(value) for name, value in entry.facts.items()}
    return out


def _write_actor(actor: Actor) -> dict[str, Any]:
    match actor:
        case Agent():
            return {
                "agent": _id_text("agent", actor.id),
                "name": _name(actor.name),
                "incarnation": _number(actor.incarnation),
                "cell": _word(actor.cell),
                "shared": actor.shared is True,
            }
        case Operator():
            return {"operator": _name(actor.fingerprint), "name": _name(actor.name)}
        case Supervisor():
            return {"supervisor": True}
    raise Malformed("an entry without an actor")


def _write_action(action: Action) -> dict[str, Any]:
    if action.reversibility not in get_args(Reversibility):
        raise Malformed(f"`{str(action.reversibility)[:40]}` is no kind of reversibility")
    out: dict[str, Any] = {
        "id": _id_text("act", action.id),
        "verb": _word(action.verb),
        "resource": _name(action.resource),
        "class": action.reversibility,
        "manifest": _bytes(action.manifest, 32).hex(),
        "args": _bytes(action.args, 32).hex(),
        "undo": _write_undo(action.undo),
        "cost": _number(action.cost),
    }
    if action.plan is not None:
        out["plan"] = _bytes(action.plan, 32).hex()
    return out


def _write_undo(undo: bytes | str) -> str:
    if isinstance(undo, bytes):
        return f"sha256:{_bytes(undo, 32).hex()}"
    if undo != "none" and not undo.startswith("none: "):
        raise Malformed("an undo is a digest, or `none: ` and the reason")
    return _limited(undo, _MAX_NAME)


def _write_result(result: Result) -> dict[str, Any]:
    if result.state not in get_args(State):
        raise Malformed(f"`{str(result.state)[:40]}` is no state of a result")
    out: dict[str, Any] = {"state": result.state, "length": _number(result.length)}
    if result.code:
        out["code"] = _word(result.code)
    if result.digest is not None:
        out["digest"] = _bytes(result.digest, 32).hex()
    return out


# --- reading ------------------------------------------------------------------------------------------------


def _read(value: dict[str, Any]) -> Entry:
    if value["v"] != _VERSION:
        raise Malformed(f"a ledger entry of version {value['v']!r}, not {_VERSION}")
    action, result = value.get("action"), value.get("result")
    signed, certificate = value.get("signed"), value.get("certificate")
    return Entry(
        kind=value["kind"],
        t_ms=value["t"],
        actor=_read_actor(value["actor"]),
        intent=_read_id("intent", value.get("intent")),
        agent=_read_id("agent", value.get("agent")),
        grant=_read_id("grant", value.get("grant")),
        lease=_read_id("lease", value.get("lease")),
        ask=_read_id("ask", value.get("ask")),
        verdict=_read_id("verdict", value.get("verdict")),
        cause=_read_bytes(value.get("cause")),
        action=None if action is None else _read_action(action),
        result=None
        if result is None
        else Result(
            result["state"], result.get("code", ""), _read_bytes(result.get("digest")), result["length"]
        ),
        signed=None
        if signed is None
        else Signed(
            signed["namespace"], _must(signed["document"]), signed["fingerprint"], signed["signature"]
        ),
        certificate=None
        if certificate is None
        else Certificate(*(_must(certificate[name]) for name in ("public_key", "message", "signature"))),
        blobs=tuple(
            BlobRef(blob["role"], _must(blob["sha256"]), blob["length"], _must(blob["commitment"]))
            for blob in value.get("blobs", ())
        ),
        facts=dict(value.get("facts", {})),
    )


def _read_actor(value: dict[str, Any]) -> Actor:
    if "agent" in value:
        return Agent(
            _id("agent", value["agent"]), value["name"], value["incarnation"], value["cell"], value["shared"]
        )
    if "operator" in value:
        return Operator(value["operator"], value["name"])
    return Supervisor()


def _read_action(value: dict[str, Any]) -> Action:
    undo: str = value["undo"]
    return Action(
        id=_id("act", value["id"]),
        verb=value["verb"],
        resource=value["resource"],
        reversibility=value["class"],
        manifest=_must(value["manifest"]),
        args=_must(value["args"]),
        plan=_read_bytes(value.get("plan")),
        undo=_must(undo.removeprefix("sha256:")) if undo.startswith("sha256:") else undo,
        cost=value["cost"],
    )


def _id(kind: str, text: str) -> bytes:
    return _must(text.removeprefix(f"{kind}-"))


def _read_id(kind: str, text: str | None) -> bytes | None:
    return None if text is None else _id(kind, text)


def _read_bytes(text: str | None) -> bytes | None:
    return None if text is None else _must(text)


def _must(text: str) -> bytes:
    if _HEX.match(text) is None:
        raise ValueError("not hexadecimal")
    return bytes.fromhex(text)


# --- what a leaf may hold -----------------------------------------------------------------------------------


def _id_text(kind: str, id: bytes) -> str:
    return ids.full(kind, _bytes(id, 32))


def _bytes(value: bytes, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise Malformed(f"an id, digest or key of {length} bytes is wanted")
    return value


def _number(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= canonical_json.MAX_INT:
        raise Malformed(f"{value!r:.40} is no count or time in milliseconds")
    return value


def _word(value: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_WORD or _WORD.match(value) is None:
        raise Malformed(f"{str(value)[:40]!r} is no word that a ledger entry may hold")
    return value


def _name(value: str) -> str:
    return _limited(value, _MAX_NAME)


def _limited(value: str, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise Malformed(f"text of at most {limit} characters is wanted in a ledger entry")
    return value


def _fact_name(name: str) -> str:
    if not isinstance(name, str) or _FACT.match(name) is None:
        raise Malformed(f"{str(name)[:40]!r} is no name of a fact")
    return name


def _fact(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return _limited(value, _MAX_FACT)
    if value is None or isinstance(value, (bool, int)):
        return value
    raise Malformed(f"a fact is text, a whole number, true, false or null, not {type(value).__name__}")
