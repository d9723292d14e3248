"""Which shared cell an agent goes to: its parent's while there is room, and no more cells than cores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from queenright.supervisor import cells as cells_module
from queenright.supervisor.cells import SHARED_AGENTS, SHARED_BYTES, Cells

PACKAGE, INTENT, AGENT = b"p" * 32, b"i" * 32, b"g" * 32


class Cell(SimpleNamespace):
    def __init__(self, id: str, agents: int, **other: Any) -> None:
        fields = {
            "shared": True,
            "begun": True,
            "state": "ready",
            "reason": "",
            "intent": INTENT,
            "packages": (PACKAGE,),
            "given": 0,
            "left": set(),
        }
        super().__init__(id=id, agents=range(agents), **(fields | other))

    def has_room(self, agents: int, given_bytes: int) -> bool:
        return len(self.agents) < agents and self.given < given_bytes


def place(
    monkeypatch: pytest.MonkeyPatch, *cells: Cell, parent_in: str | None = None, cores: int = 4
) -> str | None:
    parent = SimpleNamespace(cell=parent_in)
    runtime: Any = SimpleNamespace(agents=SimpleNamespace(find=lambda agent: parent), own_cells=1)
    monkeypatch.setattr(cells_module, "SHARED_CELLS", cores)
    for part in ("CellStarter", "OwnCells", "CellFrames"):
        monkeypatch.setattr(cells_module, part, lambda *parts: None)
    placing = Cells(runtime)
    placing._cells = {cell.id: cell for cell in cells}  # type: ignore[misc]
    agent: Any = SimpleNamespace(id=AGENT, parent=b"a" * 32, intent=INTENT, package=PACKAGE)
    found = placing._shared(agent)
    return found.id if found is not None else None


def test_a_child_goes_to_its_parents_cell_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(monkeypatch, Cell("a", 1), Cell("b", 400), parent_in="b") == "b"
    assert place(monkeypatch, Cell("a", 1), Cell("b", SHARED_AGENTS), parent_in="b") == "a"
    assert place(monkeypatch, Cell("a", 1), Cell("b", 2, given=SHARED_BYTES), parent_in="b") == "a"


def test_nobody_goes_back_into_a_cell_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its incarnation's number is the cell's, and no two lives have one number."""
    assert place(monkeypatch, Cell("a", 1, left={AGENT}), Cell("b", 4), parent_in="a") == "b"
    assert place(monkeypatch, Cell("a", 1, left={AGENT}), parent_in="a", cores=1) is None


def test_an_orphan_goes_to_the_emptiest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(monkeypatch, Cell("a", 5), Cell("b", 4)) == "b"


def test_full_cells_make_another_start_until_there_are_as_many_as_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = [Cell("a", SHARED_AGENTS + 1), Cell("b", SHARED_AGENTS)]
    assert place(monkeypatch, *full, cores=3) is None
    assert place(monkeypatch, *full, cores=2) == "b"


@pytest.mark.parametrize(
    "other",
    [
        {"intent": b"x" * 32},
        {"packages": (b"x" * 32,)},
        {"shared": False},
        {"state": "ended"},
        {"reason": "killed"},
        {"begun": False},  # nothing may be sent to it yet: whoever is placed in it now would wait for ever
    ],
)
def test_a_cell_of_another_intent_package_or_kind_is_never_taken(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    assert place(monkeypatch, Cell("a", 0, **other), parent_in="a", cores=1) is None
