"""Founding a state directory: guided or by options, whole or not at all, and nothing of it readable by others."""

from __future__ import annotations

import json
import os
import stat

import pytest

from queenright.authority.document import OPERATORS
from queenright.authority.operators import Operators
from queenright.clock import ManualClock
from queenright.control.operator_key import open_path
from queenright.core import SigningKey, verify_sshsig
from queenright.core.operator import needs_passphrase
from queenright.errors import Conflict, Malformed, QueenrightError
from queenright.paths import Paths
from queenright.supervisor import founding
from queenright.supervisor.founding import found_state, read_pinned
from queenright.supervisor.keyring import Keyring
from queenright.supervisor.master import MasterKey, find_master


@pytest.fixture
def place(kit, tmp_path, monkeypatch, capsys):
    """A place without keys or agent; gives (directory, command line)."""
    from queenright.cli.app import run_command_line

    for name in ("SSH_AUTH_SOCK", "QUEENRIGHT_KEY", "QUEENRIGHT_STATE"):
        monkeypatch.delenv(name, raising=False)
    with kit.short_directory() as directory:
        monkeypatch.setenv("HOME", str(directory))
        monkeypatch.setenv("QUEENRIGHT_CONFIG", str(directory / "config"))

        def call(*args):
            with pytest.raises(SystemExit) as ended:
                run_command_line([*args, "--state", str(directory / "state")])
            out, err = capsys.readouterr()
            return int(ended.value.code or 0), out, err

        yield directory, call


def test_init_without_a_key_or_a_terminal_makes_everything_by_options(place):
    directory, cli = place
    code, out, err = cli(
        "init",
        "--new-key",
        f"{directory}/owner",
        "--master-file",
        f"{directory}/master",
        "--name",
        "ana",
        "--json",
    )
    assert code == 0
    told = json.loads(out)
    paths = Paths.of(directory / "state", {})
    pinned = read_pinned(paths)
    document = (paths.documents / founding.OPERATORS_DOCUMENT).read_bytes()
    signature = (paths.documents / founding.OPERATORS_SIGNATURE).read_text()
    operators = Operators.first(document, signature, pinned.owners, pinned.runtime)
    assert [person.name for person in operators.people] == ["ana"]
    assert verify_sshsig(pinned.owners[0], OPERATORS, document, signature).fingerprint == told["fingerprint"]
    keyring = Keyring.open(
        paths.keyring, find_master(state=paths.state, environ={}, file=directory / "master")
    )
    assert SigningKey.from_seed(keyring.runtime_seed).public_key == pinned.runtime
    assert SigningKey.from_seed(keyring.log_seed).public_key == pinned.log
    assert told["runtime"] == pinned.runtime.hex()
    assert "whoever reads the file can sign as you" in err  # made without a passphrase: said


def test_nothing_of_a_state_directory_is_readable_by_others(place):
    directory, cli = place
    assert cli("init", "--new-key", f"{directory}/owner", "--master-file", f"{directory}/master")[0] == 0
    for root, names, files in os.walk(directory / "state"):
        for name in (*names, *files):
            assert not stat.S_IMODE(os.lstat(os.path.join(root, name)).st_mode) & 0o077, name
    assert stat.S_IMODE((directory / "owner").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "master").stat().st_mode) == 0o600


