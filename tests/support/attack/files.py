"""Files of the host, of other agents, of the kernel."""

from __future__ import annotations

import errno
import os
import stat

from base import FACTS, HERE, attack, each


def read_secret(path: str) -> str:
    with open(path, "rb") as file:
        return f"read {len(file.read(4096))} bytes"


each("read", FACTS["hidden"], read_secret)
each("read through ..", FACTS["hidden"], lambda path: read_secret(f"{HERE}/../../../../../..{path}"))
each("read through /proc/self/root", FACTS["hidden"], lambda path: read_secret(f"/proc/self/root{path}"))
each("read through /proc/1/root", FACTS["hidden"], lambda path: read_secret(f"/proc/1/root{path}"))
each(
    "read through /proc/self/cwd", FACTS["hidden"], lambda path: read_secret(f"/proc/self/cwd/../../..{path}")
)


def through_symlink(path: str) -> str:
    link = f"{HERE}/link"
    os.symlink(path, link)
    try:
        return read_secret(link)
    finally:
        os.unlink(link)


def through_hardlink(path: str) -> str:
    os.link(path, f"{HERE}/hard")
    return "linked"


def rename_out(path: str) -> str:
    source = f"{HERE}/mine"
    open(source, "w").close()
    os.rename(source, f"{os.path.dirname(path)}/mine")
    return "moved"


def write_over(path: str) -> str:
    with open(path, "ab") as file:
        file.write(b"changed")
    return "written"


each("symlink to", FACTS["hidden"], through_symlink)
each("hardlink to", FACTS["hidden"], through_hardlink)
each("rename next to", FACTS["hidden"], rename_out)
each("write", FACTS["hidden"], write_over)
each("write", FACTS["read_only"], write_over)
each(
    "create in",
    ["/", "/etc", "/usr", "/dev", "/proc", "/queenright"],
    lambda path: open(f"{path}/new", "w").close() or "made",
)


@attack
def list_the_root() -> str:
    return ",".join(os.listdir("/"))


@attack
def mknod_a_block_device() -> str:
    os.mknod(f"{HERE}/disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    return "made"


@attack
def mknod_a_character_device() -> str:
    os.mknod(f"{HERE}/mem", stat.S_IFCHR | 0o600, os.makedev(1, 1))
    return "made"


@attack
def a_mount_that_honours_setuid() -> str:
    with open("/proc/self/mountinfo") as file:
        bad = [line for line in file if "nosuid" not in line.split()[5]]
    if not bad:
        raise OSError(errno.EPERM, "all nosuid")
    return bad[0]


@attack
def a_writable_mount_that_is_not_ours() -> str:
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file if "rw" in line.split()[5].split(",")]
    allowed = {"/tmp", "/dev/shm", "/proc", "/workspace"} | {
        f"/dev/{n}" for n in ("null", "zero", "full", "random", "urandom")
    }
    bad = [point for point in points if point not in allowed]
    if not bad:
        raise OSError(errno.EROFS, "read-only")
    return ",".join(bad)


@attack
def become_root_by_a_setuid_program() -> str:
    path = f"{HERE}/suid"
    with open("/bin/true", "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    os.chmod(path, 0o4755)
    os.chown(path, 0, 0)
    return "owned by root"


@attack
def change_the_kernels_core_pattern() -> str:
    with open("/proc/sys/kernel/core_pattern", "w") as file:
        file.write("|/bin/sh")
    return "changed"


each(
    "open",
    [
        "/proc/sysrq-trigger", "/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/sys/kernel/modprobe",
        "/sys/kernel",
        "/proc/1/mem" if os.getpid() != 1 else "/proc/2/mem", "/dev/mem", "/dev/kvm", "/dev/fuse",
        "/dev/tty", "/dev/ptmx",
        "/dev/vda", "/dev/net/tun", "/run/docker.sock", "/var/run/dbus/system_bus_socket", "/home",
        "/var/log", "/boot",
    ],
    lambda path: f"opened {os.open(path, os.O_RDONLY)}",
)  # fmt: skip
