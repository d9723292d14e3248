"""A remedy agent: made for one act, in a cell of its own, with a grant for that act alone."""

from __future__ import annotations

from queenright.agent import Agent, AskExpired, Context, Denied, QueenrightError, UnknownOutcome, handles

from .messages import Act, Acted, from_parent


class Remedy(Agent):
    cell = "own"

    @handles
    async def act(self, ctx: Context, message: Act) -> None:
        parent = from_parent(ctx)
        if parent is None:
            return
        ctx.log(f"{message.verb} on {message.resource}: {message.reason}")
        outcome, detail = "done", ""
        try:
            value = await ctx.act(message.verb, message.resource, reason=message.reason, **dict(message.args))
            detail = str(value)[:200]
        except Denied as denied:
            outcome = "expired" if denied.reason == "ask_expired" else "denied"
            detail = denied.message
        except AskExpired as expired:
            outcome, detail = "expired", expired.message
        except UnknownOutcome as unknown:
            outcome, detail = "unknown", unknown.message
        except QueenrightError as error:
            outcome, detail = "failed", error.message
        ctx.log(f"{message.verb}: {outcome} {detail}".rstrip())
        ctx.send(parent, Acted(outcome, detail))
