"""What needs an operator's private key. Kept equal to the Rust face: stubtest checks."""

from typing import Final, final

SALT_LENGTH: Final = 20
"""Random bytes that `OperatorKey.to_openssh` needs beside a passphrase."""

@final
class OperatorKey:
    """An operator's own Ed25519 key, as OpenSSH keeps it. Wiped when let go."""

    @property
    def public_line(self) -> str:
        """Type, base64 and comment, as a `.pub` file holds them."""
    @property
    def fingerprint(self) -> str: ...
    @staticmethod
    def generate(seed: bytes, comment: str) -> OperatorKey:
        """The key of 32 secret random bytes. Raises Malformed."""
    @staticmethod
    def open(data: bytes, passphrase: bytes | None = None) -> OperatorKey:
        """Read an OpenSSH private key file; a passphrase exactly if it is encrypted. Raises
        WrongPassphrase, Malformed.
        """
    def to_openssh(self, passphrase: bytes | None = None, salt: bytes | None = None) -> str:
        """The key file, encrypted under `passphrase` with SALT_LENGTH random bytes, or plain with neither.
        Raises Malformed.
        """
    def sign(self, namespace: str, message: bytes) -> str:
        """An armoured SSHSIG (SHA-512) over `message`. Raises Malformed for the namespace."""

def needs_passphrase(data: bytes) -> bool:
    """Is this key file encrypted? Raises Malformed if it is none."""

def sshsig_payload(namespace: str, message: bytes) -> bytes:
    """What ssh-agent is asked to sign for an SSHSIG over `message`."""

def sshsig_armor(key_line: str, namespace: str, signature_blob: bytes) -> str:
    """The armoured SSHSIG from ssh-agent's answer (the signature string of SSH_AGENT_SIGN_RESPONSE). Raises
    Malformed.
    """
