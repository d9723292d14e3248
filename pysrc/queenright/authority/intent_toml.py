"""The TOML in which an operator writes an intent, read strictly: every key does something or is refused.

All that is wrong is found at once and said with line and column. `Draft.compile` makes the intent that is signed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from queenright.authority.amount import MAX_DURATION_MS, duration_ms, rate, show_duration
from queenright.authority.document import NONCE
from queenright.authority.intent import (
    ANSWER_MS,
    APPLY_MS,
    BEHAVIOUR,
    EXCLUDED,
    GROUP_OR_NAME,
    MAX_AGENTS,
    MAX_APPLY_MS,
    MAX_DEPTH,
    MAX_QUORUM,
    NAME,
    PACKAGE,
    PURPOSE_CHARS,
    Amends,
    Approval,
    Clause,
    Intent,
    Limits,
    Talk,
)
from queenright.authority.rule import MAX_NUMBER, MAX_RULES, MAX_VERBS, Never, Rule
from queenright.authority.toml_place import Path, Place, places
from queenright.core import canonical
from queenright.core.host import resource_covers, verb_covers, verb_overlaps
from queenright.errors import Malformed

__all__ = ["Draft", "IntentMalformed", "Problem", "parse_intent"]

MAX_TEXT = 256 * 1024
"""Characters of an intent's TOML: far more than a person reads before signing."""
EVER_PER_AGENT = 100
"""Default of `agents_ever`: each place in the swarm may be filled a hundred times over."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a text: where, what, and what would be right."""

    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.what}"


class IntentMalformed(Malformed):
    """Everything that is wrong with an intent's TOML, in the order of the text."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)), hint="docs/reference/intent.md lists every key")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked TOML intent, before there is a runtime, a nonce or a signing time. Durations in milliseconds."""

    purpose: str
    swarm: str
    for_ms: int
    apply_ms: int
    not_before: int | None
    clauses: tuple[Clause, ...]
    never: tuple[Never, ...]
    only: tuple[str, ...]
    start: str
    args: Mapping[str, Any]
    packages: tuple[str, ...]
    limits: Limits
    talk: tuple[Talk, ...]

    def compile(
        self,
        *,
        runtime: bytes,
        packages: Mapping[str, bytes],
        now_ms: int,
        rand: Callable[[int], bytes],
        amends: Amends | None = None,
    ) -> Intent:
        """The intent to sign, for the runtime of this public key. `packages` gives the digest of each installed package.

        Raises Malformed for a package that is not installed.
        """
        missing = [name for name in self.packages if name not in packages]
        if missing:
            raise Malformed(
                f"no such package: {', '.join(missing)}", hint="add it first: queenright behaviour add PATH"
            )
        begin = now_ms if self.not_before is None else self.not_before
        intent = Intent(
            runtime=runtime,
            nonce=rand(NONCE),
            signed_at=now_ms,
            not_before=begin,
            apply_by=now_ms + self.apply_ms,
            not_after=begin + self.for_ms,
            purpose=self.purpose,
            swarm=self.swarm,
            clauses=self.clauses,
            never=self.never,
            only=self.only,
            start=self.start,
            args=self.args,
            packages={name: packages[name] for name in self.packages},
            limits=self.limits,
            talk=self.talk,
            amends=amends,
        )
        return Intent.decode(intent.encode())


def parse_intent(text: str) -> Draft:
    """The draft that `text` says. Raises IntentMalformed with every problem."""
    if len(text) > MAX_TEXT:
        raise IntentMalformed((Problem(1, 1, f"an intent is at most {MAX_TEXT} characters long"),))
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise IntentMalformed((_syntax(str(error), text),)) from error
    except RecursionError as error:
        raise IntentMalformed((Problem(1, 1, "nested too deeply"),)) from error
    reader = _Reader(places(text))
    draft = reader.draft(tree)
    if reader.problems or draft is None:
        raise IntentMalformed(tuple(sorted(reader.problems, key=lambda p: (p.line, p.column))))
    return draft


def _syntax(message: str, text: str) -> Problem:
    found = re.search(r"\(at line (\d+), column (\d+)\)", message)
    line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
    what = re.sub(r" \(at .*\)$", "", message)
    return Problem(line, column, f"not TOML: {what[:1].lower()}{what[1:]}")


_KEYS: dict[str, tuple[str, ...]] = {
    "": ("intent", "run", "allow", "ask", "never", "delegate", "talk"),
    "intent": (
        "purpose", "swarm", "for", "depth", "max_agents", "agents_ever", "not_before", "apply_within", "open_asks",
        "open_asks_per_agent", "asks_per_hour",
    ),
    "run": ("start", "packages", "args"),
    "allow": ("do", "on", "max", "min_gap", "rate"),
    "ask": ("do", "on", "max", "min_gap", "rate", "approvers", "quorum", "excluding", "answer_within"),
    "never": ("do", "on"),
    "delegate": ("only",),
    "talk": ("from", "to", "swarm"),
}  # fmt: skip
_MANY = frozenset({"allow", "ask", "never", "talk"})

