"""The client as a second reader: it remembers the last checkpoint, complains of a rewritten history, verifies a copy."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from queenright.cli.terminal import verifier
from queenright.control.client import AsyncClient
from queenright.control.ledger_copy import Memory, copying, drive_async
from queenright.core import SigningKey
from queenright.errors import LedgerBroken, LedgerUnwritable, Malformed
from queenright.ledger import Entry, Ledger, Supervisor
from queenright.store import Store

ORIGIN = "testhost/0a1b2c/ledger"


class Log:
    """A real ledger, told over the fake service as the supervisor tells it."""

    def __init__(self, path: Path, served, *, seed: bytes = bytes(32), start: int = 0) -> None:
        path.mkdir(mode=0o700)
        (path / "store").mkdir(mode=0o700)
        self.store = Store.open(path / "store", bytes(32), rand=os.urandom)
        self.ledger = Ledger(path / "ledger", self.store, SigningKey.from_seed(seed), ORIGIN, served.clock)
        self.start = start
        served.service.answers |= {
            "ledger_checkpoint": self.checkpoint,
            "ledger_export": self.export,
            "ledger_read": self.read,
            "ledger_copies": [],
        }

    def write(self, count: int) -> None:
        for number in range(count):
            entry = Entry("cell.started", number, Supervisor(), facts={"cell": f"cell-{self.start + number}"})
            self.store.commit(self.ledger.entry(entry))
        self.ledger.flush()

    def checkpoint(self, caller, since=None):
        published = self.ledger.checkpoint()
        if published is None:
            raise LedgerUnwritable("no checkpoint yet")
        size, note = published
        if since is not None and since > size:
            raise Malformed(f"no tree of {since} entries is a prefix of one of {size}")
        proof = self.ledger.consistency(since, size) if since else []
        facts = {
            "note": note.decode(),
            "vkey": self.ledger.vkey,
            "size": size,
            "root": self.ledger.root(size),
        }
        return facts | {"since": since, "proof": proof}

    def export(self, caller):
        names = ("entries", "log.vkey")
        files = [
            {"name": n, "bytes": (self.ledger.directory / n).stat().st_size, "sha256": None} for n in names
        ]
        _, note = self.ledger.checkpoint()
        return {"files": files, "checkpoint": note.decode(), "vkey": self.ledger.vkey}

    def read(self, caller, name, offset, limit):
        return (self.ledger.directory / name).read_bytes()[offset : offset + limit]


@pytest.fixture
def ledger(served, tmp_path):
    made = []

    def make(**how):
        made.append(Log(tmp_path / f"log{len(made)}", served, **how))
        return made[-1]

    yield make
    for log in made:
        log.ledger.close()
        log.store.close()


def verify(*args: str, **environ: str) -> tuple[int, dict]:
    """In a process of its own, with nothing but what it is given."""
    done = subprocess.run(
        [sys.executable, "-m", "queenright", "ledger", "verify", *args, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.defpath, "HOME": "/nonexistent"} | environ,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


def test_checkpoint_is_remembered_privately_and_a_continued_history_is_fine(ledger, cli, tmp_path):
    log = ledger()
    log.write(3)
    assert cli("ledger", "copies")[0] == 0
    (kept,) = (tmp_path / "config" / "checkpoints").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = kept.read_bytes()
    log.write(4)
    code, out, err = cli("ledger", "checkpoint", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["size"] == 7
    assert kept.read_bytes() != before
    code, out, _ = cli("ledger", "checkpoint")
    assert out.startswith(f"{ORIGIN}\n7\n")


def test_rewritten_history_is_complained_of_and_nothing_is_given_to_it(ledger, cli):
    ledger().write(3)
    assert cli("ledger", "copies")[0] == 0
    ledger(start=100).write(5)  # other entries under the same key
    code, _, err = cli("agent", "stop", "x")
    assert code == 0  # taking away works above all now
    assert "LEDGER: the first 3 entries are not those that were seen here before" in err
    code, _, err = cli("agent", "unfreeze", "x")
    assert code == 1
    assert "rewritten" in err
    assert cli("ledger", "checkpoint")[0] == 1


@pytest.mark.parametrize("left", [2, 0])
def test_cut_tail_is_complained_of(ledger, cli, left):
    ledger().write(3)
    assert cli("ledger", "copies")[0] == 0
    log = ledger()
    if left:
        log.write(left)
    code, _, err = cli("ledger", "checkpoint")
    assert code == 1
    assert "no longer shows the 3 entries it signed" in err


def test_ledger_signed_by_another_key_is_complained_of(ledger, cli):
    ledger().write(3)
    assert cli("ledger", "copies")[0] == 0
    ledger(seed=b"\x01" * 32).write(3)
    code, _, err = cli("ledger", "checkpoint")
    assert code == 1
    assert "another key" in err


@pytest.mark.parametrize(
    "change", [{"proof": [bytes(32)]}, {"note": "x"}, {"note": "x" * 100_000}, {"vkey": "x"}]
)
def test_checkpoint_that_proves_nothing_is_refused(served, ledger, cli, change):
    log = ledger()
    log.write(3)
    assert cli("ledger", "copies")[0] == 0
    log.write(3)
    served.service.answers["ledger_checkpoint"] = lambda caller, since=None: (
        log.checkpoint(caller, since) | change
    )
    assert cli("ledger", "checkpoint")[0] == 1
    assert cli("agent", "unfreeze", "x")[0] == 1
    assert cli("agent", "stop", "x")[0] == 0  # taking away never waits for a sound record


def test_damaged_memory_is_named_and_never_taken_for_a_first_visit(ledger, cli, tmp_path):
    ledger().write(3)
    assert cli("ledger", "copies")[0] == 0
    (kept,) = (tmp_path / "config" / "checkpoints").iterdir()
    kept.write_text("{}")
    code, _, err = cli("ledger", "checkpoint")
    assert code == 1
    assert str(kept) in err


def test_export_verifies_elsewhere_with_public_keys_alone(ledger, cli, tmp_path):
    log = ledger()
    log.write(5)
    (tmp_path / "seen.note").write_text(cli("ledger", "checkpoint")[1])
    log.write(5)
    code, out, _ = cli("ledger", "export", str(tmp_path / "copy"), "--json")
    assert code == 0
    vkey = json.loads(out)["vkey"]
    shutil.rmtree(log.ledger.directory)  # nothing of the supervisor is needed
    copy = str(tmp_path / "copy")
    code, report = verify(copy, "--vkey", vkey, "--checkpoint", str(tmp_path / "seen.note"))
    assert (code, report["entries"], report["checked"], report["tail"], report["broken"]) == (
        0,
        10,
        5,
        "checked",
        [],
    )
    code, report = verify(copy, "--vkey", vkey)
    assert (code, report["tail"]) == (8, "not checked")
    code, report = verify(copy, "--checkpoint", str(tmp_path / "seen.note"))
    assert code == 8
    assert any("taken from the copy itself" in what for what in report["not_checked"])
    # What this client saw is taken when no checkpoint is named.
    code, report = verify(copy, "--vkey", vkey, QUEENRIGHT_CONFIG=str(tmp_path / "config"))
    assert (code, report["tail"]) == (0, "checked")
    assert cli("ledger", "export", copy)[0] == 1  # never over something that is there


def test_altered_or_cut_copy_ends_with_1(ledger, cli, tmp_path):
    log = ledger()
    log.write(5)
    (tmp_path / "seen.note").write_text(cli("ledger", "checkpoint")[1])
    vkey = json.loads(cli("ledger", "export", str(tmp_path / "copy"), "--json")[1])["vkey"]
    entries = tmp_path / "copy" / "entries"
    whole = entries.read_bytes()
    for altered in (whole[:-1], whole[: len(whole) // 2], whole.replace(b"cell-3", b"cell-9"), b""):
        entries.write_bytes(altered)
        code, report = verify(
            str(tmp_path / "copy"), "--vkey", vkey, "--checkpoint", str(tmp_path / "seen.note")
        )
        assert code == 1
        assert report["broken"]
    assert verify(str(tmp_path / "none"))[0] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"name": "../escape", "bytes": 1, "sha256": None}]},
        {"files": [{"name": "/etc/escape", "bytes": 1, "sha256": None}]},
        {"files": [{"name": "a/b/c", "bytes": 1, "sha256": None}]},
        {"files": [{"name": "entries", "bytes": 10**9, "sha256": None}]},
    ],
)
def test_supervisor_cannot_write_outside_the_copy_or_without_end(served, ledger, cli, tmp_path, change):
    log = ledger()
    log.write(1)
    served.service.answers["ledger_export"] = lambda caller: log.export(caller) | change
    assert cli("ledger", "export", str(tmp_path / "copy"))[0] == 1
    assert not (tmp_path / "escape").exists()


async def test_terminal_verifies_against_what_was_seen_before_and_says_when_nothing_was(world, kit, tmp_path):
    log = Log(tmp_path / "log", world)
    log.write(2)
    world.service.answers["operators"] = {"document": world.gate.document.encode()}
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    verify = verifier(Memory(tmp_path / "seen"))
    first = await verify(client)
    assert (first.ok, first.complete, first.entries) == (True, False, 2)
    assert "no checkpoint kept elsewhere" in first.words
    log.write(3)
    second = await verify(client)
    assert (second.ok, second.complete, second.entries) == (True, True, 5)
    forged = Log(tmp_path / "forged", world, start=100)
    forged.write(9)
    third = await verify(client)
    assert not third.ok
    assert "rewritten" in third.words
    await client.close()
    for made in (log, forged):
        made.ledger.close()
        made.store.close()


async def test_asyncio_client_copies_and_remembers_the_same_way(world, kit, tmp_path):
    log = Log(tmp_path / "log", world)
    log.write(2)
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    memory = Memory(tmp_path / "seen")
    assert (await drive_async(client, memory.checking(kit.runtime))).size == 2
    assert await drive_async(client, copying(tmp_path / "copy")) == log.ledger.vkey
    world.service.answers["ledger_checkpoint"] = Malformed("no tree of 2 entries")
    with pytest.raises(LedgerBroken):
        await drive_async(client, memory.checking(kit.runtime))
    await client.close()
    log.ledger.close()
    log.store.close()
