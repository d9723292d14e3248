"""The operators document: who the people are, by which keys, and what each may sign. Versioned, signed by an owner.

The owners of version 1 are the keys pinned when the state directory was made; each later version is signed by an owner of
the version before it and names that version's digest, so an older or a forked one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from queenright.authority.document import OPERATORS, exact, fields, texts
from queenright.authority.intent import GROUP_OR_NAME, Intent
from queenright.authority.rule import check_patterns, number
from queenright.core import canonical, digest, parse_key_line, verify_sshsig
from queenright.core.host import resource_covers, verb_covers
from queenright.errors import Conflict, InvalidSignature, Malformed, NotEntitled, Unknown

__all__ = ["FIRST", "Operators", "Person", "Power", "Right", "Signer"]

FIRST = bytes(32)
"""`previous` of version 1."""
MAX_PEOPLE = 1_000
MAX_KEYS = 16
MAX_RIGHTS = 256

Power = Literal["intents", "approvals", "undo"]
POWERS: tuple[Power, ...] = ("intents", "approvals", "undo")
_KINDS = frozenset({"ssh-ed25519", "sk-ssh-ed25519@openssh.com"})


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource pattern."""

    verbs: tuple[str, ...]
    resource: str

    def covers(self, verb: str, resource: str) -> bool:
        """True if every (verb, resource) of these names or patterns is one of this right's."""
        return resource_covers(self.resource, resource) and any(verb_covers(v, verb) for v in self.verbs)

    def to_map(self) -> dict[str, Any]:
        return {"verbs": list(self.verbs), "resource": self.resource}

    @classmethod
    def from_map(cls, body: object) -> Right:
        if not isinstance(body, dict) or body.keys() != {"verbs", "resource"}:
            raise Malformed("a right is a map of verbs and resource")
        check_patterns(body["verbs"], body["resource"])
        return cls(tuple(body["verbs"]), body["resource"])


EVERYTHING = (Right(("*",), "**"),)


@dataclass(frozen=True, slots=True)
class Person:
    """One person: keys as public key lines, groups, times (wall ms), and what they may sign."""

    name: str
    keys: tuple[str, ...]
    groups: tuple[str, ...] = ()
    not_before: int = 0
    not_after: int | None = None
    intents: tuple[Right, ...] = ()
    approvals: tuple[Right, ...] = ()
    undo: tuple[Right, ...] = ()
    break_glass: bool = False
    records: bool = False

    def valid(self, now_ms: int) -> bool:
        return self.not_before <= now_ms and (self.not_after is None or now_ms < self.not_after)

    def may(self, power: Power, verb: str, resource: str) -> bool:
        """Does this row cover signing for every verb and resource of these patterns?"""
        rights: tuple[Right, ...] = getattr(self, power)
        return any(right.covers(verb, resource) for right in rights)

    def answers_to(self, approvers: Iterable[str]) -> bool:
        """Is this person one of these names and @groups?"""
        mine = {self.name, *(f"@{group}" for group in self.groups)}
        return not mine.isdisjoint(approvers)

    def to_map(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "keys": list(self.keys),
            "groups": list(self.groups),
            "not_before": self.not_before,
            "not_after": self.not_after,
            "break_glass": self.break_glass,
            "records": self.records,
        } | {power: [right.to_map() for right in getattr(self, power)] for power in POWERS}

    @classmethod
    def from_map(cls, body: object) -> Person:
        if not isinstance(body, dict) or body.keys() != set(cls.__slots__):
            raise Malformed(f"a person is a map of {', '.join(cls.__slots__)}")
        if any(type(body[name]) is not bool for name in ("break_glass", "records")):
            raise Malformed("`break_glass` and `records` are yes or no")
        if type(body["name"]) is not str:
            raise Malformed("a person's name is text")
        rights: dict[str, tuple[Right, ...]] = {}
        for power in POWERS:
            if not isinstance(body[power], list) or len(body[power]) > MAX_RIGHTS:
                raise Malformed(f"`{power}` is a list of at most {MAX_RIGHTS} rights")
            rights[power] = tuple(map(Right.from_map, body[power]))
        ends = body["not_after"]
        return cls(
            name=body["name"],
            keys=texts(body["keys"], "keys"),
            groups=texts(body["groups"], "groups"),
            not_before=number(body["not_before"], "not_before", 0),
            not_after=None if ends is None else number(ends, "not_after", 0),
            break_glass=body["break_glass"],
            records=body["records"],
            **rights,
        )

    def check(self) -> None:
        """Raises Malformed for a name, group or key that cannot be enrolled."""
        for name in (self.name, *self.groups):
            if name.startswith("@") or not GROUP_OR_NAME.fullmatch(name):
                raise Malformed(f"`{name[:40]}` is not a name: lower-case letters, digits and . _ -")
        if not 0 < len(self.keys) <= MAX_KEYS:
            raise Malformed(f"{self.name} has 1 to {MAX_KEYS} keys")
        for line in self.keys:
            key = parse_key_line(line)
            if key.kind not in _KINDS:
                raise Malformed(
                    f"a {key.kind} key cannot be enrolled: only Ed25519 and sk-Ed25519",
                    hint="make one: ssh-keygen -t ed25519",
                )


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, by which key; `touched`: the key's hardware saw a person."""

    person: Person
    fingerprint: str
    key_line: str
    touched: bool
    owner: bool

    @property
    def name(self) -> str:
        return self.person.name


