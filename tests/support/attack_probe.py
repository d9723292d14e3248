"""Runs inside a sandbox and tries to get out. Prints one JSON object a line: {"name", "stopped", "how"}.

An attack is stopped when the kernel refuses it with an error; anything it obtained is reported as not stopped.
Standard library only. Usage: attack_probe.py FACTS, where FACTS is the JSON that the host side prepared.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Callable

FACTS = json.loads(sys.argv[1])
SECRET = FACTS["secret"].encode()
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ATTACKS: list[tuple[str, Callable[[], str]]] = []
HERE = FACTS["writable"]

# x86-64 numbers (syscall_64.tbl): the probe has no business on a machine whose calls it does not know.
assert platform.machine() == "x86_64", "the attacks know the numbers of x86-64 only"
CALLS = {
    "ptrace": 101, "syslog": 103, "personality": 135, "ustat": 136, "vhangup": 153, "modify_ldt": 154,
    "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172,
    "ioperm": 173, "init_module": 175, "quotactl": 179, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272, "vmsplice": 278, "move_pages": 279,
    "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "memfd_secret": 447, "statmount": 457, "listmount": 458,
}  # fmt: skip
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000


def attack(function: Callable[[], str]) -> Callable[[], str]:
    ATTACKS.append((function.__name__, function))
    return function


def call(number: int, *arguments: object) -> int:
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def each(name: str, values: list, function: Callable[..., str]) -> None:
    """One attack a value: none may succeed."""
    for value in values:
        ATTACKS.append(
            (
                f"{name} {value if not isinstance(value, tuple) else value[0]}",
                lambda value=value: function(value),
            )
        )


def in_child(function: Callable[[], str]) -> str:
    """Run what may kill its process. A kill by the filter (SIGSYS) is a stop."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            words = function()
        except OSError as error:
            os.write(write, b"!" + (errno.errorcode.get(error.errno or 0) or "?").encode())
        else:
            os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 4096)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise OSError(0, signal.Signals(os.WTERMSIG(status)).name)
    if said.startswith(b"!"):
        raise OSError(getattr(errno, said[1:].decode(), 0), said[1:].decode())
    return said.decode()


# --- files ---------------------------------------------------------------------------------------------------


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
        "/proc/sysrq-trigger", "/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/sys/kernel/modprobe", "/sys/kernel",
        "/proc/1/mem" if os.getpid() != 1 else "/proc/2/mem", "/dev/mem", "/dev/kvm", "/dev/fuse", "/dev/tty", "/dev/ptmx",
        "/dev/vda", "/dev/net/tun", "/run/docker.sock", "/var/run/dbus/system_bus_socket", "/home", "/var/log", "/boot",
    ],
    lambda path: f"opened {os.open(path, os.O_RDONLY)}",
)  # fmt: skip


# --- other processes -----------------------------------------------------------------------------------------

each(
    "look into",
    [f"/proc/{FACTS['victim']}/{name}" for name in ("mem", "environ", "root", "cwd", "maps", "fd")],
    os.readlink,
)
each(
    "read",
    [f"/proc/{FACTS['victim']}/{name}" for name in ("mem", "environ", "maps", "cmdline", "status")],
    read_secret,
)


@attack
def see_processes_outside() -> str:
    mine, found = {os.getpid(), 1}, {int(name) for name in os.listdir("/proc") if name.isdigit()}
    if found <= mine:
        raise OSError(errno.ESRCH, "only its own")
    return str(found - mine)


each("signal", [FACTS["victim"], FACTS["supervisor"]], lambda pid: os.kill(pid, signal.SIGTERM) or "sent")
each(
    "ptrace", [FACTS["victim"], FACTS["supervisor"], 1], lambda pid: str(call(CALLS["ptrace"], 16, pid, 0, 0))
)


def read_memory(pid: int) -> str:
    buffer = ctypes.create_string_buffer(16)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    return str(call(CALLS["process_vm_readv"], pid, vector, 1, vector, 1, 0))


each("process_vm_readv", [FACTS["victim"], FACTS["supervisor"], os.getpid()], read_memory)
each("setpriority", [FACTS["victim"]], lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19) or "set")


@attack
def steal_a_descriptor() -> str:
    mine = os.pidfd_open(os.getpid())
    try:
        return str(call(CALLS["pidfd_getfd"], mine, 0, 0))
    finally:
        os.close(mine)


