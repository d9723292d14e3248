"""`behaviour.toml`: what a package says it holds. The supervisor trusts this and nothing the code says.

name = "sre"                      # the module's name too
version = "1.0.0"
classes = ["Watcher", "Remedy"]
cell = "shared"                   # or "own"; the default of every class
messages = ["Look", "Found"]      # optional: the message types others may send
actions = ["metrics.read"]        # optional: the verbs it may ask for, shown when an intent is written

[class.Remedy]                    # optional, for what differs
cell = "own"
on_failure = "stop"               # "continue" (default), "stop" or "escalate"
capabilities = ["restart"]
on_start = false                  # true (default): its first turn is `on_start`; a class without one sleeps from its birth

[limits]                          # optional: of each of its cells; `limits.py` has the defaults and the bounds
memory_mib = 128
processes = 8
open_files = 64
file_mib = 4
turn_s = 5                        # how long a handler may hold the interpreter
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from queenright.behaviours.limits import BOUNDS, DEFAULT, CellLimits
from queenright.errors import Malformed

__all__ = ["FILE", "BehaviourClass", "Manifest"]

FILE = "behaviour.toml"
MAX_TEXT = 64 * 1024
MAX_LIST = 200
CELLS = ("shared", "own")
ON_FAILURE = ("continue", "stop", "escalate")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}\Z")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,3}[A-Za-z0-9.+-]{0,24}\Z")
_VERB = re.compile(r"[a-z][a-z0-9_]*(\.[a-z*][a-z0-9_]*)*\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class BehaviourClass:
    """What the manifest says of one class."""

    name: str
    cell: str = "shared"
    on_failure: str = "continue"
    capabilities: frozenset[str] = frozenset()
    on_start: bool = True
    """Whether it has a first turn to run. A cell whose class has one where this says no is ended."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked `behaviour.toml`."""

    name: str
    version: str
    classes: Mapping[str, BehaviourClass]
    messages: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    limits: CellLimits = DEFAULT

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Raises Malformed naming the line and what belongs there."""
        return _Parser(text).manifest()

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> Manifest:
        """The manifest of a package, and whether its files are what it says: module and classes exist. Raises Malformed."""
        data = files.get(FILE)
        if data is None:
            raise Malformed(
                f"no `{FILE}`: not a behaviour package", hint="queenright behaviour new NAME makes one"
            )
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Malformed(f"`{FILE}` is not UTF-8") from None
        found = cls.parse(text)
        if "__init__.py" not in files and f"{found.name}.py" not in files:
            raise Malformed(f"package `{found.name}` has neither `__init__.py` nor `{found.name}.py`")
        sources = [source for path, source in files.items() if path.endswith(".py") and "/" not in path]
        for name in found.classes:
            # Text, not a parser: nothing here runs or compiles a package's code.
            if not any(
                re.search(rb"^class %s\b" % name.encode(), source, re.MULTILINE) for source in sources
            ):
                raise Malformed(
                    f"{FILE}: no module of `{found.name}` has `class {name}` at its top level",
                    hint="modules in sub-directories are not searched",
                )
        return found


@dataclass(slots=True)
class _Parser:
    text: str
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.text.splitlines()

    def fail(self, path: tuple[str, ...], what: str, hint: str = "") -> NoReturn:
        raise Malformed(f"{FILE}, line {self.line(path)}: {what}", hint=hint)

    def line(self, path: tuple[str, ...]) -> int:
        """Where a key, or the header of its table, stands; 1 if it is not there."""
        table: tuple[str, ...] = ()
        best = 1
        for number, text in enumerate(self.lines, 1):
            bare = text.split("#")[0].strip()
            if bare.startswith("["):
                table = tuple(part.strip(" \"'") for part in bare.strip("[] ").split("."))
                if table == path[: len(table)]:
                    best = number
            elif (*table, bare.partition("=")[0].strip(" \"'")) == path:
                return number
        return best

    def manifest(self) -> Manifest:
        if len(self.text) > MAX_TEXT:
            raise Malformed(f"`{FILE}` is over {MAX_TEXT} characters")
        try:
            tree = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise Malformed(f"{FILE}: {error}") from None
        self.known(tree, (), ("name", "version", "classes", "cell", "messages", "actions", "class", "limits"))
        name = self.word(tree, ("name",), _NAME, 'such as "sre": lower-case letters, digits and `_`')
        if name in sys.stdlib_module_names or name == "queenright":
            self.fail(("name",), f"`{name}` is the name of a module of Python's or of queenright's")
        version = self.word(tree, ("version",), _VERSION, 'such as "1.0.0"')
        cell = self.choice(tree, ("cell",), CELLS, "shared")
        names = self.words(tree, ("classes",), _CLASS, 'such as ["Watcher"]')
        if not names:
            self.fail(("classes",), "`classes` names at least one behaviour class", 'classes = ["Watcher"]')
        tables = tree.get("class", {})
        if not isinstance(tables, dict):
            self.fail(("class",), "`class` is a table: [class.NAME]")
        for extra in tables:
            if extra not in names:
                self.fail(("class", extra), f"[class.{extra}] is not in `classes`")
        return Manifest(
            name,
            version,
            {each: self.behaviour(each, tables.get(each, {}), cell) for each in names},
            self.words(tree, ("messages",), _CLASS, 'such as ["Look"]'),
            self.words(tree, ("actions",), _VERB, 'such as ["svc.restart"]'),
            self.limits(tree.get("limits", {})),
        )

    def limits(self, table: Any) -> CellLimits:
        if not isinstance(table, dict):
            self.fail(("limits",), "`limits` is a table: [limits]")
        self.known(table, ("limits",), tuple(BOUNDS))
        for name, value in table.items():
            least, most = BOUNDS[name]
            if type(value) is not int or not least <= value <= most:
                self.fail(
                    ("limits", name),
                    f"`{name}` is {str(value)[:64]!r}",
                    f"a whole number from {least} to {most}",
                )
        return CellLimits(**table)

    def behaviour(self, name: str, table: Any, cell: str) -> BehaviourClass:
        path = ("class", name)
        if not isinstance(table, dict):
            self.fail(path, f"[class.{name}] is a table")
        self.known(table, path, ("cell", "on_failure", "capabilities", "on_start"))
        on_start = table.get("on_start", True)
        if type(on_start) is not bool:
            self.fail((*path, "on_start"), f"`on_start` is {str(on_start)[:64]!r}", "true or false")
        return BehaviourClass(
            name,
            self.choice(table, (*path, "cell"), CELLS, cell),
            self.choice(table, (*path, "on_failure"), ON_FAILURE, "continue"),
            frozenset(self.words(table, (*path, "capabilities"), _WORD, 'such as ["restart"]')),
            on_start,
        )

    def known(self, table: Mapping[str, Any], path: tuple[str, ...], names: tuple[str, ...]) -> None:
        for key in table:
            if key not in names:
                self.fail((*path, key), f"unknown key `{key[:48]}`", f"known here: {', '.join(names)}")

    def word(self, table: Mapping[str, Any], path: tuple[str, ...], form: re.Pattern[str], like: str) -> str:
        value = table.get(path[-1])
        if value is None:
            self.fail(path, f"`{path[-1]}` is missing", f"{path[-1]} = {like}")
        if not isinstance(value, str) or not form.match(value):
            self.fail(path, f"`{path[-1]}` is {str(value)[:64]!r}", like)
        return value

    def words(
        self, table: Mapping[str, Any], path: tuple[str, ...], form: re.Pattern[str], like: str
    ) -> tuple[str, ...]:
        value = table.get(path[-1], [])
        if not isinstance(value, list) or len(value) > MAX_LIST:
            self.fail(path, f"`{path[-1]}` is a list of at most {MAX_LIST}", like)
        for item in value:
            if not isinstance(item, str) or not form.match(item):
                self.fail(path, f"`{path[-1]}` holds {str(item)[:64]!r}", like)
        if len(set(value)) != len(value):
            self.fail(path, f"`{path[-1]}` names something twice")
        return tuple(value)

    def choice(
        self, table: Mapping[str, Any], path: tuple[str, ...], of: tuple[str, ...], default: str
    ) -> str:
        value = table.get(path[-1], default)
        if value not in of:
            self.fail(path, f"`{path[-1]}` is {str(value)[:64]!r}", f"one of {', '.join(of)}")
        return str(value)
