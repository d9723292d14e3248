"""The request card on a terminal:

drawn from an ask's canonical bytes, with what is not signed beside it and marked so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from queenright.authority.ask import REASON_CHARS, Ask
from queenright.cli.output import ago, clean, left, when
from queenright.core import sanitize_name
from queenright.wire.ids import short

__all__ = ["card", "exact", "plain"]

FOLD = 600  # characters of one argument; a longer one is shown by its beginning, its length and its hash
DIFF_LINES = 40
NAME = 120


def plain(text: str) -> str:
    """A name with every character of it visible: nothing that a terminal would act on or hide."""
    return sanitize_name(text, len(text) * 12 + 1)


def exact(value: Any) -> str:
    """A signed value so that no two different ones look alike: text in quotes, bytes in hex."""
    if isinstance(value, str):
        return '"' + plain(value).replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{exact(key)}: {exact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(exact, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return repr(value)


def _folded(value: Any) -> str:
    text = exact(value)
    if len(text) <= FOLD:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:FOLD]} … folded: {len(text)} characters in all, sha256 of what is shown {digest}"


def _differs_from_ascii(ask: Ask) -> bool:
    return not (ask.verb.isascii() and ask.resource.isascii())


def card(
    members: Sequence[tuple[bytes, str]],
    context: Mapping[str, Any],
    *,
    name: str,
    now_ms: int,
    more: int = 0,
) -> list[str]:
    """Lines for the asks of one card: (canonical bytes, the agent's words) each; `name` is the asker's, untrusted.

    Raises Malformed for bytes that are no ask.
    """
    asks = [Ask.decode(document) for document, _ in members]
    ask = asks[0]
    lines = [f"{ask.risk}  {plain(ask.verb)}  {plain(ask.resource)}"]
    if _differs_from_ascii(ask):
        lines.append("!      this name holds characters that can look like others")
    if context.get("forbidden"):
        lines.append(f"NOT YOU {clean(context['forbidden'])}")
    lines += _what(ask)
    lines += [f"EFFECT {clean(line)}" for line in context.get("effect", "").splitlines()] or [
        "EFFECT not measured"
    ]
    lines += _diff(context.get("diff", ""))
    lines.append(_undo(ask, context.get("undo", "")))
    lines += _who(ask, context, name)
    lines.append(f"WHY    the intent: {clean(context.get('purpose', ''))}")
    lines += _said(members)
    lines.append(_blast(context))
    lines.append(
        f"TIME   answer by {when(ask.answer_by)} ({left(ask.answer_by, now_ms)} left, then it is denied); "
        f"may start until {when(ask.not_after)}"
    )
    lines += [
        f"BEFORE {ago(past['at_ms'], now_ms)} ago {clean(past['operator'])}: {clean(past['verdict'])}, "
        f"{clean(past['outcome'])}"
        for past in context.get("similar", [])[:5]
    ] or ["BEFORE nothing like this was decided here before"]
    if context.get("same_person"):
        lines.append("NOTE   same person: you signed this intent yourself")
    if len(members) > 1 or more:
        lines.append(
            f"GROUP  {len(members)} equal requests under one verdict"
            + (f"; {more} since, not covered" if more else "")
        )
    lines.append(f"DIGEST {ask.hash.hex()}  (computed here, from the bytes drawn above)")
    return lines


def _what(ask: Ask) -> list[str]:
    lines = [f"WHAT   {plain(key)} = {_folded(value)}" for key, value in ask.args.items()]
    lines += [f"TARGET {plain(key)} = {_folded(value)}" for key, value in ask.precondition.items()]
    sealed = {name: getattr(ask, name) for name in ("manifest", "plan", "undo", "policy", "chain")}
    lines.append("SEALED " + "  ".join(f"{name} {value.hex()[:12]}" for name, value in sealed.items()))
    return lines


def _diff(text: str) -> list[str]:
    rows = text.splitlines()
    lines = [f"       | {clean(row)}" for row in rows[:DIFF_LINES]]
    if len(rows) > DIFF_LINES:
        lines.append(f"       … {len(rows) - DIFF_LINES} more lines: `queenright ask show ASK --json`")
    return lines


def _undo(ask: Ask, words: str) -> str:
    if ask.risk == "CRITICAL" or not words:
        return f"UNDO   IRREVERSIBLE. {clean(words)}".rstrip()
    return f"UNDO   {clean(words)}"


def _who(ask: Ask, context: Mapping[str, Any], name: str) -> list[str]:
    links = " > ".join(f"{clean(link['name'])} ({link['id'][:18]})" for link in context.get("chain", []))
    operator = clean(context.get("operator", ""))
    return [
        f"WHO    {clean(name)}  {short('agent', ask.agent)}",
        f"CHAIN  {operator} > {short('intent', ask.intent)} r{ask.revision} > {links or short('agent', ask.agent)}",
    ]


def _said(members: Sequence[tuple[bytes, str]]) -> list[str]:
    """Each different thing that was said, fenced: it never reads like the rest of the card."""
    said = list(dict.fromkeys(reason for _, reason in members if reason))
    if not said:
        return ["       agent says (untrusted): nothing"]
    lines = ["       agent says (untrusted):"]
    for reason in said[:3]:
        lines += [f"       | {clean(row)}" for row in reason[:REASON_CHARS].splitlines()[:6]]
    if len(said) > 3:
        lines.append(f"       … and {len(said) - 3} other wordings")
    return lines


def _blast(context: Mapping[str, Any]) -> str:
    blast = context.get("blast") or {"resources": [], "agents": 0, "budget_used": None, "budget_max": None}
    resources = ", ".join(plain(resource)[:NAME] for resource in blast["resources"][:6]) or "no resource"
    words = f"BLAST  {resources}; {blast['agents']} agents would gain it"
    if blast["budget_max"] is not None:
        words += f"; budget {blast['budget_used']} of {blast['budget_max']} used"
    return words
