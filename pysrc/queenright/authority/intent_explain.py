"""An intent in plain words, written from its canonical bytes: what a person reads before signing."""

from __future__ import annotations

from queenright.authority.amount import show_duration, show_time
from queenright.authority.intent import Approval, Intent
from queenright.authority.rule import Rate, Rule

__all__ = ["explain"]


def explain(data: bytes) -> list[str]:
    """Lines of plain text from an intent's canonical bytes and nothing else. Raises Malformed."""
    intent = Intent.decode(data)
    lines = [
        f"intent {intent.id.hex()[:12]}, revision {intent.revision}: {intent.purpose}",
        f"for the runtime {intent.runtime.hex()[:12]} and no other",
        f"from {show_time(intent.not_before)} until {show_time(intent.not_after)}"
        f" ({show_duration(intent.not_after - intent.not_before)}); to be applied before {show_time(intent.apply_by)}",
    ]
    if intent.amends:
        lines.append(
            f"replaces revision {intent.revision - 1}, {intent.amends.previous.hex()[:12]}; spent budgets carry over"
        )
    lines += _swarm(intent)
    for word, mode in (("may, alone:", "allow"), ("may, if a person says so each time:", "ask")):
        found = [clause for clause in intent.clauses if clause.rule.mode == mode]
        if found:
            lines.append(f"its agents {word}")
        for clause in found:
            lines.append(f"  {_rule(clause.rule)}")
            if clause.approval:
                lines.append(f"    {_approval(clause.approval)}")
    if intent.never:
        lines.append("never, whoever approves it:")
        lines += [f"  {', '.join(never.verbs)} on {_place(never.resource)}" for never in intent.never]
    if intent.only:
        lines.append(f"the first agent hands down but does not itself use: {', '.join(intent.only)}")
    lines.append("an act that cannot be undone is an ask, unless a line above names that very verb")
    lines.append("everything else is refused")
    return lines


def _swarm(intent: Intent) -> list[str]:
    limits = intent.limits
    lines = [f"founds the swarm {intent.swarm}: starts {intent.start}"]
    if intent.args:
        lines.append(
            f"  with {', '.join(f'{name} = {value!r}' for name, value in sorted(intent.args.items()))}"
        )
    packages = sorted(intent.packages.items())
    lines.append(
        "  running only the packages "
        + ", ".join(f"{name} sha256:{pin.hex()[:16]}" for name, pin in packages)
    )
    if limits.depth == 0:
        lines.append("  it may not spawn")
    else:
        deep = "one generation" if limits.depth == 1 else f"{limits.depth} generations"
        lines.append(
            f"  it may grow {deep} deep, to {limits.max_agents} agents at once, {limits.agents_ever} in all"
        )
    lines.append(
        f"  at most {limits.open_asks} open asks, {limits.open_asks_per_agent} of one agent,"
        f" {limits.asks_per_hour} an hour of one agent"
    )
    for talk in intent.talk:
        where = f" in the swarm {talk.swarm}, if that swarm's intent says so too" if talk.swarm else ""
        lines.append(f"  {', '.join(talk.sender)} may write to {', '.join(talk.receiver)}{where}")
    if all(talk.swarm for talk in intent.talk):
        lines.append("  every agent may write to every other of its swarm")
    else:
        lines.append(
            "  beside these, agents write only to their parent, their children and who wrote to them last"
        )
    return lines


def _place(resource: str) -> str:
    if resource == "**":
        return "anything"
    if resource.endswith(":**"):
        return f"every {resource[:-3]}"
    if resource.endswith("/**"):
        return f"{resource[:-3]} and everything under it"
    if resource.endswith("/*"):
        return f"everything directly under {resource[:-2]}"
    return resource


def _rule(rule: Rule) -> str:
    words = f"{', '.join(rule.verbs)} on {_place(rule.resource)}"
    limits = []
    if rule.max is not None:
        limits.append("once in all" if rule.max == 1 else f"{rule.max} times in all")
    if rule.min_gap_ms:
        limits.append(f"at least {show_duration(rule.min_gap_ms)} apart")
    if rule.rate_agent:
        limits.append(f"{_pace(rule.rate_agent)} each agent")
    if rule.rate_all:
        limits.append(f"{_pace(rule.rate_all)} all together")
    return f"{words}: {', '.join(limits)}" if limits else f"{words}: as often as they like"


def _pace(rate: Rate) -> str:
    unit = {1_000: "a second", 60_000: "a minute", 3_600_000: "an hour", 86_400_000: "a day"}
    return f"{rate.count} {unit.get(rate.per_ms, f'in {show_duration(rate.per_ms)}')}"


def _approval(approval: Approval) -> str:
    who = ", ".join(approval.approvers) or "anyone whose row covers it"
    people = "one person" if approval.quorum == 1 else f"{approval.quorum} different people"
    words = f"{people} of {who} within {show_duration(approval.answer_ms)}"
    if approval.excluding:
        who_not = {"requester": "who signed this intent", "spawner": "who started the swarm"}
        words += f", but not {' nor '.join(who_not[name] for name in approval.excluding)}"
    return f"{words}; no answer is a no"
