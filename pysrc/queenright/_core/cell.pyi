"""Contract; its engineer keeps it equal to the Rust face (stubtest checks)."""

from collections.abc import Callable
from typing import Any, final

def seal(receiver: bytes, info: bytes, aad: bytes, plaintext: bytes, seed: bytes) -> tuple[bytes, bytes]: ...
def open_sealed(
    private_key: bytes, encapsulated: bytes, info: bytes, aad: bytes, ciphertext: bytes
) -> bytes: ...

@final
class Scheduler:
    def __new__(
        cls, quantum: int = 32, mailbox_messages: int = 1000, mailbox_bytes: int = 8388608, reserved: int = 64
    ) -> Scheduler: ...
    def add(self, agent: bytes, handler: Callable[[Any, bytes], Any]) -> None: ...
    def remove(self, agent: bytes) -> list[Any]: ...