def test_second_init_on_one_directory_is_refused_and_changes_nothing(place):
    directory, cli = place
    assert cli("init", "--new-key", f"{directory}/owner", "--master-file", f"{directory}/master")[0] == 0
    before = (directory / "state" / "keyring").read_bytes()
    code, _, err = cli("init", "--new-key", f"{directory}/other", "--master-file", f"{directory}/m2")
    assert code == 1
    assert "exists and is not empty" in err
    assert not (directory / "other").exists()
    assert (directory / "state" / "keyring").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 3, "no owner key was named"),
        (["--new-key", "OWNER"], 3, "how the master key is kept was not said"),
        (["--new-key", "OWNER", "--master", "file"], 3, "--master-file PATH"),
        (["--new-key", "OWNER", "--master", "fd"], 3, "--master-key-fd"),
        (["--new-key", "OWNER", "--master-file", "STATE/inside"], 1, "lies in the state directory"),
        (["--key", "NONE", "--master-file", "MASTER"], 1, "there is no key at"),
        (["--new-key", "OWNER", "--master-file", "MASTER", "--name", "Not A Name"], 1, "is not a name"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_left_behind(place, args, code, words):
    directory, cli = place
    named = {"OWNER": "owner", "MASTER": "master", "NONE": "none", "STATE/inside": "state/inside"}
    got, _, err = cli("init", *(str(directory / named[arg]) if arg in named else arg for arg in args))
    assert got == code
    assert words in err
    assert not (directory / "state").exists() or not any((directory / "state").iterdir())
    assert not (directory / "master").exists()
    assert not (directory / "owner").exists()
    assert not (directory / "owner.pub").exists()
    assert not [name for name in os.listdir(directory) if name.startswith(".state")]


def test_state_directory_too_long_for_a_socket_is_refused_before_anything_is_made(place, tmp_path, capsys):
    from queenright.cli.app import run_command_line

    directory, _ = place
    with pytest.raises(SystemExit):
        run_command_line(["init", "--new-key", f"{directory}/owner", "--state", str(directory / ("x" * 120))])
    assert "over the kernel's 107" in capsys.readouterr().err
    assert not (directory / "owner").exists()


def test_master_key_is_read_from_a_descriptor_and_never_kept(place):
    directory, cli = place
    read, write = os.pipe()
    os.write(write, b"\x07" * 32)
    os.close(write)
    assert cli("init", "--new-key", f"{directory}/owner", "--master-key-fd", str(read))[0] == 0
    keyring = Keyring.open(directory / "state" / "keyring", MasterKey(b"\x07" * 32))
    assert keyring.kept == "fd"
    stored = b"".join(path.read_bytes() for path in (directory / "state").rglob("*") if path.is_file())
    assert b"\x07" * 32 not in stored
    assert (b"\x07" * 32).hex().encode() not in stored


def test_key_that_does_not_sign_leaves_no_half_made_directory(kit):
    def refuse(namespace, message):
        raise QueenrightError("the touch was refused")

    with kit.short_directory() as directory:
        paths = Paths.of(directory / "state", {})
        facts = {"master": MasterKey(bytes(32)), "kept": "fd", "clock": ManualClock()}
        with pytest.raises(QueenrightError, match="touch"):
            found_state(paths, owner="ana", key_line=kit.signer(1).key.line, sign=refuse, **facts)
        assert os.listdir(directory) == []
        signer = kit.signer(2)  # signed by another key than the one that is pinned
        with pytest.raises(QueenrightError):
            found_state(paths, owner="ana", key_line=kit.signer(1).key.line, sign=signer.sign, **facts)
        assert os.listdir(directory) == []
        found_state(paths, owner="ana", key_line=signer.key.line, sign=signer.sign, **facts)
        with pytest.raises(Conflict):
            found_state(paths, owner="ana", key_line=signer.key.line, sign=signer.sign, **facts)


def test_directory_that_init_did_not_make_is_told_so(kit):
    with kit.short_directory() as directory:
        paths = Paths.of(directory / "state", {})
        with pytest.raises(Malformed, match="no state directory"):
            read_pinned(paths)
        paths.create()
        for text in ("", "[]", "{}", '{"v": 2}', '{"v": 1, "runtime": "00", "log": "00", "owners": ["x"]}'):
            (paths.documents / founding.PINNED).write_text(text)
            with pytest.raises(Malformed, match="damaged"):
                read_pinned(paths)


def test_existing_key_file_can_be_the_owners(place, kit):
    directory, cli = place
    key = directory / "mine"
    key.write_text(kit.signer(7).private.to_openssh(None, None))
    key.chmod(0o600)
    assert cli("init", "--key", str(key), "--master-file", f"{directory}/master")[0] == 0
    assert read_pinned(Paths.of(directory / "state", {})).owners == (kit.signer(7).key.line,)


def test_new_key_never_replaces_one_that_is_there(place):
    directory, cli = place
    (directory / "owner.pub").write_text("somebody's")
    code, _, err = cli("init", "--new-key", f"{directory}/owner", "--master-file", f"{directory}/master")
    assert code == 1
    assert "exists" in err
    assert (directory / "owner.pub").read_text() == "somebody's"


class Typist:
    """A terminal on which somebody types."""

    def __init__(self, monkeypatch, lines, secrets):
        self.secrets = iter(secrets)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr(
            "queenright.cli.run.getpass.getpass", lambda prompt, stream=None: next(self.secrets)
        )
        answers = iter(lines)
        monkeypatch.setattr(
            "queenright.cli.init.click.prompt", lambda *a, default=None, **k: next(answers) or default
        )


def test_guided_init_makes_a_key_for_who_has_none(place, monkeypatch):
    directory, cli = place
    Typist(monkeypatch, ["ana", "", "file", ""], ["a passphrase", "a passphrase"])
    code, out, err = cli("init")
    assert code == 0, err
    key = directory / ".ssh" / "queenright"
    assert needs_passphrase(key.read_bytes())
    signer = open_path(key, agent=None, ask=lambda prompt: b"a passphrase")
    assert read_pinned(Paths.of(directory / "state", {})).owners == (signer.key.line,)
    assert (directory / "config" / "master.key").exists()
    assert "owner: ana" in out


def test_guided_init_offers_the_keys_that_are_there(place, monkeypatch, kit):
    directory, cli = place
    (directory / ".ssh").mkdir()
    key = directory / ".ssh" / "id_ed25519"
    key.write_text(kit.signer(7).private.to_openssh(None, None))
    key.chmod(0o600)
    key.with_suffix(".pub").write_text(kit.signer(7).private.public_line)
    (directory / ".ssh" / "id_rsa.pub").write_text("ssh-rsa AAAA old")
    Typist(monkeypatch, ["ana", "1", "file", ""], [])
    code, _, err = cli("init")
    assert code == 0, err
    assert "id_ed25519" in err
    assert "ssh-rsa" not in err
    assert read_pinned(Paths.of(directory / "state", {})).owners == (kit.signer(7).key.line,)


def test_passphrases_that_differ_make_nothing(place, monkeypatch):
    directory, cli = place
    Typist(monkeypatch, ["ana", "n"], ["one", "two"])
    code, _, err = cli("init")
    assert code == 1
    assert "differ" in err
    assert list(directory.rglob("*")) in ([], [directory / ".ssh"])
