"""Commands' way to the network: the proxy's events answered, its exchanges tied to agents, cut when authority ends.

The descriptor a connection came through is the agent: nothing in a request is believed about who sent it. Every failure
here refuses the request it happened in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from queenright.actions.act import ActRequest, AskOpened
from queenright.actions.egress import WITH_ITS_COMMAND, Begun, EgressRequest, Requests
from queenright.actions.opened import Loans
from queenright.actions.resources import Resource
from queenright.actions.world import Place
from queenright.clock import Clock
from queenright.core.host import EgressProxy
from queenright.core.host import Refused as StoreRefused
from queenright.errors import Denied, Dimension, QueenrightError
from queenright.supervisor.egress_request import LOST, answer_body, changed, nameless, request_of, with_args
from queenright.supervisor.openings import Opening, Openings
from queenright.supervisor.sandbox_spec import Bind
from queenright.wire.ids import short

__all__ = ["PORT", "Egress", "Exchange", "Way", "proxy_environment"]

PORT = 3128
"""Where a command's own listener is, on its 127.0.0.1 (egress.rs)."""

CHECK_SECONDS = 0.5
"""Between looks at whether what is open is still allowed: a grant that expires tells nobody."""

BURST, PER_SECOND = 100, 10
"""Connections of one command that are put before the grants at once, and a second from then on. Each that changes something
is two durable leaves: a loop must not fill the disk."""

REFUSAL_KINDS = 32
"""Different refusals of one command in a minute that are told apart in the ledger; the rest are counted as one kind."""

_MINUTE_MS = 60_000


def proxy_environment() -> dict[str, str]:
    """What tells common programs about the listener. Nothing hangs on it: there is no other way out."""
    url = f"http://127.0.0.1:{PORT}"
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = {name: url for lower in names for name in (lower, lower.upper())}
    found |= dict.fromkeys(
        ("npm_config_proxy", "npm_config_https_proxy", "PIP_PROXY", "CARGO_HTTP_PROXY"), url
    )
    return found | {"no_proxy": "", "NO_PROXY": ""}


@dataclass(slots=True)
class _Door:
    number: int
    who: ActRequest
    command: bytes
    loans: Loans
    opening: Opening | None
    allowance: float = BURST
    at: float = 0.0
    minute: int = -1
    kinds: set[tuple[str, str, str]] = field(default_factory=set)
    cut: bool = False
    over: bool = False


@dataclass(slots=True)
class Exchange:
    """One connection, from its request on. `opened`: whose TLS it came in; `lease`: under which it carries a credential. `over`
    is set once the proxy has let it go.
    """

    door: _Door
    request: EgressRequest
    opened: Resource | None = None
    begun: Begun | None = None
    lease: bytes = b""
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Way:
    """One command's way out, from before its sandbox is made. `opening`: it may have TLS opened."""

    _egress: Egress
    _place: Place
    _opening: Opening | None

    def environment(self) -> dict[str, str]:
        return proxy_environment() | (self._opening.environment() if self._opening is not None else {})

    def binds(self) -> tuple[Bind, ...]:
        return self._opening.binds() if self._opening is not None else ()

    def door(self, listener: int) -> contextlib.AbstractContextManager[None]:
        """Serve the command's listener; at the end of the block everything behind it is cut."""
        return self._egress.door(self._place, listener, self._opening)


