"""Every command of the terminal: its name, key, places and CLI twin. Keys, `?` and `:` are all read from here.

A key means one thing on every screen. The registry refuses a second meaning, and a command without a twin, so
that nothing can be done here that a script or a screen reader cannot do too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from queenright.errors import Conflict, Malformed

__all__ = ["EVERYWHERE", "PLACES", "REGISTRY", "Command", "Registry"]

PLACES: Final = ("swarm", "inbox", "agent", "ledger", "stop")
EVERYWHERE: Final = frozenset(PLACES)
NO_TWIN: Final = "-"  # a matter of this screen alone: moving, sorting, folding


@dataclass(frozen=True, slots=True)
class Command:
    """`key` as Textual gives it (its character if it has one); "" is reachable by `:` alone. `gives`: needs ARMED."""

    name: str
    key: str
    does: str
    places: frozenset[str]
    twin: str
    gives: bool = False
    shown: str = ""
    """How the key bar and `?` write the key, if not as `key`."""

    @property
    def key_text(self) -> str:
        return self.shown or self.key


class Registry:
    """Commands in the order they were added. `key_for` and `find` are what the screens use."""

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        self._by_name: dict[str, Command] = {}
        self._by_key: dict[str, Command] = {}
        for command in commands:
            self.add(command)

    def add(self, command: Command) -> None:
        """Raises Conflict on a name or a key that is taken, Malformed on an unknown place or a missing twin."""
        if command.name in self._by_name:
            raise Conflict(f"command `{command.name}` exists")
        odd = command.places - EVERYWHERE
        if odd or not command.places:
            raise Malformed(f"command `{command.name}` names no place that exists: {sorted(odd)}")
        if not command.twin:
            raise Malformed(
                f"command `{command.name}` has no CLI twin", hint="name it, or `-` for a screen matter"
            )
        if command.key:
            taken = self._by_key.get(command.key)
            if taken is not None:
                raise Conflict(
                    f"key `{command.key}` means `{taken.name}` and cannot also mean `{command.name}`",
                    hint="a letter has one meaning on every screen",
                )
            self._by_key[command.key] = command
        self._by_name[command.name] = command

    def find(self, key: str, place: str) -> Command | None:
        """The command that `key` means in `place`."""
        command = self._by_key.get(key)
        return command if command is not None and place in command.places else None

    def named(self, name: str) -> Command | None:
        return self._by_name.get(name)

    def of(self, place: str) -> list[Command]:
        """All commands of a place, its own before those that are everywhere."""
        mine = [c for c in self if place in c.places and c.places != EVERYWHERE]
        return mine + [c for c in self if c.places == EVERYWHERE]

    def __iter__(self) -> Iterator[Command]:
        return iter(self._by_name.values())


def _at(*places: str) -> frozenset[str]:
    return frozenset(places)


REGISTRY: Final = Registry(
    [
        Command("open", "enter", "open", _at("swarm", "inbox", "agent", "ledger"), NO_TWIN),
        # the request
        Command("approve", "a", "approve", _at("inbox"), "queenright ask approve ASK", gives=True),
        Command(
            "narrow",
            "n",
            "narrow",
            _at("inbox"),
            "queenright ask narrow ASK --drop ITEM",
            gives=True,
        ),
        Command("shorten", "e", "shorten", _at("inbox"), "queenright ask shorten ASK --for 5m", gives=True),
        Command("deny", "d", "deny+why", _at("inbox"), "queenright ask deny ASK --reason TEXT"),
        Command("diff", "=", "whole diff", _at("inbox"), "queenright ask show ASK"),
        # agents
        Command("filter", "/", "filter", _at("swarm", "inbox", "ledger"), "queenright agent list"),
        Command("sort", "s", "sort", _at("swarm"), NO_TWIN),
        Command("tree", "t", "tree/flat", _at("swarm"), NO_TWIN),
        Command("log", "l", "log", _at("swarm", "agent"), "queenright logs AGENT"),
        Command("actions", "o", "actions", _at("agent"), "queenright agent show AGENT"),
        Command("revoke", "r", "revoke", _at("swarm", "inbox", "agent"), "queenright agent revoke AGENT"),
        Command("pause", "p", "pause", _at("swarm", "agent"), "queenright agent pause AGENT"),
        Command("freeze", "f", "freeze", _at("swarm", "agent"), "queenright agent freeze AGENT"),
        Command("undo", "u", "undo act", _at("agent"), "queenright undo ACTION", gives=True),
        Command(
            "resume",
            "",
            "resume (paused)",
            _at("swarm", "agent"),
            "queenright agent resume AGENT",
            gives=True,
        ),
        Command(
            "unfreeze", "", "unfreeze", _at("swarm", "agent"), "queenright agent unfreeze AGENT", gives=True
        ),
        # the ledger
        Command("verify", "V", "verify", _at("ledger"), "queenright ledger verify"),
        Command("why", "W", "why", _at("ledger", "agent"), "queenright why ID"),
        # everywhere
        Command("swarm", "1", "Swarm", EVERYWHERE, "queenright agent list"),
        Command("inbox", "2", "Inbox", EVERYWHERE, "queenright ask list"),
        Command("agent", "3", "Agent", EVERYWHERE, "queenright agent show AGENT"),
        Command("ledger", "4", "Ledger", EVERYWHERE, "queenright ledger list"),
        Command("stop", "!", "stop...", EVERYWHERE, "queenright swarm stop SWARM"),
        Command("arm", "A", "arm/disarm", EVERYWHERE, "--key PATH on a command"),
        Command("hold", "h", "hold order", _at("swarm", "inbox", "ledger"), NO_TWIN),
        Command("next-pane", "tab", "pane", EVERYWHERE, NO_TWIN),
        Command("previous-item", "[", "previous", _at("inbox", "agent"), NO_TWIN),
        Command("next-item", "]", "next", _at("inbox", "agent"), NO_TWIN),
        Command("up", "escape", "up", EVERYWHERE, NO_TWIN, shown="esc"),
        Command("back", "-", "last view", EVERYWHERE, NO_TWIN),
        Command("copy", "y", "copy id", EVERYWHERE, NO_TWIN),
        Command("export", "w", "export screen", EVERYWHERE, "queenright tui --screenshot FILE"),
        Command("mouse", "m", "mouse on/off", EVERYWHERE, NO_TWIN),
        Command("command", ":", "command", EVERYWHERE, NO_TWIN),
        Command("keys", "?", "keys", EVERYWHERE, "queenright --help"),
        Command("detach", "q", "detach", EVERYWHERE, NO_TWIN),
        # the stop panel: chords after `!`, so they share no letter with anything
        Command(
            "stop-pause", "! p", "pause selection", _at("stop"), "queenright agent pause AGENT", shown="!p"
        ),
        Command(
            "stop-revoke", "! r", "revoke selection", _at("stop"), "queenright agent revoke AGENT", shown="!r"
        ),
        Command("stop-swarm", "! s", "stop swarm", _at("stop"), "queenright swarm stop SWARM", shown="!s"),
        Command("stop-all", "! a", "stop everything", _at("stop"), "queenright swarm stop all", shown="!a"),
    ]
)
