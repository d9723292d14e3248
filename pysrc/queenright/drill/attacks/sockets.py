"""The network, the host's sockets, and families that no namespace holds."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from .kit import At, Attack, add, attack

NO_SOCKETS = "seccomp; network namespace"
# What a cell's filter answers, and what a network with nothing in it answers to a command.
REFUSED = "EPERM EACCES ENETUNREACH EADDRNOTAVAIL ECONNREFUSED"
WAIT_S = 0.5


def connect(at: At, family: int, address: object) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(WAIT_S)
        link.connect(address)  # type: ignore[arg-type]
        link.sendall(at.token)
    return "reached the decoy listener"


@attack("sockets", "cell", NO_SOCKETS, REFUSED)
def reach_a_listener_on_loopback(at: At) -> str:
    """Connect to 127.0.0.1 of the host. Harmless: the listener is a decoy."""
    return connect(at, socket.AF_INET, ("127.0.0.1", at.facts["tcp"]))


@attack("sockets", "cell", NO_SOCKETS, REFUSED)
def reach_a_listener_on_loopback_by_ipv6(at: At) -> str:
    """Connect to ::1 of the host. Harmless: the listener is a decoy."""
    return connect(at, socket.AF_INET6, ("::1", at.facts["tcp6"]))


@attack("sockets", "cell", NO_SOCKETS, REFUSED)
def send_a_datagram_to_the_host(at: At) -> str:
    """UDP to 127.0.0.1 of the host. Harmless: the receiver is a decoy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(at.token, ("127.0.0.1", at.facts["udp"]))
    return "sent a datagram to the decoy"


@attack("sockets", "cell", NO_SOCKETS + "; Landlock", REFUSED)
def reach_an_abstract_socket(at: At) -> str:
    """A Unix socket without a file, as D-Bus has. Harmless: the listener is a decoy."""
    return connect(at, socket.AF_UNIX, "\0" + at.facts["abstract"])


@attack("sockets", "cell", "seccomp; mount namespace", REFUSED + " ENOENT")
def reach_a_socket_by_its_path(at: At) -> str:
    """A Unix socket in a directory, as docker has. Harmless: the listener is a decoy."""
    return connect(at, socket.AF_UNIX, at.facts["unix"])


@attack("sockets", "cell", "seccomp; mount namespace", REFUSED + " ENOENT")
def reach_the_control_socket(at: At) -> str:
    """Connect to the supervisor's own socket. Harmless: it only connects, and says nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(WAIT_S)
        link.connect(at.facts["control"])
    return "connected to the control socket"


@attack("metadata", "cell", NO_SOCKETS, REFUSED)
def find_a_route_to_the_metadata_service(at: At) -> str:
    """169.254.169.254. Harmless: a connected datagram socket sends nothing; only the route is looked up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(("169.254.169.254", 80))
        return f"there is a route from {link.getsockname()[0]}"


@attack("metadata", "cell", NO_SOCKETS, REFUSED)
def find_a_route_to_the_metadata_service_by_ipv6(at: At) -> str:
    """fd00:ec2::254. Harmless: a connected datagram socket sends nothing; only the route is looked up."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
        link.connect(("fd00:ec2::254", 80))
        return f"there is a route from {link.getsockname()[0]}"


@attack("sockets", "cell", "seccomp", "EPERM EACCES")
def aim_a_pair_elsewhere(at: At) -> str:
    """Send from a socket pair, which a cell may have, to another address. Harmless: to a decoy."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        one.sendto(at.token, "\0" + at.facts["datagram"])
    return "a datagram reached the decoy"


@attack("sockets", "cell", "seccomp", "EPERM EACCES EINVAL")
def listen_for_others(at: At) -> str:
    """A listening socket of the cell's own. Harmless: on a free loopback port, closed at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as link:
        link.bind(("127.0.0.1", 0))
        link.listen()
    return "listened"


FAMILIES = {
    "raw-ip-socket": (socket.AF_INET, socket.SOCK_RAW, 1),
    "ping-socket": (socket.AF_INET, socket.SOCK_DGRAM, 1),
    "packet-socket": (17, socket.SOCK_RAW, 0x0300),
    "kernel-crypto-socket": (38, socket.SOCK_SEQPACKET, 0),
    "vsock": (40, socket.SOCK_STREAM, 0),
    "bluetooth-socket": (31, socket.SOCK_RAW, 1),
    "key-socket": (15, socket.SOCK_RAW, 2),
    "xdp-socket": (44, socket.SOCK_RAW, 0),
    "tipc-socket": (30, socket.SOCK_STREAM, 0),
    "can-socket": (29, socket.SOCK_RAW, 1),
    "rds-socket": (21, socket.SOCK_SEQPACKET, 0),
    "route-netlink-socket": (16, socket.SOCK_RAW, 0),
    "audit-netlink-socket": (16, socket.SOCK_RAW, 9),
    "filter-netlink-socket": (16, socket.SOCK_RAW, 12),
    "event-netlink-socket": (16, socket.SOCK_RAW, 15),
    "tcp-socket": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "udp-socket": (socket.AF_INET, socket.SOCK_DGRAM, 0),
    "unix-socket": (socket.AF_UNIX, socket.SOCK_STREAM, 0),
}
# The kernel's own words for a family or protocol that it was not built with: the filter did not stop the question.
LOOKED_AT = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)


def make(family: int, kind: int, protocol: int) -> Callable[[At], str]:
    def attempt(at: At) -> str:
        try:
            socket.socket(family, kind, protocol).close()
        except OSError as error:
            if error.errno in LOOKED_AT:
                return f"the kernel looked for it: {errno.errorcode[error.errno]}"
            raise
        return "made one"

    return attempt


for _name, _values in FAMILIES.items():
    add(
        Attack(
            name=f"make-a-{_name}",
            group="sockets",
            place="cell",
            what=f"Make a socket of family {int(_values[0])}, type {int(_values[1])}, protocol {_values[2]}.",
            harmless="it is bound to nothing and closed at once",
            by="seccomp",
            stops=frozenset({"EPERM", "EACCES"}),
            run=make(*_values),
        )
    )
