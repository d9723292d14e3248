"""The master key and what it opens."""

from __future__ import annotations

import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import pytest
from nacl import pwhash

from queenright.errors import Conflict, Locked, Malformed
from queenright.supervisor.keyring import SUBKEYS, Keyring, hkdf
from queenright.supervisor.master import CREDENTIAL, MasterKey, Passphrase, create_key_file, find_master

KEY = bytes(range(32))
FAST = {"opslimit": pwhash.argon2id.OPSLIMIT_MIN, "memlimit": pwhash.argon2id.MEMLIMIT_MIN}


def keys(ring: Keyring) -> list[bytes]:
    return [ring.runtime_seed, ring.log_seed, ring.hmac_key, *(ring.subkey(name) for name in SUBKEYS)]


def test_a_keyring_opens_with_the_same_keys_after_a_restart(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path / "keyring", MasterKey(KEY), kept="fd")
    again = Keyring.open(tmp_path / "keyring", MasterKey(KEY))
    assert keys(made) == keys(again)
    assert len(set(keys(made))) == len(keys(made))
    assert (tmp_path / "keyring").stat().st_mode & 0o777 == 0o600
    other = Keyring.create(tmp_path / "other", MasterKey(KEY), kept="fd")
    assert other.runtime_seed != made.runtime_seed
    assert other.subkey("vault") == made.subkey("vault")


def test_without_the_master_key_it_is_locked_and_gives_nothing(tmp_path: Path) -> None:
    Keyring.create(tmp_path / "keyring", MasterKey(KEY), kept="fd")
    ring = Keyring.open(tmp_path / "keyring", None)
    assert ring.locked
    for read in (lambda: ring.runtime_seed, lambda: ring.hmac_key, lambda: ring.subkey("vault")):
        with pytest.raises(Locked, match="no master key"):
            read()
    with pytest.raises(Locked, match="master key does not open"):
        ring.unlock(MasterKey(bytes(32)))
    assert ring.locked
    ring.unlock(MasterKey(KEY))
    assert not ring.locked
    held = ring._keys["runtime"]
    ring.lock()
    assert ring.locked
    assert held == bytes(32)


def test_a_wrong_passphrase_is_named_and_a_right_one_opens(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    Keyring.create(path, Passphrase(b"correct horse"), kept="passphrase", **FAST)
    with pytest.raises(Locked, match="this passphrase does not open keyring"):
        Keyring.open(path, Passphrase(b"battery staple"))
    ring = Keyring.open(path, Passphrase(b"correct horse"))
    assert ring.wants_passphrase
    assert ring.kept == "passphrase"
    Keyring.create(tmp_path / "second", MasterKey(KEY), kept="fd")
    with pytest.raises(Locked, match="made with a key"):
        Keyring.open(tmp_path / "second", Passphrase(b"x"))


def test_no_secret_stands_in_the_file_a_repr_or_a_traceback(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path / "keyring", MasterKey(KEY), kept="fd")
    text = (tmp_path / "keyring").read_bytes()
    for key in (KEY, *keys(ring)):
        assert key not in text
        assert key.hex().encode() not in text
    shown = repr(ring) + repr(MasterKey(KEY)) + repr(Passphrase(b"horse"))
    try:
        Keyring.open(tmp_path / "keyring", MasterKey(b"\x07" * 32))
    except Locked as error:
        shown += "".join(traceback.format_exception(error))
    assert KEY.hex() not in shown
    assert "horse" not in shown
    assert repr(KEY) not in shown
    for copies in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copies(MasterKey(KEY))


def test_an_altered_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    Keyring.create(path, MasterKey(KEY), kept="file")
    good = json.loads(path.read_text())

    def rewritten(**changes: object) -> Path:
        path.write_text(json.dumps(good | changes))
        return path

    for changed in ({"kept": "fd"}, {"file": "/elsewhere"}):
        with pytest.raises(Locked):
            Keyring.open(rewritten(**changed), MasterKey(KEY))
    swapped = good["sealed"] | {"runtime": good["sealed"]["log"], "log": good["sealed"]["runtime"]}
    with pytest.raises(Malformed, match="damaged"):
        Keyring.open(rewritten(sealed=swapped), MasterKey(KEY))
    huge = {"salt": "00" * 16, "ops": 3, "memory": 1 << 40}
    for changed in ({"v": 2}, {"kept": "env"}, {"sealed": {}}, {"kdf": huge}, {"kdf": 3}, {"more": 1}):
        with pytest.raises(Malformed):
            Keyring.open(rewritten(**changed), None)
    path.write_bytes(b"\xff\x00")
    with pytest.raises(Malformed):
        Keyring.open(path, None)
    rewritten()
    path.chmod(0o644)
    with pytest.raises(Malformed, match=r"read by others|mode 0640"):
        Keyring.open(path, None)


def test_a_keyring_is_never_overwritten(tmp_path: Path) -> None:
    Keyring.create(tmp_path / "keyring", MasterKey(KEY), kept="fd")
    before = (tmp_path / "keyring").read_bytes()
    with pytest.raises(Conflict):
        Keyring.create(tmp_path / "keyring", MasterKey(KEY), kept="fd")
    assert (tmp_path / "keyring").read_bytes() == before


def pipe(data: bytes) -> int:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return read


def test_sources_are_taken_in_order_and_none_but_these(tmp_path: Path) -> None:
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL).write_bytes(b"c" * 32)
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), "QUEENRIGHT_MASTER_KEY": KEY.hex()}
    made = create_key_file(tmp_path / "key", state)
    every = {"state": state, "environ": environ, "ask": lambda: b"typed", "file": tmp_path / "key"}
    got = find_master(**every, fd=pipe(KEY.hex().encode() + b"\n"))
    assert isinstance(got, MasterKey)
    assert got.reveal() == KEY
    got = find_master(**every)
    assert got is not None
    assert got.reveal() == b"c" * 32
    got = find_master(**every | {"environ": {"QUEENRIGHT_MASTER_KEY": KEY.hex()}})
    assert isinstance(got, Passphrase)
    got = find_master(state=state, environ={}, file=tmp_path / "key")
    assert got is not None
    assert got.reveal() == made.reveal()
    assert find_master(state=state, environ={"QUEENRIGHT_MASTER_KEY": KEY.hex()}) is None


def test_an_unusable_source_is_refused_and_not_skipped(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    create_key_file(tmp_path / "key", state)
    for data in (b"", b"short", b"k" * 33, b"z" * 64, b"00" * 400):
        with pytest.raises(Malformed, match="no master key"):
            find_master(state=state, environ={}, fd=pipe(data), file=tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(Malformed, match=r"read by others|mode 0640"):
        find_master(state=state, environ={}, file=tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("link", "fifo", "absent"):
        with pytest.raises(Malformed):
            find_master(state=state, environ={}, file=tmp_path / name)
    for inside in (state / "key", tmp_path / "x" / ".." / "state" / "key"):
        with pytest.raises(Malformed, match="state directory"):
            create_key_file(inside, state)


def test_subkeys_are_rfc_5869() -> None:
    # RFC 5869 appendix A.3: no salt, no info, first 32 bytes; our label takes the place of info.
    import hashlib
    import hmac

    extracted = hmac.digest(bytes(32), b"\x0b" * 22, hashlib.sha256)
    assert extracted.hex() == "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"
    info = b"queenright/vault/v1"
    assert hkdf(b"\x0b" * 22, "vault") == hmac.digest(extracted, info + b"\x01", hashlib.sha256)
