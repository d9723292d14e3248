"""What the owner signed: which real things a resource id means, and how they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from queenright.core import canonical, decode, digest
from queenright.errors import Denied, Dimension, Malformed

__all__ = [
    "OWN_WORKSPACE",
    "Admin",
    "Flags",
    "Host",
    "Index",
    "Resource",
    "ResourceMap",
    "Sessions",
    "path_pattern",
]

OWN_WORKSPACE = "ws:self"
"""The acting agent's own workspace: every agent has it, no owner maps it."""

NAMESPACE = "resources@queenright.v1"
"""The SSHSIG namespace of the owner's signature over `ResourceMap.encode()`."""


@dataclass(frozen=True, slots=True)
class Admin:
    """An admin API: base url, the secret that opens it, the paths that `http.get` may read.

    `also`: the same API of further processes of the same thing (each worker keeps its own sessions).
    """

    url: str
    secret: str = ""
    get: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sessions:
    """Paths below admin.url: list answers {"sessions": [{"id", "started", …}]}, kill takes {"id",
    "started"}.
    """

    list: str
    kill: str


@dataclass(frozen=True, slots=True)
class Index:
    """Paths below admin.url: POST create takes {"name", "table", "columns"}, DELETE drop takes {"name"}."""

    create: str
    drop: str


@dataclass(frozen=True, slots=True)
class Flags:
    """Either a JSON file that holds one object, or paths below admin.url: GET get, POST set {name: value}."""

    file: str = ""
    get: str = ""
    set: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A host whose TLS is opened: `header` (lower case) gets `prefix` and the value of `secret`.

    `methods` (upper case) and `paths` (as grants write them, such as /v1/**) say which requests carry it; empty: all. `ca`: the
    PEM text that verifies the host, "" for the roots of the supervisor's machine.
    """

    header: str
    secret: str
    port: int = 443
    prefix: str = ""
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    ca: str = ""


def path_pattern(host: str, port: int, path: str) -> str:
    """`/v1/**` as grants name it below `host:NAME`."""
    return f"{host}/{port}{path}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing. Paths are absolute and hold no link; empty means the owner mapped none."""

    id: str
    start: tuple[str, ...] = ()
    pidfile: str = ""
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    output: str = "/dev/null"
    stop_seconds: int = 10
    healthy: str = ""
    release_link: str = ""
    releases: str = ""
    restart_on_release: bool = False
    config: tuple[str, ...] = ()
    metrics: str = ""
    logs: tuple[str, ...] = ()
    flags: Flags | None = None
    admin: Admin | None = None
    sessions: Sessions | None = None
    index: Index | None = None
    risk: str = ""
    host: Host | None = None

    @property
    def kind(self) -> str:
        return self.id.partition(":")[0]

    def to_map(self) -> dict[str, Any]:
        """Canonical: lists for tuples, nothing left out but `host` of what is none."""
        body: dict[str, Any] = _plain(asdict(self))
        # Documents that were signed before there were hosts keep their bytes.
        if self.host is None:
            del body["host"]
        return body

    @classmethod
    def from_map(cls, body: Mapping[str, Any]) -> Resource:
        """What `to_map` wrote. Raises `Malformed` for other fields; values were checked when it was
        compiled.
        """
        parts = {"flags": Flags, "admin": Admin, "sessions": Sessions, "index": Index, "host": Host}
        try:
            made = {name: _frozen(value) for name, value in body.items()}
            for name, part in parts.items():
                if made.get(name) is not None:
                    made[name] = part(**{key: _frozen(value) for key, value in body[name].items()})
            if made.keys() | {"host"} != {item.name for item in fields(cls)}:
                raise TypeError("fields")
            return cls(**made)
        except (TypeError, AttributeError) as wrong:
            raise Malformed("these bytes do not describe a resource") from wrong

    def need(self, name: str, verb: str) -> Any:
        """A mapping that `verb` cannot work without. Raises `Malformed` naming it when the owner mapped
        none.
        """
        value = getattr(self, name)
        if not value:
            raise Malformed(
                f"{verb} needs `{name}` of {self.id}, which resources.toml does not map",
                hint=f"an owner adds {name} = … to {self.id}",
            )
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class ResourceMap:
    """All resources of one signed document. Its digest is part of the policy revision."""

    def __init__(self, resources: Mapping[str, Resource] | None = None) -> None:
        self._resources = dict(sorted((resources or {}).items()))

    def encode(self) -> bytes:
        """The canonical bytes that an owner signs."""
        return canonical(
            {"v": 1, "kind": "resources", "resources": [item.to_map() for item in self._resources.values()]}
        )

    @classmethod
    def decode(cls, data: bytes) -> ResourceMap:
        """Raises `Malformed` unless `data` is exactly what `encode` writes."""
        body = decode(data)
        if not isinstance(body, dict) or body.keys() != {"v", "kind", "resources"} or body["v"] != 1:
            raise Malformed("these bytes are not a resources document of version 1")
        if body["kind"] != "resources" or not isinstance(body["resources"], list):
            raise Malformed("these bytes are not a resources document")
        made = [Resource.from_map(item) for item in body["resources"]]
        found = cls({item.id: item for item in made})
        if found.encode() != data:
            raise Malformed("a resources document names a resource twice or out of order")
        return found

    @property
    def digest(self) -> bytes:
        return digest("resources", self.encode())

    def __iter__(self) -> Any:
        return iter(self._resources.values())

    def __len__(self) -> int:
        return len(self._resources)

    def find(self, resource: str) -> Resource | None:
        return self._resources.get(resource)

    def get(self, resource: str, verb: str) -> Resource:
        """Raises `Denied` by name for one that no owner mapped."""
        found = self._resources.get(resource)
        if found is None:
            raise Denied(
                f"{verb} on {resource}: no owner mapped this resource",
                verb=verb,
                resource=resource,
                dimensions=(Dimension("resource", "resources.toml", "not mapped"),),
                reason="unmapped_resource",
                hint="queenright resource list shows what is mapped",
            )
        return found
