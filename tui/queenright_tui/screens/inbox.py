"""Deciding a request: what each key takes, and what is signed. What is shown is in `inbox_view`.

A decision key works only while the card has the focus, and the request has been on screen for 400 ms unchanged and
to its last line. All of it is asked again when the last key is pressed, because time passes while an operator types.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from queenright_tui.ask_card import ask_deadline, exact
from queenright_tui.feed import Approval, OpenAsk
from queenright_tui.friction import Confirm
from queenright_tui.messages import Approve, Deny, Take
from queenright_tui.screens.inbox_view import InboxView
from queenright_tui.widgets.cell_text import bit, clean
from queenright_tui.words import clock

__all__ = ["InboxScreen"]

MIN_TTL_MS: Final = 1000


class InboxScreen(InboxView):
    """Place 2."""

    def _decidable(self) -> OpenAsk | None:
        """The request, if a decision key may act on it now; else says why not."""
        ask = self.open_ask
        if ask is None:
            self.say("no request is open", "need")
            return None
        why = self._why_not(ask)
        if why:
            self.say(why, "need")
            return None
        return ask

    def _givable(self) -> OpenAsk | None:
        ask = self._decidable()
        if ask is None:
            return None
        forbidden = ask.detail["context"]["forbidden"]
        if forbidden:
            self.say(f"you may not decide this: {clean(forbidden, 120)}", "bad")
            return None
        if not self.card.seen_whole:
            self.say(f"{self._unseen()} lines of the request were not on screen yet: j or pgdn", "need")
            return None
        return ask if self.terminal.may_give() else None

    def do_approve(self) -> None:
        ask = self._givable()
        if ask is None:
            return
        need = self._demand(ask)
        if need.confirm is Confirm.NOTHING:
            self._sign(ask)
        elif need.confirm is Confirm.ENTER:
            self.confirm(f"sign {ask.body['verb']} {exact(ask.body['resource'])}", lambda: self._sign(ask))
        else:
            self.ask_line(
                f"{ask.body['risk']}: type {exact(need.phrase)}",
                lambda text: self._typed(ask, need.phrase, text),
            )

    def _typed(self, ask: OpenAsk, phrase: str, text: str) -> None:
        if text.strip() != phrase:
            self.say(f"`{text}` is not `{exact(phrase)}`: nothing was signed", "need")
            return
        self._sign(ask)

    def _sign(self, ask: OpenAsk) -> None:
        """Everything is checked again: time passed while the operator typed."""
        current = self.open_ask
        if current is None or current.digest != ask.digest or self.choice is None:
            self.say("scope changed, look again: nothing was signed", "bad")
            return
        if self._row() is None or ask_deadline(ask) <= self.model.now_ms() or not self.terminal.may_give():
            self.say("it is no longer open, or you are no longer armed: nothing was signed", "bad")
            return
        self.busy = True
        self.outcome = (bit("verdict sent, waiting for the runtime", "need"),)
        choice = self.choice
        args = None
        if choice.narrowed:
            args = dict(ask.body["args"]) | {name: list(items) for name, items in choice.narrowed}
        same_user = ask.detail["context"]["accept_same_user"] and self._demand(ask).phrase.endswith(
            " same-user"
        )
        approval = Approval(ask, choice.kind, args, choice.max_uses, choice.not_after_ms, same_user)
        self.post_message(Approve(approval))

    def do_shorten(self) -> None:
        ask = self._decidable()
        if ask is None or self.choice is None:
            return
        self.ask_line("for how long (30s, 5m, 1h)", lambda text: self._set_ttl(ask, text))

    def _set_ttl(self, ask: OpenAsk, text: str) -> None:
        span = _span_ms(text)
        if span is None or span < MIN_TTL_MS:
            self.say(f"`{text}` is not a span: 30s, 5m, 1h", "need")
            return
        end = self.model.now_ms() + span
        limit = ask.not_after
        if end >= limit:
            self.say(f"what was asked ends {clock(limit)}: shorter must end before that", "need")
            return
        assert self.choice is not None
        self.choice = replace(self.choice, not_after_ms=end, shortened=True)

    def do_narrow(self) -> None:
        """Leave items out of a list: the one cut that is surely less of the same. A smaller number may mean more."""
        ask = self._decidable()
        if ask is None:
            return
        lists = [
            name for name, value in ask.body["args"].items() if isinstance(value, list) and len(value) > 1
        ]
        if not lists:
            self.say(
                "nothing can be left out of this request: it holds no list. e shortens, d denies", "need"
            )
            return
        self.ask_line(
            f"keep only, of {' '.join(exact(name) for name in lists)}: NAME=ITEM,ITEM (nothing: all again)",
            lambda text: self._set_narrow(ask, text),
        )

    def _set_narrow(self, ask: OpenAsk, text: str) -> None:
        assert self.choice is not None
        if not text.strip():
            self.choice = replace(self.choice, narrowed=())
            return
        name, _, wanted = text.partition("=")
        items = ask.body["args"].get(name.strip())
        if not isinstance(items, list):
            self.say(f"`{name}` is no list of this request", "need")
            return
        words = [word.strip() for word in wanted.split(",")]
        unknown = [word for word in words if word not in {exact(item) for item in items}]
        kept = tuple(item for item in items if exact(item) in words)
        if unknown or not kept or len(kept) == len(items):
            self.say(
                f"`{unknown[0]}` is not in the list" if unknown else "that leaves nothing out, or nothing in",
                "need",
            )
            return
        others = tuple(pair for pair in self.choice.narrowed if pair[0] != name.strip())
        self.choice = replace(self.choice, narrowed=(*others, (name.strip(), kept)))

    # taking away: no arming, but the same look at the same request

    def do_deny(self) -> None:
        ask = self._decidable()
        if ask is not None:
            self.ask_line("deny, because (the agent reads this)", lambda text: self._deny(ask, text))

    def _deny(self, ask: OpenAsk, reason: str) -> None:
        if self.open_ask is None or self.open_ask.digest != ask.digest:
            self.say("scope changed, look again: nothing was denied", "bad")
            return
        self.outcome = (bit("denial sent, waiting for the runtime", "need"),)
        self.post_message(Deny(ask.detail["row"]["id"], reason.strip() or "denied by the operator"))

    def do_revoke(self) -> None:
        ask = self._decidable()
        if ask is None:
            return
        row = ask.detail["row"]
        what = f"revoke leases and grants of {clean(row['agent_name'], 40)}"
        wish = Take("revoke", row["agent"], "", what)
        self.confirm(what, lambda: self.wish(wish))


def _span_ms(text: str) -> int | None:
    text = text.strip()
    unit = {"s": 1000, "m": 60_000, "h": 3_600_000}.get(text[-1:])
    if unit is None or not text[:-1].isdecimal() or len(text) > 8:
        return None
    return int(text[:-1]) * unit
