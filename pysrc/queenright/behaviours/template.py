"""`queenright behaviour new`: a package that runs, with its test."""

from __future__ import annotations

from pathlib import Path

from queenright.behaviours.manifest import FILE, Manifest
from queenright.errors import Conflict, Malformed

__all__ = ["new"]

_MANIFEST = """\
name = "{name}"
version = "0.1.0"
classes = ["{cls}"]
messages = ["Greet"]
"""

_MODULE = '''\
"""{cls}: greets whoever asks, and counts."""

from dataclasses import dataclass

from queenright.agent import Agent, Context, Message, handles


class Greet(Message):
    name: str


class Greeting(Message):
    text: str


@dataclass
class Memory:
    greeted: int = 0


class {cls}(Agent):
    state: Memory  # the only thing that outlives a turn

    async def on_start(self, ctx: Context) -> None:
        ctx.log(f"{{ctx.self.name}} is here")

    @handles
    async def greet(self, ctx: Context, message: Greet) -> Greeting:
        self.state.greeted += 1
        return Greeting(f"hello {{message.name}}, you are number {{self.state.greeted}}")
'''

_TEST = '''\
"""The behaviour without a supervisor: `queenright behaviour test .`"""

from {name} import {cls}, Greet, Greeting

from queenright.testing import Harness


def test_everybody_is_greeted_and_counted(harness: Harness) -> None:
    agent = harness.start({cls})
    assert harness.call(agent, Greet("ada")) == Greeting("hello ada, you are number 1")
    assert harness.call(agent, Greet("grace")) == Greeting("hello grace, you are number 2")
    assert harness.state(agent).greeted == 2
'''


def new(path: Path | str, name: str) -> list[Path]:
    """Make a package `name` in the new or empty directory `path`; the files made. Raises Malformed, Conflict."""
    path = Path(path)
    cls = "".join(part.capitalize() for part in name.split("_"))
    texts = {FILE: _MANIFEST, f"{name}.py": _MODULE, f"test_{name}.py": _TEST}
    files = {file: text.format(name=name, cls=cls) for file, text in texts.items()}
    Manifest.of_files(
        {file: text.encode() for file, text in files.items()}
    )  # refuses a name that cannot be one
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Conflict(
            f"`{path}` exists and is not an empty directory", hint="choose another name or directory"
        )
    if name.startswith("test_"):
        raise Malformed(f"`{name}` would be taken for a test")
    path.mkdir(parents=True, exist_ok=True)
    made = []
    for file, text in files.items():
        made.append(path / file)
        made[-1].write_text(text)
    return made