_SHAPE: dict[str, type | tuple[type, ...]] = {
    "runtime": bytes, "version": int, "previous": bytes, "signed_at": int, "owners": list, "people": list,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operators:
    """One version of the document. `owners` are key lines, each of one of the people."""

    runtime: bytes
    version: int
    previous: bytes
    signed_at: int
    owners: tuple[str, ...]
    people: tuple[Person, ...]

    def encode(self) -> bytes:
        """The bytes that an owner signs in the namespace `operators@queenright.v1`."""
        return canonical(
            {
                "v": 1,
                "kind": "operators",
                "runtime": self.runtime,
                "version": self.version,
                "previous": self.previous,
                "signed_at": self.signed_at,
                "owners": list(self.owners),
                "people": [person.to_map() for person in self.people],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Operators:
        """Raises Malformed."""
        body = fields(data, "operators", _SHAPE)
        if len(body["people"]) > MAX_PEOPLE:
            raise Malformed(f"an operators document has at most {MAX_PEOPLE} people")
        found = cls(
            exact(body["runtime"], 32, "runtime"),
            number(body["version"], "version", 1),
            exact(body["previous"], 32, "previous"),
            number(body["signed_at"], "signed_at", 0),
            texts(body["owners"], "owners"),
            tuple(map(Person.from_map, body["people"])),
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises Malformed: two people of one name or key, or an owner who is not one of the people."""
        names = [person.name for person in self.people]
        if len(set(names)) != len(names):
            raise Malformed("two people have the same name")
        keys: list[str] = []
        for person in self.people:
            person.check()
            keys += [parse_key_line(line).fingerprint for line in person.keys]
        if len(set(keys)) != len(keys):
            raise Malformed("one key belongs to one person, once")
        owners = {parse_key_line(line).fingerprint for line in self.owners}
        if not owners or not owners <= set(keys):
            raise Malformed("an owner's key is one of the people's keys, and there is at least one")

    @property
    def digest(self) -> bytes:
        return digest("operators", self.encode())

    # ---- one version after another ----

    @classmethod
    def first(cls, data: bytes, signature: str, pinned: Iterable[str], runtime: bytes) -> Operators:
        """Version 1, signed by one of the keys pinned at init. Raises Malformed, InvalidSignature, NotEntitled."""
        found = cls.decode(data)
        if found.version != 1 or found.previous != FIRST:
            raise Conflict(f"the first operators document is version 1, not {found.version}")
        found._signed(data, signature, tuple(pinned), runtime)
        return found

    def succeed(self, data: bytes, signature: str) -> Operators:
        """The next version, signed by an owner of this one. Raises Conflict for an older or forked one."""
        found = Operators.decode(data)
        if found.version != self.version + 1 or found.previous != self.digest:
            raise Conflict(
                f"operators version {found.version} does not follow version {self.version} in force",
                hint="edit the version in force: queenright operator list",
            )
        found._signed(data, signature, self.owners, self.runtime)
        return found

    def _signed(self, data: bytes, signature: str, owners: tuple[str, ...], runtime: bytes) -> None:
        if self.runtime != runtime:
            raise NotEntitled("this operators document is another supervisor's")
        for line in owners:
            try:
                verify_sshsig(line, OPERATORS, data, signature)
            except InvalidSignature:
                continue
            return
        raise InvalidSignature("the operators document is not signed by an owner", hint="an owner signs it")

    # ---- asking it ----

    def person(self, name: str) -> Person:
        for person in self.people:
            if person.name == name:
                return person
        raise Unknown(f"no operator `{name[:40]}`", hint="queenright operator list")

    def holder(self, fingerprint: str, now_ms: int) -> Signer:
        """The valid person with this key. Raises NotEntitled."""
        for person in self.people:
            for line in person.keys:
                if parse_key_line(line).fingerprint == fingerprint:
                    return self._valid(
                        Signer(person, fingerprint, line, False, self._is_owner(fingerprint)), now_ms
                    )
        raise NotEntitled(
            f"no operator has the key {fingerprint}", hint="an owner enrols it: queenright operator add"
        )

    def signer(self, namespace: str, message: bytes, signature: str, now_ms: int) -> Signer:
        """Who signed `message`. Raises InvalidSignature if no enrolled key did, NotEntitled out of the person's time."""
        for person in self.people:
            for line in person.keys:
                try:
                    found = verify_sshsig(line, namespace, message, signature)
                except InvalidSignature:
                    continue
                owner = self._is_owner(found.fingerprint)
                return self._valid(Signer(person, found.fingerprint, line, found.touched, owner), now_ms)
        raise InvalidSignature(
            "the signature is not one of an enrolled operator over these bytes",
            hint="queenright operator list shows who is enrolled",
        )

    def _is_owner(self, fingerprint: str) -> bool:
        return any(parse_key_line(line).fingerprint == fingerprint for line in self.owners)

    @staticmethod
    def _valid(signer: Signer, now_ms: int) -> Signer:
        if not signer.person.valid(now_ms):
            raise NotEntitled(
                f"{signer.person.name} is enrolled, but not at this time", hint="an owner changes the row"
            )
        return signer

    def entitle(self, signer: Signer, power: Power, verb: str, resource: str) -> None:
        """Raises NotEntitled unless this person's own row covers it."""
        if not signer.person.may(power, verb, resource):
            raise NotEntitled(
                f"{signer.person.name} may not sign {power} for {verb} on {resource}",
                hint="another operator signs it, or an owner changes the row",
            )

    def entitle_intent(self, signer: Signer, intent: Intent) -> None:
        """Raises NotEntitled naming every clause beyond the signer's own row."""
        beyond = [
            f"{verb} on {clause.rule.resource}"
            for clause in intent.clauses
            for verb in clause.rule.verbs
            if not signer.person.may("intents", verb, clause.rule.resource)
        ]
        if beyond:
            raise NotEntitled(
                f"{signer.person.name} may not sign an intent for {', '.join(beyond)}",
                hint="another operator signs it, or an owner changes the row",
            )

    def unanswerable(self, intent: Intent, now_ms: int) -> tuple[str, ...]:
        """The asks of an intent that too few of the people enrolled could answer, in words."""
        found = []
        for clause in intent.clauses:
            approval = clause.approval
            if approval is None:
                continue
            for verb in clause.rule.verbs:
                able = [
                    person
                    for person in self.people
                    if person.valid(now_ms)
                    and person.may("approvals", verb, clause.rule.resource)
                    and (not approval.approvers or person.answers_to(approval.approvers))
                ]
                if len(able) < approval.quorum:
                    who = ", ".join(approval.approvers) or "anyone"
                    found.append(
                        f"{verb} on {clause.rule.resource} needs {approval.quorum} of {who}, {len(able)} could answer"
                    )
        return tuple(found)

    # ---- editing ----

    def edited(
        self, now_ms: int, *, people: tuple[Person, ...] | None = None, owners: tuple[str, ...] | None = None
    ) -> Operators:
        """The next version with other people or owners, to be signed. Raises Malformed."""
        after = replace(
            self,
            version=self.version + 1,
            previous=self.digest,
            signed_at=now_ms,
            people=self.people if people is None else people,
            owners=self.owners if owners is None else owners,
        )
        after.check()
        return after

    def removed_keys(self, after: Operators) -> frozenset[str]:
        """Fingerprints that were enrolled here and are not in `after`: their unspent verdicts are void."""
        return self.fingerprints() - after.fingerprints()

    def fingerprints(self) -> frozenset[str]:
        return frozenset(parse_key_line(line).fingerprint for person in self.people for line in person.keys)
