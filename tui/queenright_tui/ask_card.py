"""A request as a person reads it, drawn from its canonical bytes. Pure: an `OpenAsk` and a width in, lines out.

Every field of the signed bytes is on the card: those with a place of their own there, the rest under ALSO SIGNED. What
the agent wrote stands behind a `|` fence under its own heading, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

from queenright_tui.feed import OpenAsk
from queenright_tui.friction import Confirm, Demand
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, wrap
from queenright_tui.words import ago, clock, left, long_id, short_id, under

__all__ = ["Choice", "ask_deadline", "card_lines", "exact", "sign_lines", "ttl_default"]

LABEL: Final = 7  # `EFFECT ` and its indent
REASON_CHARS: Final = 280  # access.md: the agent's stated reason is quoted and capped
REASON_ROWS: Final = 6
FOLD_CHARS: Final = 1200  # a longer value is shown by its beginning, length and hash
DIFF_ROWS: Final = 8
SIMILAR: Final = 5
MORE: Final = "~ (see WHAT)"
DEFAULT_TTL_MS: Final = 10 * 60 * 1000

# Fields of the signed bytes that have a heading of their own below.
_PLACED: Final = frozenset(
    {
        "v",
        "kind",
        "verb",
        "resource",
        "args",
        "risk",
        "agent",
        "intent",
        "revision",
        "precondition",
        "answer_by",
        "not_after",
    }
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the operator is about to sign."""

    max_uses: int
    not_after_ms: int
    narrowed: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """(argument, items that are left of it) for each list that was cut."""

    shortened: bool = False

    @property
    def kind(self) -> Literal["once", "narrower", "shorter"]:
        return "narrower" if self.narrowed else "shorter" if self.shortened else "once"


