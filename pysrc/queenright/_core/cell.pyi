"""Keep this equal to the Rust face in core-rs/queenright-py/src/cell (stubtest checks)."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Self, TypeVar, final

from typing_extensions import disjoint_base

from queenright._core.shared import SigningKey

_M = TypeVar("_M", bound="MessageBase")

def build_message(class_: type[_M], map: dict[str, Any], /) -> _M: ...
def encode_message(message: MessageBase) -> bytes:
    """The canonical bytes of a message's fields. Raises Malformed for text with a lone surrogate."""

def decode_message(class_: type[_M], /, body: bytes) -> _M:
    """The message in canonical bytes. Raises Malformed for unknown, missing or wrong fields."""

@final
class Sealer:
    """One incarnation's outgoing mail. `messages`, `bytes`: how much volatile mail may be under way. `bag`: how many messages
    a bag holds before it leaves by itself."""

    def __new__(
        cls, runtime_key: bytes, agent: bytes, incarnation: int, messages: int, bytes: int, bag: int
    ) -> Sealer: ...
    def learn(self, receiver: bytes, public_key: bytes, generation: int, sequence: int, seed: bytes) -> None:
        """Seal for `receiver` from now on: its certified key, the pair's next sequence, 32 fresh random bytes."""

    def knows(self, receiver: bytes) -> bool: ...
    def add(self, to: bytes, message: MessageBase) -> int:
        """Put a volatile message into the open bag; how many are in it. Raises MailboxFull, with the message."""

    def cut(self) -> bool:
        """Close the open bag; whether there was anything in it."""

    def waiting(self) -> int:
        """How many messages the bag that leaves next holds; 0 if none waits."""

    def missing(self) -> list[bytes]:
        """The receivers of that bag whose keys are not here."""

    def seal_bag(self, key: SigningKey, salts: bytes) -> bytes:
        """That bag as a signed packet. `salts`: 16 random bytes for each message."""

    def seal_letters(
        self, key: SigningKey, drafts: Sequence[tuple[bytes, str, bytes]], salts: bytes
    ) -> list[bytes]:
        """(receiver, type, body) under one signature, a letter each. `salts`: 16 random bytes for each."""

    def credit(self, messages: int, bytes: int) -> None: ...
    @property
    def under_way(self) -> tuple[int, int]: ...

@final
class Arrival:
    """The messages of one batch until they are delivered."""

    @property
    def sender(self) -> bytes: ...
    @property
    def life(self) -> int: ...
    @property
    def messages(self) -> list[tuple[bytes, str, Any, int]]:
        """(receiver, type, message or what refused it, bytes of ciphertext) of what is left."""

    def deliver(
        self, scheduler: Scheduler, waiting: dict[bytes, Any]
    ) -> tuple[list[tuple[bytes, int, int]], list[tuple[bytes, str, Any, int]]]:
        """(receiver, messages, bytes of ciphertext) of what went into mailboxes, and what did not, in order."""

@final
class Opener:
    """One cell's incoming mail."""

    def __new__(cls, runtime_key: bytes) -> Opener: ...
    def introduce(self, sender: bytes, incarnation: int, public_key: bytes) -> None:
        """A sender's key in a life, from a verified certificate. Raises Conflict for an earlier life or a second key."""

    def give_key(self, agent: bytes, generation: int, private_key: bytes) -> None: ...
    def forget(self, agent: bytes) -> None: ...
    def open_packet(self, packet: bytes, find: Callable[[str], type[MessageBase] | None]) -> Arrival:
        """The packet's messages. Raises for one that is refused as a whole."""

    def open_letter(
        self, letter: bytes, *, receiver: bytes, sender: bytes, incarnation: int, kind: str, public_key: bytes
    ) -> bytes:
        """The body of one letter. Raises InvalidSignature, InvalidProof, Malformed, Unknown."""

@disjoint_base
class MessageBase:
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    @property
    def __size__(self) -> int: ...
    def __plain__(self) -> dict[str, Any]: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...

@final
class Field:
    def __new__(cls, at: int, name: str) -> Field: ...
    def __get__(self, message: Any, owner: Any = None, /) -> Any: ...
    def __set__(self, message: Any, value: Any, /) -> None: ...

@final
class Schema:
    def __new__(
        cls, name: str, fields: Sequence[tuple[str, Any, bool, Any]], volatile: bool = False
    ) -> Schema: ...
    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> list[str]: ...
    def has_default(self, field: str) -> bool: ...
    def default(self, field: str) -> Any: ...

class Suspension:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...

@final
class Sent:
    def __await__(self) -> Generator[Any]: ...

@disjoint_base
class ContextBase:
    def __new__(cls, turn: Any, scheduler: Scheduler | None = None, agent: bytes | None = None) -> Self: ...
    @property
    def _turn(self) -> Any: ...
    @property
    def sender(self) -> Any: ...
    def send(self, agent: Any, message: Any) -> Sent: ...

@final
class Scheduler:
    def __new__(
        cls,
        wake: Callable[[bytes], Any],
        failed: Callable[[bytes, int, BaseException], object],
        reference: type,
        *,
        quantum: int = 8,
        mailbox_messages: int = 1000,
        mailbox_bytes: int = 8388608,
        reserved: int = 64,
        total_bytes: int = 268435456,
    ) -> Scheduler: ...
    def behaviour(self, handlers: Sequence[tuple[type, Callable[..., Any]]]) -> int: ...
    def talk(self, pairs: Sequence[tuple[int, int]]) -> None: ...
    def add(
        self,
        agent: bytes,
        behaviour: int,
        record: bytes,
        *,
        parent: bytes | None = None,
        children: Sequence[bytes] = ...,
    ) -> None: ...
    def remove(self, agent: bytes) -> list[Any]: ...
    def record(self, agent: bytes) -> bytes: ...
    def resident(self, agent: bytes) -> Any: ...
    def awaken(self, agent: bytes) -> Any: ...
    def seal_with(self, agent: bytes, sealer: Sealer) -> None:
        """What the agent's volatile mail to other cells is to collect in while it is awake. Raises Unknown."""

    def forget(self, agent: bytes) -> None: ...
    def resting(self, before_ms: int, most: int) -> list[bytes]: ...
    def sleep(self, agent: bytes, record: bytes) -> None: ...
    def awake(self) -> int: ...
    def send(self, to: bytes, message: Any, size: int) -> bool: ...
    def deliver(
        self,
        to: bytes,
        message: Any,
        size: int,
        *,
        sender: bytes | None = None,
        reserved: bool = True,
        turn: int = 0,
    ) -> None: ...
    def run(self, most: int = 1000, now_ms: int = 0) -> int: ...
    def resume(self, agent: bytes, value: Any = None) -> None: ...
    def throw(self, agent: bytes, error: BaseException) -> None: ...
    def abandon(self, agent: bytes) -> None: ...
    def is_waiting(self, agent: bytes) -> bool: ...
    def has_ready(self) -> bool: ...
    def counters(self, agent: bytes) -> tuple[int, int, int, int]: ...
    def progress(self) -> int: ...
    def current(self) -> bytes | None: ...
    def heed(self, descriptor: int) -> None:
        """End a run early when something can be read there. Raises OSError, or Conflict for a second descriptor."""

    def watch(self, page: Any) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, agent: object, /) -> bool: ...
