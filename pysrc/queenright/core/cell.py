"""What the core gives to a cell: the scheduler with its mailboxes, message objects, sealing.

`Scheduler` runs agents' handlers: `add(agent, handler, failed)`, where `handler(message, sender)` returns a
coroutine that is run to its end without an event loop. One that awaits a `Suspension` is parked until
`resume(agent, value)` or `throw(agent, error)`; awaiting anything else raises ForeignAwaitable into it.
`send` stamps the running agent as the sender; `deliver` is the runtime's way in. `run(most)` does at most
that many steps and returns how many it did. `counters(agent)` is (handled, refused, waiting messages,
waiting bytes). A full mailbox raises MailboxFull with the message.

`Sealer` is one incarnation's way out of the cell and `Opener` the cell's way in (`wire.envelope`): sealing, hashing, signing,
checking and opening happen many messages in one call, with the interpreter lock released.
"""

from queenright._core.cell import (
    Field,
    MessageBase,
    Opener,
    Scheduler,
    Schema,
    Sealer,
    Suspension,
    build_message,
    decode_message,
    encode_message,
)

__all__ = [
    "Field",
    "MessageBase",
    "Opener",
    "Scheduler",
    "Schema",
    "Sealer",
    "Suspension",
    "build_message",
    "decode_message",
    "encode_message",
]
