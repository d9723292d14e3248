"""The frames of the control socket as bytes, and the check of every field a client sends.

Both ends use it. What does not fit raises `Malformed`, and the message never quotes what the client sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.control.methods import METHODS, Method
from queenright.core import canonical
from queenright.core import decode as decode_canonical
from queenright.errors import Malformed, Unknown
from queenright.wire.frame import pack

__all__ = ["MAX_OFFERED", "MAX_TOPICS", "check_params", "read_request", "to_frame", "to_map"]

MAX_OFFERED = 64  # public keys of one offer: more than any ssh-agent sensibly holds
MAX_TOPICS = 64  # topics of one watch: five screens and a log pane each, with room
MAX_TEXT = 64 * 1024  # one text parameter; an SSH signature is 300 bytes, a reason far less
MAX_PATH = 512  # a file's name inside a behaviour package
MAX_FILES = 1024

_REQUESTS: Mapping[str, Mapping[str, str]] = {
    "offer": {"keys": "list"},
    "prove": {"key": "str", "signature": "str"},
    "token": {"id": "bytes", "proof": "bytes"},
    "call": {"id": "int", "method": "str", "params": "dict", "order": "bytes?", "signature": "str?"},
    "watch": {"id": "int", "topics": "list"},
}
_TYPES: Mapping[str, type] = {
    "str": str,
    "int": int,
    "bool": bool,
    "bytes": bytes,
    "list": list,
    "dict": dict,
    "files": dict,
}


def to_frame(message: Mapping[str, Any]) -> bytes:
    """One message as it goes over the socket.

    Raises Malformed above the frame limit or for what is not canonical.
    """
    return pack(canonical(dict(message)))


def to_map(body: bytes) -> dict[str, Any]:
    """The map of one frame's body. Raises Malformed."""
    message = decode_canonical(body)
    if type(message) is not dict or type(message.get("t")) is not str:
        raise Malformed("a frame is a map with its type under `t`")
    return message


def _check(value: object, kind: str, what: str) -> None:
    # type() and not isinstance: True is an int to isinstance.
    if kind.endswith("?") and value is None:
        return
    if type(value) is not _TYPES[kind.rstrip("?")]:
        raise Malformed(f"{what} must be {kind.rstrip('?')}")
    if type(value) is str and len(value) > MAX_TEXT:
        raise Malformed(f"{what} is {len(value)} characters, over the limit of {MAX_TEXT}")


def read_request(body: bytes) -> dict[str, Any]:
    """A frame from a client, with exactly the fields of its type. Raises Malformed."""
    message = to_map(body)
    shape = _REQUESTS.get(message["t"])
    if shape is None:
        raise Malformed("unknown frame type", hint="this client may be newer than the supervisor")
    if message.keys() != shape.keys() | {"t"}:
        raise Malformed(f"frame `{message['t']}` must have exactly the fields {', '.join(sorted(shape))}")
    for name, kind in shape.items():
        _check(message[name], kind, f"field `{name}` of frame `{message['t']}`")
    if "id" in shape and shape["id"] == "int" and message["id"] < 0:
        raise Malformed("field `id` must not be negative")
    for name, limit in (("keys", MAX_OFFERED), ("topics", MAX_TOPICS)):
        if name in shape:
            entries = message[name]
            if len(entries) > limit:
                raise Malformed(f"field `{name}` holds {len(entries)} entries, over the limit of {limit}")
            for entry in entries:
                _check(entry, "str", f"an entry of `{name}`")
    return message


def check_params(name: str, params: dict[str, Any]) -> Method:
    """The method called `name`, if these are its parameters. Raises Unknown or Malformed.

    An absent parameter and one that is None mean the same; what is passed on holds no None.
    """
    method = METHODS.get(name)
    if method is None:
        raise Unknown(
            "no such method", hint="this client may be newer than the supervisor: `queenright health`"
        )
    for given in params:
        if given not in method.params:
            raise Malformed(f"method `{name}` has no such parameter; it takes {_listed(method)}")
    for wanted, kind in method.params.items():
        if wanted not in params:
            if not kind.endswith("?"):
                raise Malformed(f"method `{name}` needs parameter `{wanted}`")
            continue
        _check(params[wanted], kind, f"parameter `{wanted}` of `{name}`")
        if kind == "files":
            _check_files(params[wanted])
    return method


def _check_files(files: dict[str, Any]) -> None:
    if not files or len(files) > MAX_FILES:
        raise Malformed(f"a package is 1 to {MAX_FILES} files, not {len(files)}")
    for path, content in files.items():
        if type(content) is not bytes:
            raise Malformed("the content of a file must be bytes")
        parts = path.split("/")
        if len(path) > MAX_PATH or "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise Malformed(
                "a file's path in a package is relative, without `.` and `..`", hint="rename the file"
            )


def _listed(method: Method) -> str:
    return ", ".join(f"`{name}`" for name in method.params) or "none"
