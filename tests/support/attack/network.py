"""The network and the host's sockets."""

from __future__ import annotations

import socket

from base import FACTS, attack, each


def connect(target: tuple) -> str:
    _, family, kind, address = target
    with socket.socket(family, kind) as link:
        link.settimeout(2)
        if kind == socket.SOCK_DGRAM:
            link.sendto(b"out", tuple(address) if isinstance(address, list) else address)
        else:
            link.connect(tuple(address) if isinstance(address, list) else address)
    return "reached"


each(
    "connect to",
    [
        ("tcp of the host", socket.AF_INET, socket.SOCK_STREAM, FACTS["tcp"]),
        ("tcp6 of the host", socket.AF_INET6, socket.SOCK_STREAM, ["::1", FACTS["tcp"][1]]),
        ("udp of the host", socket.AF_INET, socket.SOCK_DGRAM, FACTS["udp"]),
        ("cloud metadata", socket.AF_INET, socket.SOCK_STREAM, ["169.254.169.254", 80]),
        ("an abstract unix socket of the host", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + FACTS["abstract"]),
        ("a unix socket of the host", socket.AF_UNIX, socket.SOCK_STREAM, FACTS["unix"]),
        ("vsock of the host machine", 40, socket.SOCK_STREAM, [2, 1024]),
    ],
    connect,
)
if FACTS["kind"] == "cell":

    @attack
    def aim_a_datagram_pair_elsewhere() -> str:
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.sendto(b"out", "\0" + FACTS["abstract"])
        return "sent"

    @attack
    def connect_an_inherited_socket_elsewhere() -> str:
        socket.socketpair()[0].connect("\0" + FACTS["abstract"])
        return "connected"