# --- network -------------------------------------------------------------------------------------------------


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


# --- the kernel ----------------------------------------------------------------------------------------------

PAGE = ctypes.create_string_buffer(4096)
each(
    "call",
    [
        ("unshare user", "unshare", CLONE_NEWUSER), ("unshare mount", "unshare", CLONE_NEWNS),
        ("unshare net", "unshare", CLONE_NEWNET), ("mount tmpfs", "mount", b"none", b"/tmp", b"tmpfs", 0, None),
        ("remount", "mount", None, b"/usr", None, 32, None), ("umount", "umount2", b"/proc", 2),
        ("open_tree", "open_tree", -100, b"/", 1), ("fsopen", "fsopen", b"tmpfs", 0), ("fspick", "fspick", -100, b"/", 0),
        ("move_mount", "move_mount", -100, b"/tmp", -100, b"/usr", 0), ("fsmount", "fsmount", 0, 0, 0),
        ("mount_setattr", "mount_setattr", -100, b"/usr", 0, PAGE, 32), ("pivot_root", "pivot_root", b"/tmp", b"/tmp"),
        ("chroot", "chroot", b"/tmp"), ("setns", "setns", 0, 0), ("keyctl", "keyctl", 0, -3, 0),
        ("add_key", "add_key", b"user", b"k", b"v", 1, -3), ("request_key", "request_key", b"user", b"k", None, 0),
        ("bpf", "bpf", 0, PAGE, 64), ("perf_event_open", "perf_event_open", PAGE, 0, -1, -1, 0),
        ("io_uring_setup", "io_uring_setup", 1, PAGE), ("io_uring_enter", "io_uring_enter", 0, 0, 0, 0, 0, 0),
        ("io_uring_register", "io_uring_register", 0, 0, 0, 0), ("userfaultfd", "userfaultfd", 1),
        ("kexec_load", "kexec_load", 0, 0, None, 0), ("kexec_file_load", "kexec_file_load", 0, 0, 0, None, 0),
        ("init_module", "init_module", PAGE, 16, b""), ("finit_module", "finit_module", 0, b"", 0),
        ("syslog", "syslog", 3, PAGE, 16), ("settimeofday", "settimeofday", PAGE, None),
        ("clock_settime", "clock_settime", 0, PAGE), ("adjtimex", "adjtimex", PAGE),
        ("clock_adjtime", "clock_adjtime", 0, PAGE), ("acct", "acct", None), ("swapon", "swapon", b"/tmp/x", 0),
        ("reboot", "reboot", 0xFEE1DEAD, 672274793, 0, None), ("sethostname", "sethostname", b"x", 1),
        ("setdomainname", "setdomainname", b"x", 1), ("personality", "personality", 0x0040000),
        ("quotactl", "quotactl", 0, b"/", 0, PAGE), ("iopl", "iopl", 3), ("ioperm", "ioperm", 0, 1, 1),
        ("modify_ldt", "modify_ldt", 0, PAGE, 16), ("vhangup", "vhangup"), ("ustat", "ustat", 0, PAGE),
        ("name_to_handle_at", "name_to_handle_at", -100, b"/usr", PAGE, PAGE, 0),
        ("open_by_handle_at", "open_by_handle_at", 0, PAGE, 0), ("fanotify_init", "fanotify_init", 0, 0),
        ("kcmp", "kcmp", 1, 1, 0, 0, 0), ("memfd_secret", "memfd_secret", 0), ("vmsplice", "vmsplice", 1, PAGE, 0, 0),
        ("migrate_pages", "migrate_pages", 0, 0, None, None), ("move_pages", "move_pages", 0, 0, None, None, None, 0),
        ("process_madvise", "process_madvise", 0, PAGE, 0, 0, 0), ("statmount", "statmount", PAGE, PAGE, 64, 0),
        ("listmount", "listmount", PAGE, PAGE, 1, 0), ("process_vm_writev", "process_vm_writev", 1, PAGE, 0, PAGE, 0, 0),
    ],
    lambda row: in_child(lambda: f"returned {call(CALLS[row[1]], *row[2:])}"),
)  # fmt: skip


