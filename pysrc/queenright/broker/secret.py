"""A credential's value, held so that nothing shows it by accident, and where values come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from queenright.errors import Malformed, Unknown

__all__ = ["MIN_SECRET", "Secret", "SecretProvider", "Secrets"]

MIN_SECRET = 8
"""Bytes. A shorter value cannot be scrubbed from replies: too much else would look like it."""

MAX_SECRET = 16 * 1024
"""Bytes: a PEM chain with its key fits."""


class Secret:
    """The bytes of one version of one credential. `reveal` is the only way to them."""

    __slots__ = ("_value", "name", "version")

    def __init__(self, name: str, version: int, value: bytes) -> None:
        if not MIN_SECRET <= len(value) <= MAX_SECRET:
            raise Malformed(f"secret {name} has {len(value)} bytes; {MIN_SECRET} to {MAX_SECRET}")
        self.name = name
        self.version = version
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return f"<Secret {self.name} version {self.version}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not copied or pickled")


class SecretProvider(Protocol):
    """One place that keeps secrets, found by the scheme before the colon of a reference such as
    `vault:name`.
    """

    def fetch(self, name: str) -> Secret:
        """The present version. Raises `Unknown`, or `Locked` when the provider cannot be opened."""


class Secrets:
    """Resolves references of `resources.toml` to values."""

    def __init__(self, providers: Mapping[str, SecretProvider]) -> None:
        self._providers = dict(providers)

    def fetch(self, reference: str) -> Secret:
        """`reference`: scheme:name. Raises `Unknown` for a scheme or name that nothing answers to."""
        scheme, colon, name = reference.partition(":")
        provider = self._providers.get(scheme)
        if not colon or provider is None:
            known = ", ".join(sorted(self._providers)) or "none"
            raise Unknown(f"no provider for secret reference {reference!r}", hint=f"known schemes: {known}")
        return provider.fetch(name)
