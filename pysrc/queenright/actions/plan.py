"""What exactly an act will do, as the bytes that are recorded, approved and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queenright.actions.act import Class, Risk
from queenright.core import canonical, decode, digest
from queenright.errors import Malformed

__all__ = ["Draft", "Plan", "risk_of"]

MAX_EFFECT = 16 * 1024
"""Bytes of the effect text: a card shows a screen of it and its digest."""

_RISKS: tuple[Risk, ...] = ("LOW", "MED", "HIGH", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a verb's adapter found and means to do; made in an executor from what it read itself.

    `args`: everything `run` will use. `precondition`: what must still hold when it runs. `undo`: what puts it
    back, None when nothing can, and `undo_text` the same in words. `images`: pre-images by name, kept as
    encrypted blobs. `klass` may be weaker than the manifest's for this very act, never stronger.
    """

    args: Mapping[str, Any]
    effect: str
    precondition: Mapping[str, Any]
    undo: Mapping[str, Any] | None
    undo_text: str
    images: Mapping[str, bytes] = field(default_factory=dict)
    klass: Class | None = None
    resources: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A draft with its authority's facts. `images` maps a pre-image's name to its sha256."""

    verb: str
    manifest: bytes
    resource: str
    args: Mapping[str, Any]
    effect: str
    precondition: Mapping[str, Any]
    undo: Mapping[str, Any] | None
    undo_text: str
    images: Mapping[str, bytes]
    klass: Class
    risk: Risk

    def encode(self) -> bytes:
        return canonical(
            {
                "v": 1,
                "verb": self.verb,
                "manifest": self.manifest,
                "resource": self.resource,
                "args": dict(self.args),
                "effect": self.effect,
                "precondition": dict(self.precondition),
                "undo": None if self.undo is None else dict(self.undo),
                "undo_text": self.undo_text,
                "images": dict(self.images),
                "class": self.klass,
                "risk": self.risk,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Plan:
        """Raises `Malformed` for bytes that are no plan."""
        body = decode(data)
        if not isinstance(body, dict) or body.pop("v", None) != 1 or "class" not in body:
            raise Malformed("these bytes are not a plan")
        body["klass"] = body.pop("class")
        try:
            return cls(**body)
        except TypeError as wrong:
            raise Malformed("a plan has other fields than its version says") from wrong

    @property
    def digest(self) -> bytes:
        """Of all of it: what the executor computes again over the bytes it was sent."""
        return digest("plan", self.encode())

    @property
    def undo_digest(self) -> bytes:
        undo = {"v": 1, "undo": None if self.undo is None else dict(self.undo), "images": dict(self.images)}
        return digest("undo-plan", canonical(undo))

    @property
    def effect_digest(self) -> bytes:
        return digest("effect", self.effect.encode())


def risk_of(klass: Class, *, resources: int, marked: bool, floor: Risk, discloses: bool = False) -> Risk:
    """access.md, "Risk": computed here and nowhere else. `marked`: the owner wrote risk = "high" in
    resources.toml.
    """
    if klass == "none" or discloses:
        risk: Risk = "CRITICAL"
    elif marked and klass != "read":
        risk = "HIGH"
    elif klass == "compensate":
        risk = "HIGH" if resources > 1 else "MED"
    else:
        risk = "MED" if klass == "exact" and resources > 1 else "LOW"
    return max(risk, floor, key=_RISKS.index)