def exact(value: Any) -> str:
    """A value with every byte of it visible: backslashes doubled, everything outside printable ASCII escaped."""
    if isinstance(value, str):
        return "".join(
            "\\\\"
            if c == "\\"
            else c
            if " " <= c <= "~"
            else {"\n": "\\n", "\t": "\\t"}.get(c, f"\\u{{{ord(c):x}}}")
            for c in value
        )
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{exact(k)}={exact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(exact, value)) + "]"
    return (
        {None: "none", True: "yes", False: "no"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )


def ask_deadline(ask: OpenAsk) -> int:
    """The last moment to answer, from the signed bytes: later it is a denial."""
    return ask.answer_by


def ttl_default(ask: OpenAsk, now_ms: int) -> int:
    """The end of the default grant: 10 minutes from now, never past the ask's own end."""
    return min(now_ms + DEFAULT_TTL_MS, ask.not_after)


def _labelled(label: str, rows: list[str], style: str = "") -> list[Line]:
    lines: list[Line] = []
    for index, row in enumerate(rows or [""]):
        head = bit((label if index == 0 else "").ljust(LABEL), "head")
        lines.append((head, bit(row, style)))
    return lines


def _argument(name: str, value: Any, room: int) -> list[Line]:
    """`name = value`; a name that would leave no room for its value stands on rows of its own."""
    lead = f"{exact(name)} = "
    if len(lead) > room // 2:
        return [
            *_labelled("", wrap(lead, room, limit=FOLD_CHARS), "dim"),
            *_labelled("", ["  " + row for row in _value_rows(value, room - 2)]),
        ]
    lines: list[Line] = []
    for row in _value_rows(value, room - len(lead)):
        lines.append((bit("".ljust(LABEL)), bit(lead, "dim"), bit(row)))
        lead = " " * len(lead)
    return lines


def _value_rows(value: Any, width: int) -> list[str]:
    text = exact(value)
    if len(text) > FOLD_CHARS:
        raw = (
            value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else text.encode()
        )
        note = f"… folded: {len(raw)} bytes in all, sha256 {sha256(raw).hexdigest()[:16]}"
        return [*wrap(text[:FOLD_CHARS], width, limit=FOLD_CHARS), *wrap(note, width)]
    return wrap(text, width, limit=len(text))


def _odd(value: Any) -> bool:
    """Whether a value holds characters that may look like others."""
    return not str(value).isascii()


def card_lines(ask: OpenAsk, width: int, now_ms: int, *, whole_diff: bool = False) -> tuple[Line, ...]:
    """The card without the block that is signed: at most some forty lines."""
    body, context, row = ask.body, ask.detail["context"], ask.detail["row"]
    room = max(20, width - LABEL)
    lines: list[Line] = []
    if context["forbidden"]:
        lines += _labelled("NOT YOU", wrap(context["forbidden"], room), "bad")
    # WHAT
    verb, resource = str(body["verb"]), body["resource"]
    lines += _labelled("WHAT", wrap(f"{exact(verb)}  {exact(resource)}", room), "bold")
    if _odd(resource) or _odd(verb):
        lines.append(
            (bit("".ljust(LABEL)), bit("! the name holds characters that can look like others", "need"))
        )
    for name, value in body["args"].items():
        lines += _argument(name, value, room)
    if body.get("precondition"):
        lines += _labelled("TARGET", _value_rows(body["precondition"], room))
    # EFFECT and undo
    lines += _labelled("EFFECT", wrap(context["effect"] or "not measured", room, limit=600, rows=4))
    lines += _diff(context["diff"], room, whole=whole_diff)
    if context["undo"] and body["risk"] != "CRITICAL":
        lines += _labelled("UNDO", wrap(context["undo"], room, limit=400, rows=3))
    else:
        words = (
            f"IRREVERSIBLE. {context['undo']}" if context["undo"] else "IRREVERSIBLE: nothing can put it back"
        )
        lines += _labelled("UNDO", wrap(words, room, limit=400, rows=3), "bad")
    # WHO and the chain
    agent = _id_text("agent", body["agent"])
    others = f"  and {ask.count - 1} more agents" if ask.count > 1 else ""
    lines += _labelled("WHO", [f"{_name(row['agent_name'])}  {short_id(agent)}{others}"])
    lines += _labelled("CHAIN", wrap(_chain(ask), room, limit=800, rows=3))
    # WHY: the intent's words apart from the agent's
    lines += _labelled("WHY", wrap(f"intent: {context['purpose']}", room, limit=400, rows=2))
    lines += _said(ask, room)
    lines += _labelled("BLAST", wrap(_blast(context["blast"]), room, limit=600, rows=2))
    deadline = ask_deadline(ask)
    words = (
        f"by {clock(deadline)} ({left(deadline - now_ms)}) else denied"
        if deadline > now_ms
        else f"EXPIRED {clock(deadline)}"
    )
    time_words = f"{ago(now_ms - row['raised_ms'])} waiting · {words} · start by {clock(ask.not_after)}"
    lines += _labelled("TIME", wrap(time_words, room))
    before = [
        f"{clock(s['at_ms'])} {_name(s['operator'])} {s['verdict']} {s['outcome']}"
        for s in context["similar"][:SIMILAR]
    ]
    lines += _labelled("BEFORE", before or ["nothing like this was decided before"])
    if context["same_person"]:
        lines += _labelled("NOTE", ["same person: you signed this intent yourself"], "need")
    if ask.count > 1 or ask.detail["more"]:
        more = f"; {ask.detail['more']} more since, not covered" if ask.detail["more"] else ""
        words = f"{ask.count} equal requests under one verdict, each once{more}"
        lines += _labelled("GROUP", wrap(words, room), "need")
    lines += _also_signed(body, room)
    return tuple(lines)


def _also_signed(body: dict[str, Any], room: int) -> list[Line]:
    rest = {name: value for name, value in body.items() if name not in _PLACED}
    words = [f"{exact(name)} {_brief(value)}" for name, value in rest.items()]
    return _labelled("SIGNED", wrap("also: " + " · ".join(words), room), "dim") if words else []


def _brief(value: Any) -> str:
    """A value in the list of all that is signed: digests by their first 8 digits, long values by their hash."""
    if isinstance(value, bytes):
        return value.hex()[:8] or "none"
    text = exact(value)
    return (
        text
        if len(text) <= 60
        else f"sha256 {sha256(text.encode()).hexdigest()[:12]} ({len(text)} characters)"
    )


def _name(text: str) -> str:
    return clean(text, 32)


def _id_text(kind: str, value: Any) -> str:
    return f"{kind}-{value.hex()}" if isinstance(value, bytes) else str(value)


def _chain(ask: OpenAsk) -> str:
    context = ask.detail["context"]
    intent = short_id(_id_text("intent", ask.body["intent"]))
    links: list[str] = []
    above = ""
    for link in context["chain"]:
        links.append(f"{_name(under(link['name'], above))} {link['id'].partition('-')[2][:8]}")
        above = link["name"]
    return " > ".join([f"{_name(context['operator'])} ({intent} r{ask.body.get('revision', '?')})", *links])


def _blast(blast: Any) -> str:
    resources = ", ".join(exact(r) for r in blast["resources"][:6]) or "no resource"
    more = len(blast["resources"]) - 6
    words = [
        resources + (f" and {more} more" if more > 0 else ""),
        f"{blast['agents']} {'agent' if blast['agents'] == 1 else 'agents'} would gain it",
    ]
    if blast["budget_max"] is not None:
        words.append(f"budget {blast['budget_used']} of {blast['budget_max']} used")
    return " · ".join(words)


def _said(ask: OpenAsk, room: int) -> list[Line]:
    """Each different thing that was said: a verdict covers the words of every member, so all of them are drawn."""
    said = list(dict.fromkeys(ask.detail["reasons"]))
    if len(said) == 1:
        return _fence("agent says (untrusted)", said[0], room)
    lines: list[Line] = []
    for number, reason in enumerate(said, 1):
        lines += _fence(f"agents say (untrusted, wording {number} of {len(said)})", reason, room)
    return lines


def _fence(heading: str, text: str, room: int) -> list[Line]:
    if not text:
        return [(bit("".ljust(LABEL)), bit(f"{heading}: nothing", "dim"))]
    cut = f" (first {REASON_CHARS} of {len(text)} characters)" if len(text) > REASON_CHARS else ""
    lines: list[Line] = [(bit("".ljust(LABEL)), bit(f"{heading}{cut}:", "dim"))]
    for row in wrap(text, room - 3, limit=REASON_CHARS, rows=REASON_ROWS):
        lines.append((bit("".ljust(LABEL)), bit("| ", "fence"), bit(row, "fence")))
    return lines


def _diff(text: str, room: int, *, whole: bool) -> list[Line]:
    if not text:
        return []
    rows = [clean(row, 400) for row in text.split("\n")[:2000]]
    shown = rows if whole else rows[:DIFF_ROWS]
    lines: list[Line] = []
    for index, row in enumerate(shown):
        style = {"+": "write", "-": "need"}.get(row[:1], "fence")
        lines.append(
            (
                bit(("DIFF" if index == 0 else "").ljust(LABEL), "head"),
                bit("| ", "fence"),
                bit(row[: room - 2], style),
            )
        )
    if len(rows) > len(shown):
        lines.append(
            (
                bit("".ljust(LABEL)),
                bit(f"… {len(rows) - len(shown)} more rows: = shows the whole diff", "need"),
            )
        )
    return lines


def sign_lines(ask: OpenAsk, choice: Choice, need: Demand, width: int, now_ms: int) -> tuple[Line, ...]:
    """The block that says what the key will sign: always four rows, on screen whole."""
    body = ask.body
    scope = f"{exact(str(body['verb']))}  {exact(body['resource'])}"
    if choice.narrowed:
        scope += "  narrowed: " + ", ".join(f"{exact(k)}={exact(list(v))}" for k, v in choice.narrowed)
    until = f"until {clock(choice.not_after_ms)} ({left(choice.not_after_ms - now_ms)})"
    uses = (
        f"{ask.count} requests once each"
        if ask.count > 1
        else "1 use"
        if choice.max_uses == 1
        else f"{choice.max_uses} uses"
    )
    against = "narrower than asked" if choice.narrowed else "as asked"
    # One row, so that the block never outgrows its place: the whole of it stands under WHAT.
    shown = scope if len(scope) <= width - LABEL else scope[: width - LABEL - len(MORE)] + MORE
    lines: list[Line] = [(bit("SIGN   ", "head"), bit(shown, "bold"))]
    lines.append((bit("".ljust(LABEL)), bit(f"{uses} · {until} · {against}")))
    lines.append(
        (
            bit("".ljust(LABEL)),
            bit("digest " if ask.count == 1 else "root   ", "dim"),
            bit(long_id(ask.digest)),
        )
    )
    lines.append((bit("".ljust(LABEL)), *_how(str(body["risk"]), need)))
    return tuple(lines)


def _how(risk: str, need: Demand) -> tuple[Bit, ...]:
    style = {"LOW": "", "MED": "write", "HIGH": "need"}.get(risk, "bad")
    if need.confirm is Confirm.NOTHING:
        return (bit(f"{risk}: ", style), bit("a", "key"), bit(" approves"))
    if need.confirm is Confirm.ENTER:
        return (bit(f"{risk}: ", style), bit("a", "key"), bit(" then "), bit("enter", "key"))
    return (
        bit(f"{risk}: ", style),
        bit("a", "key"),
        bit(", then type "),
        bit(exact(need.phrase), "bold"),
        bit(" and "),
        bit("enter", "key"),
    )
