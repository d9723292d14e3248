"""One registry: a key has one meaning, a command has a twin, and nothing in the key bar is dead."""

from __future__ import annotations

import importlib

import click
import pytest
from desk import desk

from queenright.cli.registry import COMMANDS
from queenright.errors import Conflict, Malformed
from queenright_tui.commands import EVERYWHERE, PLACES, REGISTRY, Command, Registry


def command(name: str, key: str, **more: object) -> Command:
    return Command(
        name, key, "does", more.get("places", frozenset({"swarm"})), more.get("twin", "queenright x")
    )  # type: ignore[arg-type]


def test_a_key_never_has_two_meanings_even_in_two_places() -> None:
    registry = Registry([command("revoke", "r")])
    with pytest.raises(Conflict, match=r"key `r` means `revoke` and cannot also mean `rotate`"):
        registry.add(command("rotate", "r", places=frozenset({"inbox"})))


def test_a_name_is_taken_once() -> None:
    registry = Registry([command("revoke", "r")])
    with pytest.raises(Conflict, match="exists"):
        registry.add(command("revoke", "x"))


def test_a_command_names_a_real_place_and_its_twin() -> None:
    with pytest.raises(Malformed, match="no place that exists"):
        Registry([command("x", "x", places=frozenset({"incident"}))])
    with pytest.raises(Malformed, match="no CLI twin"):
        Registry([command("x", "x", twin="")])


def test_a_key_means_nothing_where_its_command_is_not() -> None:
    assert REGISTRY.find("a", "inbox") is REGISTRY.named("approve")
    for place in ("swarm", "agent", "ledger", "stop"):
        assert REGISTRY.find("a", place) is None


def test_no_digit_leads_to_a_screen_that_does_not_exist() -> None:
    digits = {c.key: c.name for c in REGISTRY if c.key.isdigit()}
    assert digits == {"1": "swarm", "2": "inbox", "3": "agent", "4": "ledger"}


def test_nothing_that_gives_has_a_priority_chord_and_nothing_that_takes_needs_arming() -> None:
    for each in REGISTRY:
        if each.gives:
            assert not each.key.startswith("ctrl"), each.name
        if each.name in (
            "deny",
            "revoke",
            "pause",
            "freeze",
            "stop",
            "stop-all",
            "stop-swarm",
            "stop-pause",
            "stop-revoke",
        ):
            assert not each.gives


async def test_every_command_of_every_place_is_carried_out_by_something() -> None:
    async with desk() as at:
        for place in PLACES:
            screen = at.app.places[place]
            for each in REGISTRY.of(place):
                method = f"do_{each.name.replace('-', '_')}"
                assert hasattr(screen, method) or hasattr(at.app, method), f"{each.name} in {place}"


async def test_the_overlay_names_every_key_of_its_place_and_what_is_not_built() -> None:
    async with desk((120, 36)) as at:
        for place, key in (("swarm", "1"), ("inbox", "2"), ("ledger", "4")):
            await at.press(key, "?")
            panel = at.app.screen.query_one("#keys")
            words = panel.text()  # type: ignore[attr-defined]
            for each in REGISTRY.of(place):
                assert (each.key_text or f":{each.name}") in words
                assert each.does in words
                if each.twin != "-":
                    assert each.twin in words
            assert "Not built yet: the intent, incident, authority and replay screens" in words
            await at.press("escape")
            assert at.app.place is at.app.places[place]


async def test_the_command_line_runs_by_name_and_completes() -> None:
    async with desk() as at:
        await at.press(":")
        await at.type("led")
        assert "ledger" in at.text().splitlines()[-2]
        await at.press("enter")
        assert at.app.place is at.ledger
        await at.press(":")
        await at.type("approve")
        await at.press("enter")
        assert "`approve` is no command here" in at.text()
        assert not at.called("approve")


def test_everywhere_means_every_place() -> None:
    assert frozenset(PLACES) == EVERYWHERE


def test_every_twin_is_a_command_that_exists_with_the_options_it_names() -> None:
    for each in REGISTRY:
        words = each.twin.split()
        if each.twin in ("-", "queenright --help") or words[0] != "queenright":
            continue
        known = {entry.words: entry for entry in COMMANDS}
        entry = known.get(" ".join(words[1:3])) or known.get(words[1])
        assert entry is not None, each.twin
        module = importlib.import_module(entry.module)
        name = entry.words.split()[-1]
        found = [c for c in vars(module).values() if isinstance(c, click.Command) and c.name == name]
        options = {option for command in found for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("--"):
                assert word in options, f"{each.twin}: {sorted(options)}"
