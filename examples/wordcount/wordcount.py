"""A parent that spawns a child a text, asks all of them at once, and adds up what they say."""

from queenright.agent import Agent, Context, Message, handles


class Texts(Message):
    texts: tuple[str, ...]


class Read(Message):
    text: str


class Count(Message):
    words: int


class Reader(Agent):
    @handles
    async def read(self, ctx: Context, message: Read) -> Count:
        ctx.stop()  # its one piece of work is done
        return Count(len(message.text.split()))


class Editor(Agent):
    @handles
    async def count(self, ctx: Context, message: Texts) -> Count:
        births = (ctx.spawn(Reader, name=f"reader-{n}") for n in range(len(message.texts)))
        readers = await ctx.gather(*births)
        calls = (ctx.call(who, Read(text)) for who, text in zip(readers, message.texts, strict=True))
        counts = await ctx.gather(*calls)
        return Count(sum(count.words for count in counts))
