"""`[host."api.example.com"]` of `resources.toml`: a host whose TLS is opened so that a credential can be put in."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from queenright.actions.resources import Host, Resource, path_pattern
from queenright.actions.toml_values import Wrong, read_file, read_list, read_part, read_secret, read_text
from queenright.authority.toml_place import Path as Keys
from queenright.core.host import check_roots, resource_covers
from queenright.errors import Malformed

__all__ = ["read_host"]

MAX_CA = 64 * 1024
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"({_LABEL}\.)*{_LABEL}")
_HEADER = re.compile(r"[a-z][a-z0-9-]{0,63}")
_PREFIX = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,63}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TAKEN = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host", "if-range",
    "keep-alive", "range", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip


def read_host(name: str, body: Any) -> Resource:
    """One host as it is written. Raises `Wrong`. Reads the file that `ca` names: its text is what is signed."""
    here: Keys = ("host", name)
    last = name.rpartition(".")[2]
    if not _NAME.fullmatch(name) or len(name) > 128 or max(map(len, name.split("."))) > 63 or last.isdigit():
        raise Wrong(here, "a host is a lower-case name such as api.example.com: no address, no port, no *")
    return _whole(
        here, read_part(dict, {"port": _port, "inject": _inject, "ca": _ca}, ("inject",))(here, body)
    )


def _whole(here: Keys, made: dict[str, Any]) -> Resource:
    inject = made.pop("inject")
    resource = Resource(f"host:{here[1]}", host=Host(**made, **inject))
    assert resource.host is not None
    for index, path in enumerate(resource.host.paths):
        pattern = path_pattern(resource.id, resource.host.port, path)
        try:
            resource_covers(pattern, pattern)
        except Malformed as bad:
            raise Wrong((*here, "inject", "paths", index), bad.message) from None
    return resource


def _port(path: Keys, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise Wrong(path, "not a port from 1 to 65535")
    return value


def _header(path: Keys, value: Any) -> str:
    text = read_text(path, value)
    if not _HEADER.fullmatch(text) or text in _TAKEN or text.startswith("proxy-"):
        raise Wrong(path, "not a header that a credential can stand in, in lower case, such as authorization")
    return text


def _prefix(path: Keys, value: Any) -> str:
    if not _PREFIX.fullmatch(read_text(path, value)):
        raise Wrong(path, 'not 1 to 64 characters of visible ASCII, such as "Bearer "')
    return str(value)


def _method(path: Keys, value: Any) -> str:
    if value not in _METHODS:
        raise Wrong(path, f"not one of {', '.join(_METHODS)}")
    return str(value)


def _path(path: Keys, value: Any) -> str:
    text = read_text(path, value)
    if not text.startswith("/") or "//" in text:
        raise Wrong(path, "not a path as grants write it, such as /v1/** or /v1/items")
    return text


def _ca(path: Keys, value: Any) -> str:
    file = read_file(path, value)
    try:
        # Not to hang on a pipe, nor to follow a link that somebody else may turn.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Wrong(path, f"{file} cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Wrong(path, f"{file} is not a file")
        data = os.read(descriptor, MAX_CA + 1)
    finally:
        os.close(descriptor)
    try:
        text = data.decode("ascii")
        if len(data) > MAX_CA:
            raise Malformed(f"more than {MAX_CA} bytes")
        check_roots(text)
    except (UnicodeDecodeError, Malformed) as bad:
        why = bad.message if isinstance(bad, Malformed) else "it is not ASCII"
        raise Wrong(path, f"{file}: {why}") from None
    return text


_inject = read_part(
    dict,
    {
        "header": _header,
        "prefix": _prefix,
        "secret": read_secret,
        "methods": read_list(_method, len(_METHODS)),
        "paths": read_list(_path, 64),
    },
    ("header", "secret"),
)
