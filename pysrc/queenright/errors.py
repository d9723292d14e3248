"""Every refusal of queenright, and nothing else.

A refusal is an exception that carries its facts as attributes, never a False. Its text is lower case, says what
was refused, the value and the way out, and never holds a secret. Anyone may import this module.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AskExpired",
    "CallCycle",
    "CallTooDeep",
    "Conflict",
    "Denied",
    "Dimension",
    "DiskFull",
    "ForeignAwaitable",
    "InvalidProof",
    "InvalidSignature",
    "LedgerBroken",
    "LedgerUnwritable",
    "Locked",
    "MailboxFull",
    "Malformed",
    "NoSupervisor",
    "NotEntitled",
    "Parked",
    "QueenrightError",
    "SandboxRefused",
    "StaleVerdict",
    "StateTooNew",
    "StepFailed",
    "StepMismatch",
    "StepOverlap",
    "StoreFailed",
    "TimedOut",
    "TooManySteps",
    "Unknown",
    "UnknownOutcome",
    "VolatileTurn",
    "WorkspaceFull",
    "WrongPassphrase",
]


class QueenrightError(Exception):
    """Base of every refusal. `code` is stable and machine-readable; `hint` names the way out."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Malformed(QueenrightError):
    """Bytes or text that are not what their place demands."""

    code = "malformed"


class InvalidSignature(QueenrightError):
    """A signature that does not verify under the key and the bytes it was given with."""

    code = "invalid_signature"


class InvalidProof(QueenrightError):
    """A path or consistency proof that does not lead to the hash tree's root it was given with."""

    code = "invalid_proof"


class WrongPassphrase(QueenrightError):
    """A key file or vault that this passphrase, or none, does not open."""

    code = "wrong_passphrase"


class NotEntitled(QueenrightError):
    """An operator whose row in the operators document does not cover the act."""

    code = "not_entitled"


class Unknown(QueenrightError):
    """A name, id or digest that nothing answers to."""

    code = "unknown"


class Conflict(QueenrightError):
    """Somebody else was first, or the world changed since: nothing was done."""

    code = "conflict"


class StaleVerdict(Conflict):
    """A verdict whose ask, target or authority is no longer what was signed."""

    code = "stale_verdict"


class AskExpired(QueenrightError):
    """Nobody answered in time, which is a denial."""

    code = "ask_expired"


class Locked(QueenrightError):
    """The supervisor has no master key yet."""

    code = "locked"


class NoSupervisor(QueenrightError):
    """No supervisor answers at the control socket."""

    code = "no_supervisor"


class StateTooNew(QueenrightError):
    """A state directory written by a newer version."""

    code = "state_too_new"


class StoreFailed(QueenrightError):
    """The store cannot be opened, or failed and takes nothing more until it is opened again."""

    code = "store_failed"


class DiskFull(StoreFailed):
    """No space for a submission. Nothing of it stands; the store goes on when there is space."""

    code = "disk_full"


class WorkspaceFull(QueenrightError):
    """An action would leave more in a workspace than its quota. Nothing of it was kept."""

    code = "quota"


class LedgerUnwritable(QueenrightError):
    """The ledger cannot be written, so nothing may be done."""

    code = "ledger_unwritable"


class LedgerBroken(QueenrightError):
    """The ledger does not verify: `index` is the first entry that fails, or None for the whole."""

    code = "ledger_broken"

    def __init__(self, message: str, *, index: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.index = index


class SandboxRefused(QueenrightError):
    """The launcher would not start a process: the failed step, its errno and the fix. Nothing ran."""

    code = "sandbox_refused"

    def __init__(self, message: str, *, step: str, errno: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Dimension:
    """One reason of a denial: `name` (scope, time, budget, …), `level` of the chain it failed at, `detail` in words."""

    name: str
    level: str
    detail: str


class Denied(QueenrightError):
    """An act that no grant allows. Holds every failing dimension, not just the first."""

    code = "denied"

    def __init__(
        self,
        message: str,
        *,
        verb: str,
        resource: str,
        dimensions: tuple[Dimension, ...] = (),
        reason: str = "",
        amendment: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.verb = verb
        self.resource = resource
        self.dimensions = dimensions
        self.reason = reason
        self.amendment = amendment


class MailboxFull(QueenrightError):
    """The target's mailbox is full. The message comes back in `undelivered`; nothing was lost."""

    code = "mailbox_full"

    def __init__(self, message: str, *, undelivered: object = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.undelivered = undelivered


class TimedOut(QueenrightError):
    """A call that nobody answered by its deadline."""

    code = "timed_out"


class Parked(QueenrightError):
    """The callee waits for a person; `ask` is the id of what it waits for."""

    code = "parked"

    def __init__(self, message: str, *, ask: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ask = ask


class CallCycle(QueenrightError):
    """A call to an agent that is already waiting in this chain of calls."""

    code = "call_cycle"


class CallTooDeep(QueenrightError):
    """A chain of open calls longer than 16."""

    code = "call_too_deep"


class StepOverlap(QueenrightError):
    """A second step opened while one is open; several at once go through `ctx.gather`."""

    code = "step_overlap"


class UnknownOutcome(QueenrightError):
    """An effect that began and whose end nobody saw. A person decides; it is never repeated blindly."""

    code = "unknown_outcome"


class ForeignAwaitable(QueenrightError):
    """A handler awaited something that no step of `ctx` made; nothing in a cell would ever wake it."""

    code = "foreign_awaitable"


class StepFailed(QueenrightError):
    """The function given to `ctx.run` raised; recorded, so a re-run raises the same."""

    code = "step_failed"


class StepMismatch(QueenrightError):
    """A re-run asked for something else than what the turn had recorded at that place."""

    code = "mismatch"


class TooManySteps(QueenrightError):
    """A turn opened more steps than a turn may have."""

    code = "too_many_steps"


class VolatileTurn(QueenrightError):
    """A turn over a volatile message records nothing, so it may not open a step."""

    code = "volatile_turn"