@attack
def clone_into_a_user_namespace() -> str:
    def attempt() -> str:
        pid = call(56, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        return "cloned"

    return in_child(attempt)


@attack
def clone3_into_a_user_namespace() -> str:
    def attempt() -> str:
        arguments = (ctypes.c_uint64 * 11)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
        pid = call(CALLS["clone3"], arguments, 88)
        if pid == 0:
            os._exit(0)
        return "cloned"

    return in_child(attempt)


@attack
def a_call_nobody_knows() -> str:
    return str(call(999))


def machine_code(code: bytes) -> str:
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return f"returned {result}"


@attack
def a_32_bit_call() -> str:
    """mov eax, 20 (getpid of i386); int 0x80; ret: 32-bit numbers would mean other calls to the filter."""
    return in_child(lambda: machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"))


@attack
def an_x32_call() -> str:
    """getpid with the x32 bit."""
    return in_child(lambda: str(call(0x40000000 | 39)))


def forge_input(high: int) -> str:
    """On a terminal of its own making if it can make one: the filter must refuse before the kernel looks at it."""
    LIBC.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]
    if LIBC.ioctl(0, 0x5412 | high, b"x") == 0:
        return "typed"
    number = ctypes.get_errno()
    if number != errno.EPERM:
        return f"the kernel looked at it: {errno.errorcode[number]}"
    raise OSError(number, "refused")


each("TIOCSTI", [0, 1 << 32, 0xFFFFFFFF << 32], forge_input)


# --- what it was given ---------------------------------------------------------------------------------------


@attack
def find_the_secret_in_the_environment() -> str:
    with open("/proc/self/environ", "rb") as file:
        if SECRET in file.read() or any(FACTS["secret"] in value for value in os.environ.values()):
            return "found"
    raise OSError(errno.ENOENT, "not there")


@attack
def find_an_inherited_descriptor() -> str:
    held = []
    for name in os.listdir("/proc/self/fd"):
        try:
            held.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # the directory just listed
            continue
    more = [entry for entry in held if entry[0] >= FACTS["descriptors"]]
    if not more:
        raise OSError(errno.EBADF, "none")
    return str(more)


@attack
def hold_a_capability() -> str:
    with open("/proc/self/status") as file:
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    sets = {name: fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    if not all(int(value, 16) == 0 for value in sets.values()):
        return str(sets)
    if (fields["NoNewPrivs"], fields["Seccomp"]) != ("1", "2"):
        return f"no_new_privs {fields['NoNewPrivs']}, seccomp {fields['Seccomp']}"
    raise OSError(errno.EPERM, "none")


@attack
def take_another_uid() -> str:
    os.setuid(0)
    return "root"


@attack
def take_an_unmapped_group() -> str:
    os.setgroups([0])
    return "taken"


# --- taking everything ---------------------------------------------------------------------------------------


def bounded(reached: int, limit: int) -> str:
    if reached <= limit:
        raise OSError(errno.EAGAIN, f"stopped at {reached}")
    return f"took {reached}, over {limit}"


@attack
def a_fork_bomb() -> str:
    """Counted in one place: every child waits, so the number that exist is the number that was made."""
    wait, release = os.pipe()
    children: list[int] = []
    try:
        while len(children) <= FACTS["processes"] + 50:
            try:
                pid = os.fork()
            except OSError:
                break
            if pid == 0:
                os.close(release)
                os.read(wait, 1)
                os._exit(0)
            children.append(pid)
    finally:
        os.close(release)
        os.close(wait)
        for pid in children:
            os.waitpid(pid, 0)
    return bounded(len(children), FACTS["processes"])


@attack
def a_descriptor_bomb() -> str:
    held: list[int] = []
    try:
        while len(held) <= 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in held:
        os.close(descriptor)
    return bounded(len(held), FACTS["open_files"])


def fill(directory: str, limit: int) -> str:
    written, paths = 0, []
    try:
        while written <= limit + 32 * 1024 * 1024:
            descriptor, path = tempfile.mkstemp(dir=directory)
            paths.append(path)
            with open(descriptor, "wb", buffering=0) as file:
                for _ in range(16):
                    written += file.write(b"x" * 1024 * 1024)
    except OSError:
        pass
    for path in paths:
        os.unlink(path)
    return bounded(written, limit)


ATTACKS.append(("fill /tmp", lambda: fill("/tmp", FACTS["tmp_bytes"])))
ATTACKS.append(("fill /dev/shm", lambda: fill("/dev/shm", 16 * 1024 * 1024)))


@attack
def fill_tmp_with_inodes() -> str:
    made = 0
    top = tempfile.mkdtemp(dir="/tmp")
    try:
        while made <= 25_000:
            os.close(os.open(f"{top}/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError:
        pass
    for number in range(made):
        os.unlink(f"{top}/{number}")
    os.rmdir(top)
    return bounded(made, 20_000)


@attack
def a_file_over_the_limit() -> str:
    descriptor = os.memfd_create("big")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.ftruncate(descriptor, FACTS["file_bytes"] + 1)
    return "made"


@attack
def all_memory_in_one_process() -> str:
    blocks, size = [], 16 * 1024 * 1024
    try:
        while len(blocks) * size <= 2 * FACTS["memory_bytes"]:
            blocks.append(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError:
        pass
    return bounded(len(blocks) * size, FACTS["memory_bytes"])


@attack
def lock_memory() -> str:
    if LIBC.mlock(mmap_address(), 1024 * 1024) != 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "locked a MiB"


def mmap_address() -> ctypes.c_void_p:
    global _KEPT
    _KEPT = mmap.mmap(-1, 1024 * 1024)
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(_KEPT)))


@attack
def raise_a_limit() -> str:
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_CORE):
        soft, hard = resource.getrlimit(limit)
        try:
            resource.setrlimit(limit, (soft, hard + 1))
        except ValueError as error:  # how the module says EPERM
            raise OSError(errno.EPERM, str(error)) from error
    return "raised"


@attack
def dump_core() -> str:
    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0):
        raise OSError(errno.EPERM, "no core files")
    return "allowed"


@attack
def run_in_real_time() -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "done"


@attack
def run_before_others() -> str:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return "done"


@attack
def open_a_message_queue() -> str:
    LIBC.mq_open.restype = ctypes.c_int
    attributes = (ctypes.c_long * 8)(0, 10, 8192)
    if LIBC.mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o600, attributes) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "made"


