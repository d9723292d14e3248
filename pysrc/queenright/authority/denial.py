"""Denials in words: what failed, at which level, and the smallest change that would allow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from queenright.authority.amount import show_duration, show_time
from queenright.authority.decision import Amendment, AskAt, Decision, Failing, Outcome
from queenright.core.host import GrantTree
from queenright.errors import Denied, Dimension

__all__ = ["Words", "refusal"]

Decided = tuple[str, list[dict[str, Any]], list[tuple[int, bytes, int | None, int | None]]]
"""What `GrantTree.check` gives."""

_DIMENSIONS = {"not_before": "time", "expired": "time"}


@dataclass(frozen=True, slots=True)
class Words:
    """Puts the core's findings into words at one moment. `name` gives a grant's name, `left` how long its chain lasts."""

    tree: GrantTree
    now_ms: int
    name: Callable[[bytes], str]
    left: Callable[[bytes, int], str]

    def decision(self, grant: bytes, verb: str, resource: str, found: Decided) -> Decision:
        outcome, reasons, asks = found
        path = self.tree.path(grant)
        who = self.name(grant)
        above = " ← ".join(self.name(level).removeprefix("agent ") for level in path[1:])
        top = len(path) - 1
        asking = tuple(
            AskAt(level, at, clause if level == top else None, rule is None)
            for level, at, rule, clause in asks
        )
        return Decision(
            _outcome(outcome),
            verb,
            resource,
            grant,
            f"{who} (← {above})" if above else who,
            self.failing(path, reasons, verb, resource),
            asking,
            self._passed(grant, reasons) if outcome == "deny" else (),
        )

    def failing(
        self, path: Sequence[bytes], reasons: Sequence[dict[str, Any]], verb: str = "", resource: str = ""
    ) -> tuple[Failing, ...]:
        return tuple(self._one(path, facts, verb, resource) for facts in reasons)

    def _one(self, path: Sequence[bytes], facts: dict[str, Any], verb: str, resource: str) -> Failing:
        grant, name = facts["grant"], facts["name"]
        level = self._level(path, facts["level"])
        dimension = Dimension(_DIMENSIONS.get(name, name), level, self._detail(facts))
        private = ""
        if name == "budget":
            private = ", ".join(
                f"{self.name(agent).removeprefix('agent ')} {show_time(at)[11:16]}"
                for agent, at in self._recent(facts)
            )
        fix = facts.get("fix")
        amendment = fix and self._amendment(fix, grant, level, verb, resource, facts)
        return Failing(dimension, grant, facts.get("rule"), amendment, private)

    def _level(self, path: Sequence[bytes], level: int) -> str:
        if level == len(path) - 1:
            return "intent level"
        return "its own grant" if level == 0 else self.name(path[level])

    def _detail(self, facts: dict[str, Any]) -> str:
        match facts["name"]:
            case "revoked":
                return f"revoked {show_duration(self.now_ms - facts['at_ms'])} ago"
            case "frozen":
                return "frozen"
            case "not_before":
                return f"begins in {show_duration(facts['not_before_ms'] - self.now_ms)}"
            case "expired":
                return f"ended {show_duration(self.now_ms - facts['not_after_ms'])} ago"
            case "never":
                return "never allowed, whoever approves"
            case "scope":
                return "may be handed down or used, but not here" if facts["withheld"] else "no rule names it"
            case "budget":
                held = f", {facts['held']} in progress" if facts["held"] else ""
                given = f", {facts['given']} promised to children" if facts["given"] else ""
                return f"{facts['used']}/{facts['max']} used{held}{given}"
            case "gap":
                return f"again in {show_duration(facts['until_ms'] - self.now_ms)}"
            case _:
                whose = "this agent's" if facts["each"] else "everyone's"
                return f"{whose} rate is used up for {show_duration(facts['until_ms'] - self.now_ms)}"

    def _recent(self, facts: dict[str, Any]) -> list[tuple[bytes, int]]:
        rows = self.tree.spending(facts["grant"]) if facts["grant"] in self.tree else []
        return next((recent for rule, _, _, _, recent in rows if rule == facts["rule"]), [])

    def _amendment(
        self, fix: tuple[str, int], grant: bytes, level: str, verb: str, resource: str, facts: dict[str, Any]
    ) -> Amendment:
        kind, value = fix
        texts = {
            "add_rule": f"a rule for {verb} on {resource} at {level}",
            "drop_never": f"taking {verb} out of `never` at {level}",
            "raise_max": f"raise max to {value} at {level}",
            "extend": f"an end after {show_time(value)} at {level}",
            "unfreeze": f"unfreezing {level}",
            "wait": f"waiting {show_duration(value - self.now_ms)}",
        }
        return Amendment(kind, grant, value, texts[kind])

    def _passed(self, grant: bytes, reasons: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        failed = {_DIMENSIONS.get(facts["name"], facts["name"]) for facts in reasons}
        passed = [] if "scope" in failed else ["scope ok"]
        if "time" not in failed:
            passed.append(f"time ok ({self.left(grant, self.now_ms)} left)")
        return tuple(passed)


def _outcome(text: str) -> Outcome:
    return "allow" if text == "allow" else "ask" if text == "ask" else "deny"


def refusal(reasons: Sequence[dict[str, Any]], parent: bytes, words: Words) -> Denied:
    """A child grant that its parent may not give, with every reason."""
    path = words.tree.path(parent)
    found: list[Dimension] = []
    for facts in reasons:
        if "fix" in facts:
            item = words.failing(path, [facts])[0]
            found.append(item.dimension)
        else:
            found.append(
                Dimension(*_excess(facts, "the parent's grant" if facts["level"] == 0 else "a level above"))
            )
    text = "; ".join(f"{item.name}: {item.detail}" for item in found)
    return Denied(
        f"a child grant is denied: {text}",
        verb="agent.spawn",
        resource="ws:self",
        dimensions=tuple(found),
        hint="ask for less, or let an operator amend the intent",
    )


def _excess(facts: dict[str, Any], level: str) -> tuple[str, str, str]:
    place = f"{facts.get('verb')} on {facts.get('on')}"
    wanted, limit = facts.get("wanted", 0), facts.get("limit", 0)
    match facts["name"]:
        case "scope":
            return "scope", level, f"the parent may not hand down {place}"
        case "must_ask":
            return "must_ask", level, f"{place} is an ask above: give it as an ask"
        case "never":
            return "never", level, f"{place} is never allowed"
        case "budget":
            detail = f"{wanted} uses of {place} asked for, {limit} left to give: leave `max` out to share the parent's"
            return "budget", level, detail
        case "not_after":
            return "time", level, f"would end at {show_time(wanted)}, after its parent at {show_time(limit)}"
        case "not_before":
            return (
                "time",
                level,
                f"would begin at {show_time(wanted)}, before its parent at {show_time(limit)}",
            )
        case "depth":
            if limit == 0:
                return "depth", level, "the parent may spawn nobody"
            return "depth", level, f"{wanted} generations below the child asked for, at most {limit - 1} left"
        case "agents":
            return "max_agents", level, f"{wanted} agents below it asked for, the parent may have {limit}"
        case "max_agents":
            return "max_agents", level, f"{limit} agents live already"
        case _:
            return "agents_ever", level, f"{limit} agents have lived already"
