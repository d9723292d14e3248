"""An agent that acts, and lives with a refusal: it says what was missing and looks again later."""

from dataclasses import dataclass

from queenright.agent import Agent, Context, Denied, Message, handles


class Restart(Message):
    service: str


@dataclass
class Memory:
    restarted: int = 0
    refused: str = ""


class Restarter(Agent):
    state: Memory

    @handles
    async def restart(self, ctx: Context, message: Restart) -> None:
        try:
            await ctx.act("svc.restart", message.service, reason="asked to")
        except Denied as denied:
            failing = ", ".join(f"{one.name} ({one.detail})" for one in denied.dimensions)
            self.state.refused = failing or denied.reason
            ctx.log(f"{message.service} was not restarted: {self.state.refused}")
            if any(one.name in ("gap", "rate") for one in denied.dimensions):
                ctx.after(300, message)  # only too soon: try again in five minutes
        else:
            self.state.restarted += 1
