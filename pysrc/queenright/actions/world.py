"""What a verb may use inside an executor: its resource's files, its admin API, its service, its workspace."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queenright.actions.resources import Resource
from queenright.broker.outcome import NotSent
from queenright.broker.secret import Secret
from queenright.errors import Malformed, QueenrightError, Unknown, UnknownOutcome

if TYPE_CHECKING:
    from queenright.broker.http import Reply

__all__ = ["ADMIN_TIMEOUT", "Place", "World", "open_parent"]

ADMIN_TIMEOUT = 10.0
"""Seconds for each wait on an admin API: it is on this machine or next to it."""

MAX_SCRAPE = 4 << 20
"""Bytes of a metrics page: some ten thousand series."""

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""A request to the supervisor, which checks it against the resource: "start", "command", "version"."""


@dataclass(frozen=True, slots=True)
class Place:
    """An agent's workspace at `live`, its versions in `store`, and who works on it, when (wall ms). `egress`: what its
    commands may reach of the network, in words; empty: they have no way out.
    """

    live: Path
    store: Path
    agent: bytes
    intent: bytes
    act: bytes
    at_ms: int
    egress: tuple[str, ...] = ()

    @classmethod
    def from_map(cls, given: Mapping[str, Any]) -> Place:
        paths = {"live": Path(given["live"]), "store": Path(given["store"])}
        return cls(**{**given, **paths, "egress": tuple(given["egress"])})

    def to_map(self) -> dict[str, Any]:
        return {
            "live": str(self.live),
            "store": str(self.store),
            "agent": self.agent,
            "intent": self.intent,
            "act": self.act,
            "at_ms": self.at_ms,
            "egress": list(self.egress),
        }


@dataclass(slots=True)
class World:
    """One executor's view. `history`: earlier values seen by the supervisor, by name, newest first (release
    targets, sha256 of config versions). `images`: pre-images of an act that is undone. `space`: the agent's workspace.
    `key`: the act's idempotency key."""

    resource: Resource
    secret: Secret | None = None
    space: Place | None = None
    history: Mapping[str, list[str]] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)
    key: str = ""
    ask: Ask | None = None

    @property
    def place(self) -> Place:
        """The agent's workspace. Raises Unknown."""
        if self.space is None:
            raise Unknown("this agent has no workspace")
        return self.space

    def request(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Have the supervisor do what an executor cannot."""
        if self.ask is None:
            raise Malformed(f"no supervisor to {kind} with")
        return self.ask(kind, facts)

    def version(self, sha256: str) -> bytes:
        """A config version that the supervisor kept."""
        data = self.request("version", sha256=sha256)["data"]
        if not isinstance(data, bytes):
            raise Malformed("a kept version is not bytes")
        return data

    def admin(
        self, verb: str, method: Any, path: str, *, query: Any = None, body: Any = None, base: str = ""
    ) -> Reply:
        """One call of the admin API. Raises `ActionFailed` codes through the verb: see `answered`."""
        # Half of an executor's start is this import, and most have no call to make.
        from queenright.broker.http import BrokerTarget, Call, perform

        admin = self.resource.need("admin", verb)
        target = BrokerTarget.parse(base or admin.url)
        call = Call.make(method, path, query, body)
        return perform(
            target, call, self.secret, timeout=ADMIN_TIMEOUT, key=self.key if method != "GET" else ""
        )

    def admin_json(self, verb: str, path: str, *, base: str = "") -> Any:
        """GET and parse. Raises `Unreachable` when it does not answer 200 with JSON."""
        try:
            reply = self.admin(verb, "GET", path, base=base)
        except (NotSent, UnknownOutcome) as error:
            raise Unreachable(error.message) from None
        if reply.status != 200:
            raise Unreachable(f"GET {path} answers {reply.status}")
        return reply.json()

    def scrape(self, url: str) -> str:
        """A metrics page. No credential is sent, no redirect followed. Raises `Unreachable`."""
        from queenright.broker import scrape

        try:
            status, body = scrape.get(url, ADMIN_TIMEOUT, MAX_SCRAPE + 1)
        except TimeoutError:
            raise Unreachable(
                f"{url} did not answer within {ADMIN_TIMEOUT:.0f} s", code="timed_out"
            ) from None
        except NotSent as error:
            raise Unreachable(error.message) from None
        if status != 200:
            raise Unreachable(f"{url} answers {status}")
        if len(body) > MAX_SCRAPE:
            raise Malformed(f"{url} is longer than {MAX_SCRAPE} bytes")
        return body.decode("utf-8", "replace")

    def json_file(self, path: str, data: bytes) -> dict[str, Any]:
        """A file that holds one JSON object."""
        try:
            value = json.loads(data)
        except ValueError:
            raise Malformed(f"{path} is not json") from None
        if not isinstance(value, dict):
            raise Malformed(f"{path} does not hold one json object")
        return value


class Unreachable(QueenrightError):
    """The target did not answer as it should: for a measurement that is a finding, not a refusal."""

    code = "unreachable"

    def __init__(self, message: str, *, code: str = "unreachable") -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def open_parent(path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that holds the absolute `path`, and the last name.

    Each step refuses a link: who may change a directory on the way must not aim an action elsewhere. O_PATH
    needs no right to list the directories above, which an executor does not have.
    """
    *folders, name = [part for part in path.split("/") if part]
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            try:
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(folder, flags, dir_fd=here)
            except OSError as error:
                raise Malformed(
                    f"{path}: {folder!r} on the way is no directory, or a link: {error.strerror}"
                ) from None
            os.close(here)
            here = below
        try:
            folder_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
        except OSError as error:
            raise Malformed(f"{path}: its directory cannot be opened: {error.strerror}") from None
        try:
            yield folder_fd, name
        finally:
            os.close(folder_fd)
    finally:
        os.close(here)
