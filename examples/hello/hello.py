"""The smallest agent: it answers, and remembers how often."""

from dataclasses import dataclass

from queenright.agent import Agent, Context, Message, handles


class Greet(Message):
    name: str


class Greeting(Message):
    text: str


@dataclass
class Memory:
    greeted: int = 0


class Hello(Agent):
    state: Memory  # the only thing that outlives a turn

    async def on_start(self, ctx: Context) -> None:
        ctx.log(f"{ctx.self.name} is here")

    @handles
    async def greet(self, ctx: Context, message: Greet) -> Greeting:
        self.state.greeted += 1
        return Greeting(f"hello {message.name}, you are number {self.state.greeted}")
