"""The feed over `control.async_client`: one connection, dialled again for ever, and everything that is signed.

Bytes that are signed are computed here, in the operator's process, from what was drawn; the runtime is never
asked what to sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Literal

from queenright.clock import Clock
from queenright.control.async_client import AsyncClient
from queenright.control.operator_key import Signer
from queenright.control.protocol import (
    AgentDetail,
    Decided,
    Done,
    LedgerPage,
    LogPage,
    UndoPreview,
    UndoResult,
    Why,
)
from queenright.errors import NoSupervisor, NotEntitled, QueenrightError
from queenright_tui.ask_bytes import open_ask, undo_digest
from queenright_tui.feed import (
    Approval,
    Changed,
    Heard,
    LinkDown,
    LinkUp,
    Listed,
    Listing,
    MakeVerdict,
    OpenAsk,
    Rows,
    Verified,
    VerifyLedger,
)

__all__ = ["ClientFactory", "ClientFeed"]

ClientFactory = Callable[[], Awaitable[AsyncClient]]
"""A connected client that has proved the operator's key."""

VERDICT_NAMESPACE: Final = "approve@queenright.v1"
TOPICS: Final = ("agents", "asks", "ledger", "status", "incidents")
NEEDED: Final = frozenset(
    {"verb", "resource", "args", "risk", "answer_by", "not_after", "agent", "intent", "revision"}
)
PAGE: Final = 500
LEAVES: Final = 500  # newest entries listed on attaching
LOG_LINES: Final = 500
FIRST_DELAY_S: Final = 0.2
LAST_DELAY_S: Final = 2.0
INTENTS_EVERY_MS: Final = 2_000  # intents have no events of their own


