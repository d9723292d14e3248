"""What needs an operator's private key: OpenSSH keys and SSHSIG. Never imported by the supervisor."""

from queenright._core.operator import SALT_LENGTH, OperatorKey, needs_passphrase, sshsig_armor, sshsig_payload

__all__ = ["SALT_LENGTH", "OperatorKey", "needs_passphrase", "sshsig_armor", "sshsig_payload"]
