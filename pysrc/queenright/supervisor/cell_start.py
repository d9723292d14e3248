"""Where a cell's process comes from: out of the pool, or started for it; with its package as a bundle, or mounted."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from queenright.behaviours.limits import CellLimits
from queenright.behaviours.packages import Package
from queenright.supervisor.bundles import Bundles
from queenright.supervisor.empty_cell import EmptyCell
from queenright.supervisor.pool import Pool
from queenright.supervisor.sandbox_spec import BEHAVIOURS, CELL_LIMITS, Limits, cell_spec
from queenright.supervisor.slots import Slots
from queenright.wire.link import Start

if TYPE_CHECKING:
    from queenright.supervisor.cell_process import CellProcess
    from queenright.supervisor.runtime import Runtime

__all__ = ["CellStarter", "cell_limits", "cold_reason"]

START_LIMIT = 4  # sandboxes being made at once, on any machine, the pool's among them
_MIB = 1024 * 1024


class CellStarter:
    """Makes processes for cells. Only own cells come from the pool: a shared one is started once for many agents."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._slots = Slots(rt.store, rt.commit)
        self._bundles = Bundles(rt.packages)
        self._at_once = asyncio.Semaphore(START_LIMIT)
        self.pool = Pool(self._empty, rt.clock, rt.alarms, rt.log)

    async def process(self, package: Package, shared: bool) -> EmptyCell:
        """A process that can run the package, nobody's yet. Raises SandboxRefused, Unknown, Conflict for an altered package."""
        limits = cell_limits(package.limits)
        if shared or package.mount:
            # Hashed again before it is mounted.
            path = self._rt.packages.verified(package.digest).path
            spec = cell_spec(
                packages={package.digest.hex(): path},
                slot=self._slots.take(),
                limits=limits,
                in_place=self._rt.launcher.in_place,
            )
            async with self._at_once:
                return await EmptyCell.start(self._rt.launcher, spec)
        self._bundles.get(package)  # refused, if it is, before a process is spent on it
        pooled = self.pool.take() if limits == CELL_LIMITS else None
        if pooled is not None:
            return pooled
        spec = cell_spec(
            packages={}, slot=self._slots.take(), limits=limits, in_place=self._rt.launcher.in_place
        )
        async with self._at_once:
            return await EmptyCell.start(self._rt.launcher, spec)

    async def _empty(self) -> EmptyCell:
        """For the pool: an empty cell that is up."""
        spec = cell_spec(
            packages={}, slot=self._slots.take(), limits=CELL_LIMITS, in_place=self._rt.launcher.in_place
        )
        async with self._at_once:
            empty = await EmptyCell.start(self._rt.launcher, spec)
            try:
                await empty.until_up()
            except BaseException:
                empty.discard()
                raise
            return empty

    def begin(self, cell: CellProcess, empty: EmptyCell, package: Package) -> None:
        """Say to the process which cell it is, and give it its package. Raises SandboxRefused if it has ended."""
        bundle = not (cell.shared or package.mount)
        path = f"{BEHAVIOURS}/{package.digest.hex()}"
        if self._rt.launcher.in_place and not bundle:
            path = os.path.realpath(package.path)
        frame = Start(
            cell=cell.id,
            number=cell.number,
            shared=cell.shared,
            runtime_key=self._rt.identity.runtime_key,
            nonce=cell.nonce,
            packages=[
                {
                    "name": package.name,
                    "digest": package.digest,
                    "path": path,
                    "classes": list(package.classes),
                    "bundle": bundle,
                }
            ],
            turn_ms=1000 * package.limits.turn_s,
            now_ms=self._rt.clock.wall_ms(),
        )
        empty.begin(frame, [self._bundles.get(package)] if bundle else [])

    async def close(self) -> None:
        await self.pool.close()
        self._bundles.close()


def cold_reason(package: Package) -> str:
    """Why a cell for this package alone is never one of the pool's, or ""."""
    if package.mount:
        return package.mount
    return "" if cell_limits(package.limits) == CELL_LIMITS else "limits of its own"


def cell_limits(asked: CellLimits) -> Limits:
    """What a package's manifest says, as bounds of its cells' sandboxes."""
    return replace(
        CELL_LIMITS,
        memory_bytes=asked.memory_mib * _MIB,
        processes=asked.processes,
        open_files=asked.open_files,
        file_bytes=asked.file_mib * _MIB,
    )
