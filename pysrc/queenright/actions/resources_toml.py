"""`resources.toml` as an owner writes it, checked and compiled. Every error names its line.

[svc."shop/web"]
start = ["/opt/shop/web", "--port", "8080"]
pidfile = "/opt/shop/run/web.pid"
metrics = "http://127.0.0.1:8080/metrics"
logs = ["/opt/shop/log/web.jsonl"]
admin = {url = "http://127.0.0.1:8080", secret = "vault:shop-admin", get = ["/admin/sessions"]}

[host."api.example.com"]
inject = {header = "authorization", prefix = "Bearer ", secret = "vault:api-token", paths = ["/v1/**"]}
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from queenright.actions.host_toml import read_host
from queenright.actions.resources import Admin, Flags, Index, Resource, ResourceMap, Sessions
from queenright.actions.toml_values import Wrong, read_file, read_list, read_part, read_secret, read_text
from queenright.authority.toml_place import Path as Keys
from queenright.authority.toml_place import Place, places
from queenright.broker.http import BrokerTarget, check_path
from queenright.errors import Malformed

__all__ = ["KINDS", "check_host", "compile_resources"]

KINDS = ("svc", "db", "host")
MAX_TEXT = 256 * 1024
MAX_RESOURCES = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){0,5}")
_HEALTHY = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]* (==|>=|<=|>|<) -?[0-9]+(\.[0-9]+)?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def compile_resources(text: str, *, name: str = "resources.toml") -> ResourceMap:
    """Parse and check. Raises `Malformed`: `name:line:column: key: what is wrong`."""
    if len(text.encode()) > MAX_TEXT:
        raise Malformed(f"{name} is larger than {MAX_TEXT} bytes")
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        raise Malformed(f"{name}: not toml: {bad}") from bad
    found = places(text)
    try:
        made = {item.id: item for kind, table in body.items() for item in _kind(kind, table)}
        if len(made) > MAX_RESOURCES:
            raise Wrong((), f"more than {MAX_RESOURCES} resources")
    except Wrong as wrong:
        line, column = _place(found, wrong.path)
        at = ".".join(str(part) for part in wrong.path)
        raise Malformed(f"{name}:{line}:{column}: {at}: {wrong.why}") from None
    return ResourceMap(made)


def _place(found: Mapping[Keys, Place], path: Keys) -> Place:
    """Where `path` stands, or what is nearest: the first thing below it, else what is above it."""
    while path:
        below = [place for keys, place in found.items() if keys[: len(path)] == path]
        if below:
            return found.get(path, min(below))
        path = path[:-1]
    return (1, 1)


def _kind(kind: str, table: Any) -> list[Resource]:
    if kind not in KINDS:
        raise Wrong((kind,), 'a resource is [svc."name"], [db."name"] or [host."name"]')
    if not isinstance(table, dict):
        raise Wrong((kind,), "not a table")
    if kind == "host":
        return [read_host(name, body) for name, body in table.items()]
    return [_resource(kind, name, body) for name, body in table.items()]


def _resource(kind: str, name: str, body: Any) -> Resource:
    here: Keys = (kind, name)
    if not isinstance(body, dict):
        raise Wrong(here, f'write it as [{kind}."{name}"]')
    if not _NAME.fullmatch(name) or len(name) > 128:
        raise Wrong(here, "a name is lower-case words of a-z 0-9 . _ - joined by single slashes")
    made: dict[str, Any] = {}
    for key, value in body.items():
        reader = _FIELDS.get(key)
        if reader is None:
            raise Wrong((*here, key), f"unknown; a resource has: {', '.join(sorted(_FIELDS))}")
        made[key] = reader((*here, key), value)
    resource = Resource(f"{kind}:{name}", **made)
    _whole(here, resource, body)
    return resource


def _whole(here: Keys, resource: Resource, body: Mapping[str, Any]) -> None:
    """What one field needs of another."""
    needs = {
        "sessions": ("admin",),
        "index": ("admin",),
        "start": ("pidfile",),
        "restart_on_release": ("start", "release_link"),
        "release_link": ("releases",),
        "releases": ("release_link",),
        "healthy": ("metrics",),
    }
    for name, others in needs.items():
        for other in others:
            if name in body and other not in body:
                raise Wrong((*here, name), f"needs {other} beside it")
    if resource.flags is not None and resource.flags.get and resource.admin is None:
        raise Wrong((*here, "flags"), "needs admin beside it")
    names = [os.path.basename(path) for path in resource.logs]
    if len(set(names)) != len(names):
        raise Wrong((*here, "logs"), "two logs have the same file name, by which an action names one")


def _argv(path: Keys, value: Any) -> tuple[str, ...]:
    words = read_list(read_text, 256)(path, value)
    read_file((*path, 0), words[0])
    return words


def _env(path: Keys, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > 256:
        raise Wrong(path, "not a table of at most 256 variables")
    for name, text in value.items():
        if not _ENV.fullmatch(name) or not isinstance(text, str) or "\0" in text:
            raise Wrong((*path, name), "not a variable: NAME = text")
    return dict(sorted(value.items()))


def _url(path: Keys, value: Any) -> str:
    try:
        BrokerTarget.parse(read_text(path, value))
    except Malformed as bad:
        raise Wrong(path, bad.message) from None
    return str(value)


def _route(path: Keys, value: Any) -> str:
    try:
        check_path(read_text(path, value))
    except Malformed as bad:
        raise Wrong(path, bad.message) from None
    return str(value)


def _yes(path: Keys, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(path, "not true or false")
    return value


def _seconds(path: Keys, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 120:
        raise Wrong(path, "not a whole number of seconds from 1 to 120")
    return value


def _risk(path: Keys, value: Any) -> str:
    if value != "high":
        raise Wrong(path, 'only risk = "high" can be written; the rest is computed')
    return "high"


def _healthy(path: Keys, value: Any) -> str:
    if not _HEALTHY.fullmatch(read_text(path, value)):
        raise Wrong(path, "not a metric, a comparison and a number, such as: shop_up >= 1")
    return str(value)


def _flags(path: Keys, value: Any) -> Flags:
    if isinstance(value, str):
        return Flags(file=read_file(path, value))
    made: Flags = read_part(Flags, {"get": _route, "set": _route}, ("get", "set"))(path, value)
    return made


_FIELDS: dict[str, Callable[[Keys, Any], Any]] = {
    "start": _argv,
    "pidfile": read_file,
    "cwd": read_file,
    "env": _env,
    "output": read_file,
    "stop_seconds": _seconds,
    "healthy": _healthy,
    "release_link": read_file,
    "releases": read_file,
    "restart_on_release": _yes,
    "config": read_list(read_file, 64),
    "metrics": _url,
    "logs": read_list(read_file, 64),
    "flags": _flags,
    "admin": read_part(
        Admin,
        {"url": _url, "secret": read_secret, "get": read_list(_route, 64), "also": read_list(_url, 64)},
        ("url",),
    ),
    "sessions": read_part(Sessions, {"list": _route, "kill": _route}, ("list", "kill")),
    "index": read_part(Index, {"create": _route, "drop": _route}, ("create", "drop")),
    "risk": _risk,
}


def check_host(resources: ResourceMap, *, forbidden: tuple[Path, ...] = ()) -> list[str]:
    """What is wrong with the mapped paths on this machine, one line each; empty when all is well.

    A path that goes through a symbolic link is a finding: who can change the link could aim an action
    elsewhere. `forbidden`: directories that no resource may reach into, such as the state directory.
    """
    found: list[str] = []
    for item in resources:
        for name, path in _paths(item):
            folder = os.path.dirname(path)
            if not os.path.isdir(folder):
                found.append(f"{item.id}: {name}: directory {folder} does not exist")
            elif os.path.realpath(folder) != folder:
                found.append(
                    f"{item.id}: {name}: {path} goes through a link; write {os.path.realpath(folder)}"
                )
            if name != "release_link" and os.path.islink(path):
                found.append(f"{item.id}: {name}: {path} is a symbolic link")
            if any(Path(path).is_relative_to(tree) or tree.is_relative_to(path) for tree in forbidden):
                found.append(f"{item.id}: {name}: {path} lies in queenright's own directories")
        if item.release_link and not os.path.islink(item.release_link):
            found.append(f"{item.id}: release_link: {item.release_link} is not a symbolic link")
        if item.start and not os.access(item.start[0], os.X_OK):
            found.append(f"{item.id}: start: {item.start[0]} cannot be run")
    return found


def _paths(item: Resource) -> list[tuple[str, str]]:
    pairs = [("pidfile", item.pidfile), ("release_link", item.release_link), ("releases", item.releases)]
    pairs += [("config", path) for path in item.config] + [("logs", path) for path in item.logs]
    pairs += [("flags", item.flags.file)] if item.flags is not None else []
    return [(name, path) for name, path in pairs if path]
