"""What the core gives to a cell: the scheduler with its mailboxes and sleepers, message objects, contexts, sealing.

`Scheduler(wake, failed, reference)`: `wake(agent)` makes the resident of an agent that slept, with `me` and
`open() -> (object, context)`; `failed(agent, turn, error)` hears of what a handler raised. `behaviour(handlers)` declares a
class, `add(agent, behaviour, record)` an agent of it, asleep. A volatile message calls its handler with the object, the
context and itself; any other thing that is delivered (`turn` not 0) is asked to `run()`. What comes back is a coroutine
that is run to its end without an event loop. One that awaits a `Suspension` is parked until `resume(agent, value)` or
`throw(agent, error)`; awaiting anything else raises ForeignAwaitable into it. `send` stamps the running agent as the sender
and is False where the receiver is not here or not known to it here; `deliver` is the runtime's way in. `run(most, now_ms)`
does at most that many steps and returns how many it did. `counters(agent)` is (handled, refused, waiting messages, waiting
bytes). A full mailbox raises MailboxFull with the message.

`Sealer` is one incarnation's way out of the cell and `Opener` the cell's way in (`wire.envelope`): sealing, hashing, signing,
checking and opening happen many messages in one call, with the interpreter lock released. Once an agent `seal_with`s its
sealer, what it sends elsewhere goes from `ctx.send` into the open bag; an `Arrival` goes into the mailboxes in one call.
"""

from queenright._core.cell import (
    Arrival,
    ContextBase,
    Field,
    MessageBase,
    Opener,
    Scheduler,
    Schema,
    Sealer,
    Sent,
    Suspension,
    build_message,
    decode_message,
    encode_message,
)

__all__ = [
    "Arrival",
    "ContextBase",
    "Field",
    "MessageBase",
    "Opener",
    "Scheduler",
    "Schema",
    "Sealer",
    "Sent",
    "Suspension",
    "build_message",
    "decode_message",
    "encode_message",
]
