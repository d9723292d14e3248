"""What the terminal is given so that it need not know the authority and ledger rooms: verdicts made, the ledger verified."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from queenright.authority.verdict import make_verdict
from queenright.control.client import AsyncClient
from queenright.control.ledger_copy import Memory, copying, drive_async
from queenright.errors import LedgerBroken
from queenright.ledger.verify import verify_directory

if TYPE_CHECKING:
    from queenright_tui.feed import Approval, Verified

__all__ = ["verdict_bytes", "verifier"]


def verdict_bytes(approval: Approval, factor: str) -> bytes:
    """The canonical verdict of what stood on screen. Raises Malformed."""
    detail = approval.ask.detail
    members = list(zip(detail["members"], detail["reasons"], strict=True))
    verdict = make_verdict(
        approval.ask.body["runtime"],
        members,
        approval.kind,
        rand=os.urandom,
        not_after=approval.not_after_ms,
        args=approval.args,
        max_uses=approval.max_uses,
        factor=factor,
    )
    return verdict.encode()


def verifier(memory: Memory) -> Callable[[AsyncClient], Awaitable[Verified]]:
    """Fetch the whole ledger and check it here, against the last checkpoint that this client saw before."""

    async def verify(client: AsyncClient) -> Verified:
        from queenright_tui.feed import Verified

        runtime = client.hello.runtime
        before = memory.last(runtime)
        try:
            await drive_async(client, memory.checking(runtime))
        except LedgerBroken as broken:
            return Verified(False, True, 0, b"", broken.message)
        with tempfile.TemporaryDirectory(prefix="qr-verify-") as name:
            copy = Path(name) / "copy"
            told = await drive_async(client, copying(copy))
            # What was fetched a moment ago from the same supervisor shows no cut tail; what was seen before may.
            line, note = (told, None) if before is None else (before.vkey, before.note.encode())
            keys = await _operator_keys(client)
            report = await asyncio.to_thread(verify_directory, copy, line, note, keys)
        ok = report.exit_code != 1
        words = report.lines()[-1] if ok else str(report.broken[0])
        if report.not_checked:
            words = f"{words}: {report.not_checked[0]}" if ok else words
        return Verified(ok, ok and not report.not_checked, report.size, report.root, words)

    return verify


async def _operator_keys(client: AsyncClient) -> list[str]:
    from queenright.authority.operators import Operators

    document = (await client.call("operators"))["document"]
    return [line for person in Operators.decode(document).people for line in person.keys]