@attack
def lock_a_lease_on_a_host_file() -> str:
    with open(FACTS["read_only"][0], "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return "leased"


@attack
def signal_everyone() -> str:
    """Last: whatever this reaches ends. Its own namespace holds it alone, or it and its first process."""
    os.kill(-1, 0)
    return "somebody is there"


# Outside a sandbox most of these would hurt the machine. Bare, only what touches our own decoys, listeners and victim
# may run; and the rest only where the filter is seen to be on.
HARMLESS = (
    "connect to tcp of", "connect to udp of", "connect to an abstract", "connect to a unix", "make tcp", "make udp",
    "find_", "list_the_root", "see_processes_outside", "call memfd_secret", "call unshare user",
)  # fmt: skip


def harmless(name: str) -> bool:
    verb, _, rest = name.partition(" /")
    on_decoy = verb in ("read", "symlink to", "hardlink to") and f"/{rest}" in FACTS["decoys"]
    on_victim = verb in ("look into", "read") and rest.startswith(f"proc/{FACTS['victim']}/")
    of_victim = name in (f"ptrace {FACTS['victim']}", f"setpriority {FACTS['victim']}")
    return on_decoy or on_victim or of_victim or name.startswith(HARMLESS)


def main() -> None:
    if FACTS["kind"] == "none":
        ATTACKS[:] = [attack for attack in ATTACKS if harmless(attack[0])]
    else:
        with open("/proc/self/status") as status:
            assert "\nSeccomp:\t2\n" in status.read(), "not in a sandbox: these attacks would hurt this machine"
        assert os.path.samefile(__file__, "/probe/attack_probe.py")
    for name, function in ATTACKS:
        try:
            how, stopped = function(), False
        except OSError as error:
            how, stopped = f"{errno.errorcode.get(error.errno or 0, '')} {error.strerror or ''}".strip(), True
        except Exception as error:  # an attack that does not run proves nothing
            how, stopped = f"broken: {error!r}", False
        print(json.dumps({"name": name, "stopped": stopped, "how": how}), flush=True)
    print(
        json.dumps(
            {"name": "end", "stopped": True, "how": f"{len(ATTACKS)} attacks {struct.calcsize('P') * 8} bit"}
        )
    )


main()