class Egress:
    """All commands' connections. `who` gives the agent's act that a command's connections are attributed to.

    The proxy's thread starts with the first command that has a way out.
    """

    def __init__(
        self,
        requests: Callable[[], Requests],
        who: Callable[[bytes], ActRequest],
        openings: Openings,
        clock: Clock,
        log: Callable[..., None],
    ) -> None:
        self._requests = requests
        self._who = who
        self._openings = openings
        self._clock = clock
        self._log = log
        self._proxy: EgressProxy | None = None
        self._doors: dict[int, _Door] = {}
        self._open: dict[int, Exchange] = {}
        self._checking: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def way(self, place: Place) -> Iterator[Way]:
        """A command's way out, with an authority it can trust when its grant names a host whose TLS is opened. Raises
        SandboxRefused.
        """
        if not self._requests().opens_any(place.agent):
            yield Way(self, place, None)
            return
        with self._openings.using(place.intent, asyncio.get_running_loop().time()) as opening:
            yield Way(self, place, opening)

    @contextlib.contextmanager
    def door(self, place: Place, listener: int, opening: Opening | None) -> Iterator[None]:
        """Serve a command's listener; at the end of the block everything behind it is cut, and its leases end."""
        proxy = self._started()
        who = self._who(place.agent)
        loans, now = self._requests().loans(who), asyncio.get_running_loop().time()
        door = _Door(proxy.listen(listener), who, place.act, loans, opening, at=now)
        self._doors[door.number] = door
        try:
            yield
        finally:
            del self._doors[door.number]
            door.over = True
            proxy.close_door(door.number)
            self._end_loans(door)

    def cut(self, agents: frozenset[bytes] | None) -> list[Exchange]:
        """End every connection of these agents (None: of all) now, and their doors; the exchanges that were open."""
        found = []
        for door in list(self._doors.values()):
            if agents is None or door.who.agent in agents:
                found += [exchange for exchange in self._open.values() if exchange.door is door]
                assert self._proxy is not None
                door.cut = True
                self._proxy.close_door(door.number)
        return found

    def cut_lease(self, lease: bytes) -> list[Exchange]:
        """End the connections that carry this lease's credential now; those that were open."""
        found = {number: exchange for number, exchange in self._open.items() if exchange.lease == lease}
        for number in found:
            assert self._proxy is not None
            self._proxy.cut(number)
        return list(found.values())

    def _end_loans(self, door: _Door) -> None:
        try:
            door.loans.end()
        except (QueenrightError, StoreRefused) as error:
            # They end with their time at the latest.
            self._log("egress.failed", event="loans", error=str(error))

    def counts(self) -> Counter[bytes]:
        """Open exchanges by agent."""
        return Counter(exchange.door.who.agent for exchange in self._open.values())

    def close(self) -> None:
        """Cut everything, record what ended, and end the thread."""
        self.cut(None)
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        if self._proxy is None:
            return
        asyncio.get_running_loop().remove_reader(self._proxy.fileno())
        self._proxy = None
        # Nobody sees how these end any more.
        for number in list(self._open):
            self._ended({**LOST, "id": number})

    # ---- the proxy ----

    def _started(self) -> EgressProxy:
        if self._proxy is None:
            self._proxy = EgressProxy()
            asyncio.get_running_loop().add_reader(self._proxy.fileno(), self._readable)
        return self._proxy

    def _readable(self) -> None:
        assert self._proxy is not None
        answers = {
            "asked": self._asked, "resolved": self._resolved, "ended": self._ended, "refused": self._unread
        }  # fmt: skip
        for event in self._proxy.take():
            try:
                answers[event["event"]](event)
            except (QueenrightError, StoreRefused) as error:
                self._failed(event, error)

    def _failed(self, event: Mapping[str, Any], error: QueenrightError | StoreRefused) -> None:
        """Nothing was done, or its record could not be written: the request goes no further."""
        self._log("egress.failed", event=event["event"], error=str(error))
        if self._proxy is not None and event["event"] in ("asked", "resolved"):
            code = error.code if isinstance(error, QueenrightError) else "conflict"
            self._proxy.refuse(event["id"], 503, answer_body(code, str(error)))

    # ---- events ----

    def _asked(self, event: Mapping[str, Any]) -> None:
        assert self._proxy is not None
        door = self._doors.get(event["door"])
        if door is None:
            self._proxy.refuse(event["id"], 403, answer_body("cut", "the command has ended"))
            return
        requests = self._requests()
        tunnel, opened = event["method"] == "CONNECT", requests.opened(event["host"], event["port"])
        request = request_of(door.who, door.command, event)
        if event["tls"]:
            secret = requests.credential_of(opened, event["method"], request.resource) if opened else ""
            request = with_args(request, credential=secret)
        self._open[event["id"]] = exchange = Exchange(door, request, opened if event["tls"] else None)
        self._check_later()
        try:
            if not event["tls"]:
                # Once for each connection.
                self._within(door, request)
            if (opened is not None) != event["tls"] and not tunnel:
                raise changed(request, opened)
            if tunnel and opened is not None:
                requests.may_open(request, opened)
                self._open_tls(event["id"], exchange, opened)
                return
            asks = requests.may(request)
        except Denied as denied:
            self._refuse(event["id"], door, request, denied)
            return
        self._proxy.resolve(event["id"], asks and event["has_body"])

    def _open_tls(self, number: int, exchange: Exchange, opened: Resource) -> None:
        """Have the proxy end a tunnel's TLS. It is asked about again once a request has come."""
        opening = exchange.door.opening
        assert self._proxy is not None
        assert opened.host is not None
        if opening is None:
            raise changed(exchange.request, opened)
        self._proxy.open(number, opening.authority, opened.host.header, opened.host.ca or None)
        del self._open[number]

    def _resolved(self, event: Mapping[str, Any]) -> None:
        assert self._proxy is not None
        exchange = self._open.get(event["id"])
        if exchange is None:
            return
        if event["body"] is not None:
            exchange.request = with_args(exchange.request, body=event["body"])
        try:
            begun = self._requests().begin(exchange.request, event["addresses"])
        except Denied as denied:
            self._refuse(event["id"], exchange.door, exchange.request, denied)
            return
        if isinstance(begun, AskOpened):
            ask = short("ask", begun.ask_id)
            message = f"a person must decide: {ask}; try again once it is approved"
            self._proxy.refuse(event["id"], 403, answer_body("ask_opened", message, ask=ask))
            return
        exchange.begun = begun
        self._go(event["id"], exchange)

    def _go(self, number: int, exchange: Exchange) -> None:
        """With the credential that its host has for it. What cannot be lent refuses the request, whose end is then recorded."""
        assert self._proxy is not None
        request, opened = exchange.request, exchange.opened
        if opened is None or not request.args["credential"]:
            self._proxy.go(number)
            return
        if self._requests().opened(request.args["host"], request.args["port"]) != opened:
            self._refuse(number, exchange.door, request, changed(request, opened))
            return
        try:
            loan = exchange.door.loans.lend(opened, request.verb, request.resource)
        except Denied as denied:
            self._refuse(number, exchange.door, request, denied)
            return
        exchange.lease = loan.lease
        self._proxy.go_with(number, loan.header, loan.value, list(loan.shapes))

    def _ended(self, event: Mapping[str, Any]) -> None:
        exchange = self._open.pop(event["id"], None)
        if exchange is None:
            return
        exchange.over.set()
        if exchange.begun is None:
            return
        if event["code"] == "cut" and exchange.door.over and not exchange.door.cut:
            event = {**event, "code": WITH_ITS_COMMAND}
        self._requests().ended(exchange.begun, event)

    def _unread(self, event: Mapping[str, Any]) -> None:
        """Something that was no request, or none that two readers read alike."""
        door = self._doors.get(event["door"])
        if door is None:
            return
        reason = event["reason"]
        self._requests().refused(
            *nameless(door.who, door.command, door.number, reason, reason), event["count"]
        )

    # ---- refusing ----

    def _within(self, door: _Door, request: EgressRequest) -> None:
        """Raise Denied for a command that connects faster than can be recorded."""
        now = asyncio.get_running_loop().time()
        door.allowance = min(BURST, door.allowance + (now - door.at) * PER_SECOND)
        door.at = now
        if door.allowance < 1:
            raise Denied(
                f"more than {PER_SECOND} connections a second",
                verb=request.verb,
                resource=request.resource,
                dimensions=(Dimension("rate", "egress", f"{PER_SECOND}/s after {BURST}"),),
                reason="egress_rate",
                hint="use fewer connections, or wait",
            )
        door.allowance -= 1

    def _refuse(self, number: int, door: _Door, request: EgressRequest, denied: Denied) -> None:
        assert self._proxy is not None
        status = 429 if denied.reason == "egress_rate" else 403
        code = denied.reason or "denied"
        self._proxy.refuse(number, status, answer_body(code, denied.message, hint=denied.hint))
        minute = self._clock.wall_ms() // _MINUTE_MS
        if door.minute != minute:
            door.minute = minute
            door.kinds.clear()
        kind = (request.verb, request.resource, code)
        if kind not in door.kinds and len(door.kinds) >= REFUSAL_KINDS:
            message, reason = denied.message, "more_refusals"
            request, denied = nameless(door.who, door.command, door.number, message, reason)
        door.kinds.add(kind)
        self._requests().refused(request, denied)

    # ---- what is open ----

    def _check_later(self) -> None:
        if self._checking is None:
            self._checking = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._checking = None
        assert self._proxy is not None
        for number, exchange in list(self._open.items()):
            if exchange.begun is None:
                continue
            ended = bool(exchange.lease) and not exchange.door.loans.live(exchange.lease)
            if ended or self._requests().live(exchange.begun):
                self._proxy.cut(number)
        if self._open:
            self._check_later()
