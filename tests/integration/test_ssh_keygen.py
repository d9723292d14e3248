"""Our signatures and key files against OpenSSH's own programs, both ways."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from queenright.core import SigningKey, parse_key_line, verify_sshsig
from queenright.core.operator import SALT_LENGTH, OperatorKey, sshsig_armor, sshsig_payload
from queenright.errors import InvalidSignature, Malformed

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")

NAMESPACE = "approve@queenright.v1"
MESSAGE = b"\x00\xffdigest\n"


def run(*argv: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(part) for part in argv], input=data, capture_output=True, timeout=60, check=False
    )


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    assert (
        run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ana@ops", "-f", path, *more).returncode
        == 0
    )
    return path


def verified_by_openssh(tmp_path: Path, line: str, armored: str, message: bytes = MESSAGE) -> bool:
    (tmp_path / "allowed").write_text(f'ana namespaces="{NAMESPACE}" {line}\n')
    (tmp_path / "sig").write_text(armored)
    done = run(
        "ssh-keygen", "-Y", "verify", "-f", tmp_path / "allowed", "-I", "ana", "-n", NAMESPACE,
        "-s", tmp_path / "sig", data=message,
    )  # fmt: skip
    return done.returncode == 0


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_a_key_made_by_openssh_signs_here_and_verifies_there(tmp_path: Path, passphrase: str) -> None:
    path = keygen(tmp_path / "id", "ed25519", passphrase)
    key = OperatorKey.open(path.read_bytes(), passphrase.encode() or None)
    line = Path(f"{path}.pub").read_text()
    assert key.public_line == line.strip()
    armored = key.sign(NAMESPACE, MESSAGE)
    assert verified_by_openssh(tmp_path, line, armored)
    assert not verified_by_openssh(tmp_path, line, armored, MESSAGE + b"x")


def test_what_openssh_signs_verifies_here(tmp_path: Path) -> None:
    path = keygen(tmp_path / "id")
    line = Path(f"{path}.pub").read_text()
    for algorithm in ("sha512", "sha256"):
        done = run(
            "ssh-keygen",
            "-Y",
            "sign",
            "-f",
            path,
            "-n",
            NAMESPACE,
            "-O",
            f"hashalg={algorithm}",
            data=MESSAGE,
        )
        armored = done.stdout.decode()
        assert (
            verify_sshsig(line, NAMESPACE, MESSAGE, armored).fingerprint == parse_key_line(line).fingerprint
        )
        with pytest.raises(InvalidSignature):
            verify_sshsig(line, "intent@queenright.v1", MESSAGE, armored)
        with pytest.raises(InvalidSignature):
            verify_sshsig(line, NAMESPACE, MESSAGE + b"x", armored)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_file_written_here_opens_there(tmp_path: Path, passphrase: bytes | None) -> None:
    key = OperatorKey.generate(b"\x07" * 32, "ana@ops")
    path = tmp_path / "id"
    path.touch(0o600)
    path.write_text(key.to_openssh(passphrase, b"s" * SALT_LENGTH if passphrase else None))
    done = run("ssh-keygen", "-y", "-P", (passphrase or b"").decode(), "-f", path)
    assert done.stdout.decode().split()[:2] == key.public_line.split()[:2]
    shown = run("ssh-keygen", "-l", "-f", path).stdout.decode()
    assert key.fingerprint in shown or passphrase is not None


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    path = keygen(tmp_path / "id")
    shown = run("ssh-keygen", "-l", "-f", f"{path}.pub").stdout.decode().split()
    assert parse_key_line(Path(f"{path}.pub").read_text()).fingerprint == shown[1]


@pytest.mark.parametrize(("kind", "bits"), [("rsa", "2048"), ("ecdsa", "256")])
def test_other_key_types_are_refused_with_the_way_out(tmp_path: Path, kind: str, bits: str) -> None:
    path = keygen(tmp_path / "id", kind, "", "-b", bits)
    with pytest.raises(Malformed) as refused:
        parse_key_line(Path(f"{path}.pub").read_text())
    assert "ssh-keygen -t ed25519" in refused.value.hint
    with pytest.raises(Malformed) as refused:
        OperatorKey.open(path.read_bytes())
    assert "ssh-keygen -t ed25519" in refused.value.hint


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def test_a_security_keys_signature_as_openssh_checks_it(tmp_path: Path) -> None:
    """A security key in software (PROTOCOL.u2f): OpenSSH and we agree on its signatures, and it reports the touch."""
    import base64

    key, kind = SigningKey.from_seed(b"\x09" * 32), b"sk-ssh-ed25519@openssh.com"
    blob = _string(kind) + _string(key.public_key) + _string(b"ssh:")
    line = f"{kind.decode()} {base64.b64encode(blob).decode()} ana"
    tail = bytes([0x05]) + struct.pack(">I", 77)
    payload = sshsig_payload(NAMESPACE, MESSAGE)
    attested = hashlib.sha256(b"ssh:").digest() + tail + hashlib.sha256(payload).digest()
    armored = sshsig_armor(line, NAMESPACE, _string(kind) + _string(key.sign(attested)) + tail)
    said = verify_sshsig(line, NAMESPACE, MESSAGE, armored)
    assert (said.kind, said.touched, said.pin, said.counter) == (kind.decode(), True, True, 77)
    assert verified_by_openssh(tmp_path, line, armored)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("needs OpenSSH's ssh-agent")
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # printed once the socket listens
        yield path
    finally:
        process.terminate()
        process.wait(10)


def test_an_agent_signs_and_we_armour(tmp_path: Path, agent: Path) -> None:
    path = keygen(tmp_path / "id")
    line = Path(f"{path}.pub").read_text()
    environment = os.environ | {"SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", str(path)], env=environment, check=True, capture_output=True, timeout=60)
    import base64

    key_blob = base64.b64decode(line.split()[1])
    # SSH_AGENTC_SIGN_REQUEST (13): key, data, flags; answered by SSH_AGENT_SIGN_RESPONSE (14): signature.
    request = (
        bytes([13]) + _string(key_blob) + _string(sshsig_payload(NAMESPACE, MESSAGE)) + struct.pack(">I", 0)
    )
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(30)
        link.connect(str(agent))
        link.sendall(_string(request))
        stream = link.makefile("rb")
        answer = stream.read(struct.unpack(">I", stream.read(4))[0])
    assert answer[0] == 14
    armored = sshsig_armor(line, NAMESPACE, answer[5:])
    assert verified_by_openssh(tmp_path, line, armored)
    assert verify_sshsig(line, NAMESPACE, MESSAGE, armored).touched is False