class ClientFeed:
    """A `Feed`. `sleep` is handed in so that a test need not wait between tries."""

    def __init__(
        self,
        factory: ClientFactory,
        clock: Clock,
        *,
        make_verdict: MakeVerdict,
        verify_ledger: VerifyLedger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._factory = factory
        self._make_verdict = make_verdict
        self._verify_ledger = verify_ledger
        self._distance = "none"
        self._clock = clock
        self._sleep = sleep
        self._client: AsyncClient | None = None
        self._log: str | None = None
        self._watching: asyncio.Task[None] | None = None
        self._intents_ms = 0

    # --- hearing ---

    async def events(self) -> AsyncIterator[Heard]:
        """Everything, from the first listing on; ends never. Raises NotEntitled when this key is not let in."""
        delay = FIRST_DELAY_S
        while True:
            try:
                client = await self._connected()
                whoami = await client.call("whoami")
                self._distance = whoami["distance"]
                yield LinkUp(whoami, await client.call("status"))
                delay = FIRST_DELAY_S
                await client.watch(self._topics())
                for topic in ("intents", "agents", "asks", "ledger"):
                    async for heard in self._list(client, topic):
                        yield heard
                async for event in client.events():
                    async for heard in self._heard(client, event["topic"], event["data"]):
                        yield heard
                yield LinkDown("the connection is lost; trying again")
            except NotEntitled:
                raise
            except QueenrightError as error:
                yield LinkDown(f"{error.message}; trying again")
            await self._sleep(delay)
            delay = min(2 * delay, LAST_DELAY_S)

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            self._client = await self._factory()
        elif not self._client.connected:
            await self._client.reconnect(0)
        return self._client

    async def _heard(self, client: AsyncClient, topic: str, data: Any) -> AsyncIterator[Heard]:
        if topic == "resync":
            for lost in data["topics"]:
                if lost in ("agents", "asks", "ledger"):
                    async for heard in self._list(client, lost):
                        yield heard
            return
        yield Changed(topic, data)
        now = self._clock.boot_ms()
        if topic == "status" and now - self._intents_ms >= INTENTS_EVERY_MS:
            async for heard in self._list(client, "intents"):
                yield heard

    async def _list(self, client: AsyncClient, topic: str) -> AsyncIterator[Heard]:
        yield Listing(topic)  # type: ignore[arg-type]
        if topic == "intents":
            self._intents_ms = self._clock.boot_ms()
            yield Rows("intents", await client.call("intents"))
        elif topic == "ledger":
            yield Rows("ledger", (await client.call("ledger", limit=LEAVES, newest=True))["rows"])
        else:
            after: str | None = None
            while True:
                state = "open" if topic == "asks" else None
                page = await client.call(
                    topic, after=after, limit=PAGE, **({"state": state} if state else {})
                )
                yield Rows(topic, page["rows"])  # type: ignore[arg-type]
                after = page["next"]
                if after is None:
                    break
        yield Listed(topic)  # type: ignore[arg-type]

    def _topics(self) -> list[str]:
        return [*TOPICS, *([f"log:{self._log}"] if self._log is not None else [])]

    def watch_log(self, agent: str | None) -> None:
        if agent == self._log:
            return
        self._log = agent
        client = self._client
        if client is not None and client.connected:
            self._watching = asyncio.ensure_future(self._rewatch(client))

    async def _rewatch(self, client: AsyncClient) -> None:
        try:
            await client.watch(self._topics())
        except NoSupervisor:
            return  # reconnecting watches again, with the log in its list

    # --- calls ---

    async def _call(self, method: str, **params: Any) -> Any:
        return await self._live().call(method, **params)

    def _live(self) -> AsyncClient:
        if self._client is None or not self._client.connected:
            raise NoSupervisor(
                "not connected", hint="it reconnects by itself; `queenright health` from a shell"
            )
        return self._client

    async def ask(self, ask: str) -> OpenAsk:
        return open_ask(await self._call("ask", ask=ask))

    async def agent(self, agent: str) -> AgentDetail:
        detail: AgentDetail = await self._call("agent", agent=agent)
        return detail

    async def agent_log(self, agent: str) -> LogPage:
        page: LogPage = await self._call("agent_log", agent=agent, limit=LOG_LINES)
        return page

    async def ledger(self, query: str, after: int | None = None) -> LedgerPage:
        page: LedgerPage = await self._call("ledger", query=query, after=after, limit=PAGE, newest=True)
        return page

    async def why(self, target: str) -> Why:
        why: Why = await self._call("why", id=target)
        return why

    async def verify(self) -> Verified:
        return await self._verify_ledger(self._live())

    async def take(
        self, method: Literal["revoke", "pause", "freeze", "stop"], target: str, reason: str
    ) -> Done:
        done: Done = await self._call(method, target=target, reason=reason or None)
        return done

    async def deny(self, ask: str, reason: str) -> Decided:
        decided: Decided = await self._call("ask_deny", ask=ask, reason=reason)
        return decided

    async def approve(self, approval: Approval) -> Decided:
        client = self._live()
        signer = client.signer
        if signer is None:
            raise NotEntitled("no key is armed", hint="A arms")
        held = f"{self._distance} same-user" if approval.same_user else self._distance
        verdict = self._make_verdict(approval, held)
        # A signature may wait for a touch: not on the event loop.
        signature = await asyncio.to_thread(signer.sign, VERDICT_NAMESPACE, verdict)
        decided: Decided = await client.call("ask_decide", verdict=verdict, signature=signature)
        return decided

    async def give(self, method: Literal["resume", "unfreeze"], target: str) -> Done:
        done: Done = await self._call(method, target=target)
        return done

    async def undo_preview(self, target: str) -> UndoPreview:
        preview: UndoPreview = await self._call("undo_preview", target=target)
        return preview

    async def undo(self, preview: UndoPreview) -> UndoResult:
        result: UndoResult = await self._call("undo", target=preview["target"], preview=undo_digest(preview))
        return result

    def arm(self, signer: Signer) -> None:
        if self._client is None:
            signer.close()
            raise NoSupervisor("not connected: there is nobody to give anything")
        self._client.arm(signer)

    def disarm(self) -> None:
        if self._client is not None:
            self._client.disarm()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
