"""Every command has help with examples that parse, `--json`, and an exit code of the one list."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from queenright import errors
from queenright.cli import exit_codes, registry
from queenright.cli.app import NOUNS, load, root
from queenright.cli.run import Command, Run
from queenright.control.methods import METHODS

WORDS = [entry.words for entry in registry.COMMANDS]


def context(words: str) -> click.Context:
    parent = click.Context(root, info_name="queenright", obj=Run({}))
    for word in words.split()[:-1]:
        parent = click.Context(root.get_command(parent, word), info_name=word, parent=parent)
    return parent


@pytest.mark.parametrize("words", WORDS)
def test_every_command_has_help_with_an_example_and_json(words):
    command = load(words)
    assert command.name == words.split()[-1]
    text = command.get_help(click.Context(command, info_name=words, parent=context(words)))
    assert "Examples:" in text
    assert "--json" in text
    assert "--state" in text
    assert command.help
    assert all(example in re.sub(r"\s+", " ", text) for example in command.examples)


@pytest.mark.parametrize("words", WORDS)
def test_every_example_in_help_is_a_call_of_that_command_that_parses(words):
    command = load(words)
    assert command.examples
    for example in command.examples:
        typed = re.sub(r'^eval "\$\((.*)\)"$', r"\1", example)
        args = shlex.split(re.split(r" [<>|] | && ", typed)[0])
        assert args[: 1 + len(words.split())] == ["queenright", *words.split()], example
        command.make_context(words, args[1 + len(words.split()) :], parent=context(words))


def test_every_noun_and_every_word_of_the_design_is_there():
    designed = (
        "init up down unlock login logout tui demo doctor why undo can who-can logs paths try sign health"
    )
    assert set(designed.split()) <= set(registry.top())
    assert set(registry.nouns()) == set(NOUNS)
    wanted = {
        "intent": "new check explain sign apply show list revoke diff",
        "behaviour": "new add test list",
        "resource": "add check list show",
        "operator": "list add remove rotate",
        "ask": "list show approve narrow shorten deny export",
        "lease": "list revoke extend",
        "agent": "list show revoke freeze unfreeze pause resume stop logs",
        "swarm": "list stop",
        "secret": "set list remove",
        "ledger": "verify list show export checkpoint",
    }
    for noun, verbs in wanted.items():
        there = {entry.words.split()[1] for entry in registry.nouns()[noun]}
        assert set(verbs.split()) <= there, noun


def test_every_control_method_has_a_command():
    used = {method for entry in registry.COMMANDS for method in entry.methods}
    assert used <= set(METHODS)
    assert set(METHODS) - used == {"resolve"}  # every command that names a thing calls it


def test_registry_knows_no_command_twice():
    assert len(set(WORDS)) == len(WORDS)


def test_exit_codes_are_the_designs_and_are_in_the_help():
    assert exit_codes.MEANINGS == {
        0: "ok",
        1: "failed",
        2: "usage",
        3: "denied",
        4: "no answer in time",
        5: "no supervisor",
        6: "this machine lacks a needed feature",
        7: "locked",
        8: "verified but incomplete",
    }
    text = root.get_help(click.Context(root, info_name="queenright"))
    for code, meaning in exit_codes.MEANINGS.items():
        assert re.search(rf"^\s+{code}\s+{meaning}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Denied("no", verb="v", resource="r"), 3),
        (errors.NotEntitled("no"), 3),
        (errors.InvalidSignature("no"), 3),
        (errors.TimedOut("late"), 4),
        (errors.AskExpired("late"), 4),
        (errors.NoSupervisor("none"), 5),
        (errors.SandboxRefused("none", step="landlock"), 6),
        (errors.Locked("locked"), 7),
        (errors.Malformed("bad"), 1),
        (errors.Conflict("second"), 1),
    ],
)
def test_each_refusal_ends_in_its_exit_code(error, code):
    assert exit_codes.of(error) == code


def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "queenright", *args],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "QUEENRIGHT_CONFIG": "/nonexistent"} | environ,
    )


def test_program_without_a_supervisor_says_so_on_stderr_and_ends_with_5(tmp_path):
    done = run("agent", "list", "--state", str(tmp_path / "s"))
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("queenright: no supervisor answers at ")
    assert "\nhint: start it: `queenright up`\n" in done.stderr


def test_unknown_words_end_with_2_and_help_with_0():
    assert run("fly").returncode == 2
    assert run("agent", "fly").returncode == 2
    assert run("agent", "show").returncode == 2
    assert run("--help").returncode == 0
    assert run("--version").stdout.startswith("queenright ")


def test_state_directory_too_long_for_a_socket_is_refused_with_the_way_out():
    done = run("paths", QUEENRIGHT_STATE="/tmp/" + "x" * 120)
    assert done.returncode == 1
    assert "hint: choose a shorter state directory" in done.stderr


def test_output_is_plain_text_with_no_color(tmp_path):
    done = run("paths", "--state", str(tmp_path), NO_COLOR="1")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed_for_each_shell(shell):
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_QUEENRIGHT_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"), [("queenright a", "plain,agent"), ("queenright agent fr", "plain,freeze")]
)
def test_completion_offers_words_without_loading_any_command(words, offered):
    program = (
        "import sys; from queenright.cli.app import run_command_line\n"
        "try: run_command_line([])\n"
        "except SystemExit: print('queenright.cli.agent' in sys.modules, 'queenright.cli.ask' in sys.modules)\n"
    )
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin", "_QUEENRIGHT_COMPLETE": "bash_complete"} | typed,
    )
    assert offered in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "False False"


def test_reader_that_has_had_enough_is_no_error(tmp_path):
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m queenright completion bash | true"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""


def test_reference_page_is_what_the_commands_say():
    """`scripts/reference.py` writes docs/reference/cli.md; this fails when a command changed since."""
    here = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, str(here / "scripts" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_command_class_holds_its_examples():
    assert isinstance(load("health"), Command)
