"""Which key the client takes, what it refuses, and the ssh-agent it talks to."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading

import pytest

from queenright.control import agent_socket
from queenright.control.agent_socket import AgentRefused, SshAgent
from queenright.control.operator_key import AgentSigner, FileSigner, choose, open_path, read_public
from queenright.core import SigningKey, parse_key_line, verify_sshsig
from queenright.core.operator import SALT_LENGTH, OperatorKey
from queenright.errors import Malformed, NotEntitled, QueenrightError, Unknown, WrongPassphrase

NAMESPACE = "session@queenright.v1"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 someone"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class FakeAgent:
    """An ssh-agent of our own: Ed25519 keys by number, or an answer that is given as it stands."""

    def __init__(self, path, numbers=(), answer=None):
        self.path = str(path)
        self.keys = {}
        for number in numbers:
            line = OperatorKey.generate(bytes([number]) * 32, f"key {number}").public_line
            self.keys[base64.b64decode(line.split()[1])] = (
                SigningKey.from_seed(bytes([number]) * 32),
                number,
            )
        self.answer = answer
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(self.path)
        self.listening.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client:
                head = client.recv(4)
                if len(head) == 4:
                    body = client.recv(int.from_bytes(head, "big"))
                    client.sendall(self.answer if self.answer is not None else string(self.reply(body)))

    def reply(self, body):
        if body[0] == 11:
            listed = [
                string(blob) + string(f"key {number}".encode()) for blob, (_, number) in self.keys.items()
            ]
            return bytes([12]) + len(listed).to_bytes(4, "big") + b"".join(listed)
        size = int.from_bytes(body[1:5], "big")
        blob, rest = body[5 : 5 + size], body[5 + size :]
        data = rest[4 : 4 + int.from_bytes(rest[:4], "big")]
        if blob not in self.keys:
            return bytes([5])
        return bytes([14]) + string(string(b"ssh-ed25519") + string(self.keys[blob][0].sign(data)))

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(10)


@pytest.fixture
def agent_at(kit):
    agents = []
    with kit.short_directory() as directory:

        def make(*numbers, answer=None):
            agents.append(FakeAgent(directory / f"agent{len(agents)}", numbers, answer))
            return SshAgent(agents[-1].path)

        yield make
        for agent in agents:
            agent.close()


def never(prompt):
    raise AssertionError(f"asked for {prompt}")


def write(path, number, passphrase=None, mode=0o600):
    key = OperatorKey.generate(bytes([number]) * 32, "me@here")
    path.write_text(key.to_openssh(passphrase, os.urandom(SALT_LENGTH) if passphrase else None))
    path.chmod(mode)
    return key


def line_of(number):
    return parse_key_line(OperatorKey.generate(bytes([number]) * 32, "").public_line).line


def test_named_key_file_wins_over_config_and_agent(tmp_path, agent_at):
    write(tmp_path / "named", 1)
    write(tmp_path / "configured", 2)
    agent = agent_at(3)
    chosen = choose(
        str(tmp_path / "named"), str(tmp_path / "configured"), enrolled=lambda x: x, agent=agent, ask=never
    )
    assert (chosen.key.line, chosen.where) == (line_of(1), str(tmp_path / "named"))
    chosen = choose(None, str(tmp_path / "configured"), enrolled=lambda x: x, agent=agent, ask=never)
    assert chosen.key.line == line_of(2)


def test_the_one_enrolled_agent_key_is_taken(agent_at):
    chosen = choose(None, None, enrolled=lambda lines: [line_of(4)], agent=agent_at(3, 4, 5), ask=never)
    assert isinstance(chosen, AgentSigner)
    verify_sshsig(line_of(4), NAMESPACE, b"message", chosen.sign(NAMESPACE, b"message"))


def test_several_enrolled_agent_keys_are_listed_and_none_is_guessed(agent_at):
    with pytest.raises(NotEntitled, match="2 keys of ssh-agent are enrolled") as refused:
        choose(None, None, enrolled=lambda lines: lines, agent=agent_at(3, 4), ask=never)
    for number in (3, 4):
        assert parse_key_line(line_of(number)).fingerprint in refused.value.message
    assert "--key" in refused.value.hint


def test_no_enrolled_key_lists_the_candidates_and_the_way_to_enrol(agent_at):
    with pytest.raises(NotEntitled, match="no key of ssh-agent is enrolled here: SHA256:") as refused:
        choose(None, None, enrolled=lambda lines: [], agent=agent_at(3), ask=never)
    assert "queenright operator add" in refused.value.hint


@pytest.mark.parametrize("agent", [None, SshAgent("/nonexistent/agent")])
def test_without_any_key_the_way_out_is_named(agent):
    with pytest.raises(NotEntitled, match="no operator key was named") as refused:
        choose(None, None, enrolled=lambda lines: lines, agent=agent, ask=never)
    assert "--key PATH" in refused.value.hint


def test_public_file_signs_through_the_agent_that_holds_it(tmp_path, agent_at):
    path = tmp_path / "me.pub"
    path.write_text(line_of(3) + " me@here\n")
    signer = open_path(path, agent=agent_at(3), ask=never)
    verify_sshsig(line_of(3), NAMESPACE, b"m", signer.sign(NAMESPACE, b"m"))
    with pytest.raises(NotEntitled, match="does not hold its private half"):
        open_path(path, agent=agent_at(4), ask=never)
    with pytest.raises(NotEntitled):
        open_path(path, agent=None, ask=never)


def test_passphrase_is_asked_three_times_at_most(tmp_path):
    write(tmp_path / "key", 1, b"right")
    tries = iter([b"wrong", b"worse", b"right"])
    signer = open_path(tmp_path / "key", agent=None, ask=lambda prompt: next(tries))
    verify_sshsig(line_of(1), NAMESPACE, b"m", signer.sign(NAMESPACE, b"m"))
    asked = []
    with pytest.raises(WrongPassphrase) as refused:
        open_path(tmp_path / "key", agent=None, ask=lambda prompt: asked.append(prompt) or b"never")
    assert len(asked) == 3
    assert "never" not in str(refused.value)


def test_closed_key_signs_nothing_more(tmp_path):
    write(tmp_path / "key", 1)
    signer = open_path(tmp_path / "key", agent=None, ask=never)
    assert isinstance(signer, FileSigner)
    signer.close()
    with pytest.raises(NotEntitled, match="has been closed"):
        signer.sign(NAMESPACE, b"m")


def test_key_that_others_may_read_is_refused(tmp_path):
    write(tmp_path / "key", 1, mode=0o644)
    with pytest.raises(NotEntitled, match="others may read") as refused:
        open_path(tmp_path / "key", agent=None, ask=never)
    assert refused.value.hint == f"chmod 600 {tmp_path / 'key'}"


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, b"x" * 70_000])
def test_what_is_no_key_is_malformed(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Malformed):
        open_path(path, agent=None, ask=never)


def test_missing_key_names_the_line_that_makes_one(tmp_path):
    with pytest.raises(Unknown) as refused:
        open_path(tmp_path / "none", agent=None, ask=never)
    assert "ssh-keygen -t ed25519" in refused.value.hint


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-dss"])
def test_other_key_types_are_named_with_the_line_that_makes_a_right_one(kind):
    with pytest.raises(Malformed, match=f"type {kind} cannot be enrolled") as refused:
        read_public(RSA.replace("ssh-rsa", kind))
    assert "ssh-keygen -t ed25519" in refused.value.hint


def test_rsa_identities_of_an_agent_are_no_candidates(agent_at):
    blob = string(b"ssh-rsa") + string(b"\x01\x00\x01") + string(b"\x00" * 128)
    answer = string(bytes([12]) + (1).to_bytes(4, "big") + string(blob) + string(b"rsa key"))
    with pytest.raises(NotEntitled, match="no operator key was named"):
        choose(None, None, enrolled=lambda lines: lines, agent=agent_at(answer=answer), ask=never)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        string(b"\x05"),
        string(b"\x0e"),
        string(b"\x0c"),
        string(b"\x0c\xff\xff\xff\xff"),
        string(b"\x0c\x00\x00\x00\x01\x00\x00\x00\xff"),
        string(b"\x0c\x00\x00\x00\x00extra"),
        string(b"\x0c\x00\x00\x00\x01" + string(b"") + string(b"c")),
    ],
)
def test_broken_agent_is_refused(agent_at, answer):
    with pytest.raises(AgentRefused):
        agent_at(answer=answer).identities()


def test_silent_agent_is_given_up(kit, monkeypatch):
    monkeypatch.setattr(agent_socket, "LIST_WITHIN_S", 0.01)
    with kit.short_directory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(directory / "a"))
        silent.listen()
        with pytest.raises(AgentRefused, match="did not answer"):
            SshAgent(str(directory / "a")).identities()


def test_signature_of_another_key_by_the_agent_does_not_verify(agent_at):
    agent = agent_at(3)
    signer = AgentSigner(agent, agent.identities()[0])
    with pytest.raises(QueenrightError):
        verify_sshsig(line_of(4), NAMESPACE, b"m", signer.sign(NAMESPACE, b"m"))


@pytest.mark.skipif(not all(map(shutil.which, ("ssh-agent", "ssh-add"))), reason="OpenSSH is not installed")
def test_real_ssh_agent_lists_and_signs(tmp_path, kit):
    write(tmp_path / "key", 7)
    with kit.short_directory() as directory:
        path = str(directory / "agent")
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            environ = os.environ | {"SSH_AUTH_SOCK": path}
            for _ in range(200):  # the agent has bound its socket once ssh-add reaches it
                added = subprocess.run(
                    ["ssh-add", "-q", str(tmp_path / "key")], env=environ, capture_output=True
                )
                if added.returncode == 0:
                    break
            assert added.returncode == 0, added.stderr
            chosen = choose(None, None, enrolled=lambda lines: lines, agent=SshAgent(path), ask=never)
            verify_sshsig(line_of(7), NAMESPACE, b"m", chosen.sign(NAMESPACE, b"m"))
        finally:
            process.terminate()
            process.wait(10)
            process.stderr.close()
