"""SCRATCH: replaced when the engine lands."""

from __future__ import annotations
from dataclasses import dataclass
from typing import Any
from queenright.actions.act import ActRequest, Failed


@dataclass
class Card:
    effect: str = ""
    diff: str = ""
    undo: str = ""


class Engine:
    async def perform(self, act):
        return Failed("no_engine", "no engine yet")


class Acting:
    def __init__(self, rt: Any) -> None:
        self._rt = rt
        self.engine = Engine()
        self.undo: Any = None

    def request(self, agent, turn, ordinal, request):
        cell = self._rt.cells.of(agent)
        return ActRequest(
            agent.id,
            agent.name,
            agent.incarnation,
            agent.cell or "",
            cell.shared if cell else False,
            agent.intent,
            agent.id,
            turn,
            ordinal,
            request["verb"],
            request["resource"],
            request["args"],
            request["reason"],
        )

    def card(self, ask):
        return Card()

    def irreversible(self, verb):
        return False

    def rows(self, agent):
        return []

    def acts(self):
        return []

    def recover(self):
        pass

    async def close(self):
        pass
