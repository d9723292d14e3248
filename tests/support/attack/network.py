"""The network, the host's sockets, and families that no namespace holds."""

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


def make(target: tuple) -> str:
    _, family, kind, protocol = target
    socket.socket(family, kind, protocol).close()
    return "made"


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
each(
    "make",
    [
        ("raw ip socket", socket.AF_INET, socket.SOCK_RAW, 1),
        ("ping socket", socket.AF_INET, socket.SOCK_DGRAM, 1),
        ("packet socket", 17, socket.SOCK_RAW, 0x0300),
        ("kernel crypto socket", 38, socket.SOCK_SEQPACKET, 0),
        ("vsock", 40, socket.SOCK_STREAM, 0),
        ("bluetooth socket", 31, socket.SOCK_RAW, 1),
        ("key socket", 15, socket.SOCK_RAW, 2),
        ("xdp socket", 44, socket.SOCK_RAW, 0),
        ("tipc socket", 30, socket.SOCK_STREAM, 0),
        ("can socket", 29, socket.SOCK_RAW, 1),
        *((f"netlink socket {number}", 16, socket.SOCK_RAW, number) for number in (0, 4, 6, 9, 12, 15, 16)),
        ("tcp socket", socket.AF_INET, socket.SOCK_STREAM, 0),
        ("udp socket", socket.AF_INET, socket.SOCK_DGRAM, 0),
    ],
    make,
)
if FACTS["kind"] == "cell":
    each("make", [("unix socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)], make)

    @attack
    def aim_a_datagram_pair_elsewhere() -> str:
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.sendto(b"out", "\0" + FACTS["abstract"])
        return "sent"

    @attack
    def connect_an_inherited_socket_elsewhere() -> str:
        socket.socketpair()[0].connect("\0" + FACTS["abstract"])
        return "connected"
