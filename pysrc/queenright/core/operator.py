"""What needs an operator's private key: OpenSSH keys and SSHSIG. Never imported by the supervisor."""

__all__: list[str] = []