Table = dict[str, Any]


class _Reader:
    """Reads values out of the tree and notes each problem at its place; a wrong value reads as a harmless one."""

    def __init__(self, found: dict[Path, Place]) -> None:
        self.places = found
        self.problems: list[Problem] = []

    def wrong(self, path: Path, what: str) -> None:
        at = path
        while at and at not in self.places:
            at = at[:-1]
        line, column = self.places.get(at, (1, 1))
        self.problems.append(Problem(line, column, what))

    # ---- shapes ----

    def keys(self, table: Table, path: Path, allowed: tuple[str, ...]) -> None:
        where = f"[{path[0]}]" if path else "an intent"
        for key in table.keys() - set(allowed):
            near = get_close_matches(key, allowed, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"{where} has {', '.join(allowed)}"
            self.wrong((*path, key), f"unknown key `{key[:40]}`: {hint}")

    def table(self, tree: Table, name: str, *, needed: bool) -> Table:
        value = tree.get(name)
        if value is None:
            if needed:
                self.wrong((), f"[{name}] is missing")
            return {}
        if not isinstance(value, dict):
            self.wrong((name,), f"`{name}` is one table: write [{name}]")
            return {}
        self.keys(value, (name,), _KEYS[name])
        return value

    def tables(self, tree: Table, name: str) -> list[tuple[Path, Table]]:
        value = tree.get(name, [])
        if not isinstance(value, list) or any(not isinstance(item, dict) for item in value):
            self.wrong((name,), f"`{name}` may stand several times: write [[{name}]]")
            return []
        if len(value) > MAX_RULES:
            self.wrong((name, MAX_RULES), f"more than {MAX_RULES} [[{name}]]")
            value = value[:MAX_RULES]
        rows: list[tuple[Path, Table]] = [((name, index), item) for index, item in enumerate(value)]
        for path, item in rows:
            self.keys(item, path, _KEYS[name])
        return rows

    # ---- values ----

    def text(
        self, table: Table, path: Path, key: str, *, example: str, form: re.Pattern[str] | None = None
    ) -> str:
        """A needed text."""
        if key not in table:
            self.wrong(path, f"`{key}` is missing: write {key} = {example}")
            return ""
        value = table[key]
        if not isinstance(value, str) or not value or (form is not None and not form.fullmatch(value)):
            self.wrong((*path, key), f"`{key}` is not right: write {key} = {example}")
            return ""
        return value

    def names(
        self,
        table: Table,
        path: Path,
        key: str,
        *,
        example: str,
        form: re.Pattern[str],
        needed: bool,
        most: int,
    ) -> tuple[str, ...]:
        """A text or a list of different texts."""
        if key not in table:
            if needed:
                self.wrong(path, f"`{key}` is missing: write {key} = {example}")
            return ()
        value = table[key]
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not items or len(items) > most:
            self.wrong((*path, key), f"`{key}` is a list of 1 to {most} names: write {key} = {example}")
            return ()
        good: list[str] = []
        for index, item in enumerate(items):
            place: Path = (*path, key, index) if isinstance(value, list) else (*path, key)
            if not isinstance(item, str) or not form.fullmatch(item):
                self.wrong(place, f"`{str(item)[:40]}` is not right in `{key}`: write {key} = {example}")
            elif item in good:
                self.wrong(place, f"`{item}` stands twice in `{key}`")
            else:
                good.append(item)
        return tuple(good)

    def count(self, table: Table, path: Path, key: str, default: int, least: int, most: int) -> int:
        value = table.get(key, default)
        if type(value) is not int or not least <= value <= most:
            self.wrong((*path, key), f"`{key}` is a whole number from {least} to {most}")
            return default
        return value

    def duration(self, table: Table, path: Path, key: str, default: int, most: int = MAX_DURATION_MS) -> int:
        value = table.get(key)
        if value is None:
            return default
        try:
            found = duration_ms(value if isinstance(value, str) else f"{value!r}")
        except Malformed as error:
            self.wrong((*path, key), f"`{key}`: {error.message}")
            return default
        if found > most:
            self.wrong((*path, key), f"`{key}` is at most {show_duration(most)}")
            return default
        return found

    # ---- the intent ----

    def draft(self, tree: Table) -> Draft | None:
        self.keys(tree, (), _KEYS[""])
        head = self.table(tree, "intent", needed=True)
        run = self.table(tree, "run", needed=True)
        purpose, swarm, for_ms = self.head(head) if isinstance(tree.get("intent"), dict) else ("", "", 0)
        clauses = [self.clause("allow", *row) for row in self.tables(tree, "allow")]
        clauses += [self.clause("ask", *row, for_ms) for row in self.tables(tree, "ask")]
        never = tuple(self.never(*row) for row in self.tables(tree, "never"))
        limits = self.limits(head)
        start, packages, args = self.run(run)
        only = self.only(tree, clauses)
        talk = tuple(self.talk(*row, packages) for row in self.tables(tree, "talk"))
        if not clauses and not self.problems:
            self.wrong((), "nothing is allowed: write [[allow]] with do and on")
        not_before = self.not_before(head)
        apply_ms = self.duration(head, ("intent",), "apply_within", APPLY_MS, MAX_APPLY_MS)
        if self.problems:
            return None
        self.dead_rules(tree, clauses, never)
        return Draft(
            purpose, swarm, for_ms, apply_ms, not_before, tuple(clauses), never, only, start, args, packages, limits, talk
        )  # fmt: skip

    def head(self, head: Table) -> tuple[str, str, int]:
        path: Path = ("intent",)
        purpose = self.text(head, path, "purpose", example='"why, in one line"')
        if len(purpose) > PURPOSE_CHARS or not purpose.isprintable():
            self.wrong((*path, "purpose"), f"`purpose` is one line of at most {PURPOSE_CHARS} characters")
        swarm = self.text(head, path, "swarm", example='"sre"', form=NAME)
        if "for" not in head:
            self.wrong(path, '`for` is missing: write for = "2h"')
        return purpose, swarm, self.duration(head, path, "for", 0)

    def not_before(self, head: Table) -> int | None:
        value = head.get("not_before")
        if value is None:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.wrong(
                ("intent", "not_before"), "`not_before` is a time with its zone: write 2027-01-15T08:00:00Z"
            )
            return None
        return int(value.timestamp() * 1000)

    def limits(self, head: Table) -> Limits:
        path: Path = ("intent",)
        default, before = Limits(), len(self.problems)
        depth = self.count(head, path, "depth", default.depth, 0, MAX_DEPTH)
        agents = self.count(head, path, "max_agents", default.max_agents, 1, MAX_AGENTS)
        sound = len(self.problems) == before
        if sound and depth == 0 and agents > 1:
            self.wrong(
                (*path, "max_agents"),
                "`max_agents` is above 1 but no agent may spawn: write depth = 1 or more",
            )
        if sound and depth > 0 and agents == 1:
            self.wrong(
                (*path, "depth"), "agents may spawn but `max_agents` is 1: write max_agents = 2 or more"
            )
        return Limits(
            depth,
            agents,
            self.count(head, path, "agents_ever", agents * EVER_PER_AGENT, agents, MAX_NUMBER),
            self.count(head, path, "open_asks", default.open_asks, 1, 1000),
            self.count(head, path, "open_asks_per_agent", default.open_asks_per_agent, 1, 100),
            self.count(head, path, "asks_per_hour", default.asks_per_hour, 1, 1000),
        )

    def run(self, run: Table) -> tuple[str, tuple[str, ...], Table]:
        path: Path = ("run",)
        start = self.text(run, path, "start", example='"sre.Watcher"', form=BEHAVIOUR) if run else ""
        packages = (
            self.names(run, path, "packages", example='["sre"]', form=PACKAGE, needed=True, most=64)
            if run
            else ()
        )
        if start and packages and start.split(".")[0] not in packages:
            self.wrong((*path, "start"), f"`{start}` is not of a package in `packages`")
        args = run.get("args", {})
        if not isinstance(args, dict):
            self.wrong((*path, "args"), '`args` is a table: write args = { service = "svc:payments" }')
            return start, packages, {}
        try:
            canonical(args)
        except (Malformed, TypeError) as error:
            self.wrong((*path, "args"), f"`args` holds a value that cannot be signed: {error}")
        return start, packages, args

    def rule(self, mode: str, path: Path, table: Table) -> Rule:
        verbs = self.verbs(path, table, any_verb=False)
        resource = self.resource(path, table, needed=True)
        limit = None if "max" not in table else self.count(table, path, "max", 1, 1, MAX_NUMBER)
        each, whole = None, None
        if "rate" in table:
            try:
                each, whole = rate(table["rate"] if isinstance(table["rate"], str) else repr(table["rate"]))
            except Malformed as error:
                self.wrong((*path, "rate"), f"`rate`: {error.message}")
        gap = self.duration(table, path, "min_gap", 0)
        return Rule("ask" if mode == "ask" else "allow", verbs, resource, limit, gap, each, whole)

    def clause(self, mode: str, path: Path, table: Table, for_ms: int = 0) -> Clause:
        rule = self.rule(mode, path, table)
        if mode == "allow":
            return Clause(rule)
        approvers = self.names(
            table, path, "approvers", example='"@oncall"', form=GROUP_OR_NAME, needed=False, most=64
        )  # fmt: skip
        form = re.compile("|".join(EXCLUDED))
        excluding = self.names(
            table, path, "excluding", example='["requester"]', form=form, needed=False, most=len(EXCLUDED)
        )  # fmt: skip
        answer = self.duration(table, path, "answer_within", ANSWER_MS)
        if answer < 1000 or ("answer_within" in table and 0 < for_ms < answer):
            self.wrong((*path, "answer_within"), "`answer_within` is from 1s to the intent's `for`")
        quorum = self.count(table, path, "quorum", 1, 1, MAX_QUORUM)
        return Clause(rule, Approval(approvers, quorum, tuple(n for n in EXCLUDED if n in excluding), answer))

    def never(self, path: Path, table: Table) -> Never:
        return Never(self.verbs(path, table, any_verb=True), self.resource(path, table, needed=False))

    def verbs(self, path: Path, table: Table, *, any_verb: bool, key: str = "do") -> tuple[str, ...]:
        anything = re.compile(r"(?s).+")
        found = self.names(
            table, path, key, example='["logs.read"]', form=anything, needed=True, most=MAX_VERBS
        )
        good = []
        for verb in found:
            index = table[key].index(verb) if isinstance(table[key], list) else 0
            try:
                verb_covers(verb, verb)
            except Malformed as error:
                self.wrong((*path, key, index), error.message)
                continue
            if verb == "*" and not any_verb:
                self.wrong(
                    (*path, key, index), "`*` would allow every verb: name them, or families such as db.*"
                )
                continue
            good.append(verb)
        return tuple(good)

    def resource(self, path: Path, table: Table, *, needed: bool) -> str:
        if not needed and "on" not in table:
            return "**"
        value = self.text(table, path, "on", example='"svc:shop/**"')
        try:
            resource_covers(value or "**", value or "**")
        except Malformed as error:
            self.wrong((*path, "on"), error.message)
            return "**"
        return value or "**"

    def only(self, tree: Table, clauses: list[Clause]) -> tuple[str, ...]:
        if "delegate" not in tree:
            return ()
        found = self.verbs(
            ("delegate",), self.table(tree, "delegate", needed=False), any_verb=False, key="only"
        )
        have = [verb for clause in clauses for verb in clause.rule.verbs]
        for verb in found:
            if not any(verb_overlaps(verb, mine) for mine in have):
                self.wrong(
                    ("delegate", "only"), f"no [[allow]] or [[ask]] has `{verb}`, so nothing is handed down"
                )
            for mine in have:
                if verb_overlaps(verb, mine) and not verb_covers(verb, mine):
                    self.wrong(
                        ("delegate", "only"),
                        f"a clause has `{mine}`, which is wider than `{verb}`: name it there",
                    )
        return found

    def talk(self, path: Path, table: Table, packages: tuple[str, ...]) -> Talk:
        ends = [
            self.names(table, path, key, example='"sre.Watcher"', form=BEHAVIOUR, needed=True, most=64)
            for key in ("from", "to")
        ]
        swarm = self.text(table, path, "swarm", example='"payments"', form=NAME) if "swarm" in table else ""
        here = [("from", name) for name in ends[0]] + [("to", name) for name in ends[1] if not swarm]
        for key, name in here:
            if packages and name.split(".")[0] not in packages:
                self.wrong((*path, key), f"`{name}` is not of a package in `packages`")
        return Talk(ends[0], ends[1], swarm)

    def dead_rules(self, tree: Table, clauses: list[Clause], never: tuple[Never, ...]) -> None:
        """A clause that another one makes pointless is a mistake somebody should see before signing."""
        allows = len(tree.get("allow", []))
        asks = [clause.rule for clause in clauses[allows:]]
        for index, clause in enumerate(clauses):
            name, at = ("allow", index) if index < allows else ("ask", index - allows)
            for verb in clause.rule.verbs:
                if any(one.covers(verb, clause.rule.resource) for one in never):
                    self.wrong(
                        (name, at), f"a [[never]] covers `{verb}` on `{clause.rule.resource}`: take one away"
                    )
                elif name == "allow" and any(ask.covers(verb, clause.rule.resource) for ask in asks):
                    self.wrong(
                        (name, at),
                        f"an [[ask]] covers `{verb}` on `{clause.rule.resource}`: it would always ask",
                    )
