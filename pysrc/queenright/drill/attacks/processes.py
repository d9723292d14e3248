"""Another process: to see it, to look into it, to signal it, to change it. Its target is the decoy process alone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from .kit import LIBC, At, NotRun, attack, call, contains

HIDDEN = "pid namespace"
GONE = "ENOENT EACCES EPERM ESRCH"
# PTRACE_SEIZE stops nobody; PTRACE_DETACH lets it go.
SEIZE, DETACH = 0x4206, 17


def of(at: At, name: str) -> str:
    return f"/proc/{at.facts['pid']}/{name}"


@attack("/proc", "cell", HIDDEN + "; /proc of its own", GONE)
def see_another_process(at: At) -> str:
    """Read what a process outside was started with. Harmless: the process is a decoy."""
    with open(of(at, "cmdline"), "rb") as file:
        return contains(at, file.read(4096))


@attack("/proc", "cell", HIDDEN + "; /proc of its own", GONE)
def read_the_environment_of_another(at: At) -> str:
    """Read the environment of a process outside. Harmless: the process and its secret are decoys."""
    with open(of(at, "environ"), "rb") as file:
        return contains(at, file.read(1 << 16))


@attack("/proc", "cell", HIDDEN + "; Landlock", GONE)
def read_the_memory_of_another_by_proc(at: At) -> str:
    """Open a process's memory and read it. Harmless: the process and its secret are decoys; nothing is written."""
    with open(of(at, "mem"), "rb", buffering=0) as file:
        file.seek(at.facts["address"])
        return contains(at, file.read(len(at.token)))


@attack("/proc", "cell", HIDDEN + "; Landlock", GONE)
def read_a_file_that_another_has_open(at: At) -> str:
    """Through /proc/PID/fd. Harmless: the process and the file are decoys."""
    with open(of(at, f"fd/{at.facts['descriptor']}"), "rb") as file:
        return contains(at, file.read(4096))


@attack("/proc", "cell", HIDDEN, "none-seen")
def list_processes_that_are_not_its_own(at: At) -> str:
    """Whether /proc shows the decoy process. Harmless: names are listed."""
    from .kit import Stopped

    if str(at.facts["pid"]) in os.listdir("/proc"):
        return "the decoy process is listed"
    raise Stopped("none-seen", "/proc shows no process of the host")


@attack("ptrace", "cell", "seccomp; pid namespace; Landlock", "EPERM ESRCH")
def trace_another_process(at: At) -> str:
    """Attach to a process. Harmless: a decoy, by PTRACE_SEIZE, which does not stop it, and let go at once."""
    call("ptrace", SEIZE, at.facts["pid"], 0, 0)
    LIBC.ptrace(DETACH, at.facts["pid"], 0, 0)
    return "attached to the decoy"


@attack("ptrace", "cell", "seccomp; pid namespace; Landlock", "EPERM ESRCH")
def read_the_memory_of_another(at: At) -> str:
    """process_vm_readv. Harmless: the process and its secret are decoys."""
    size = len(at.token)
    buffer = ctypes.create_string_buffer(size)
    mine = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), size)
    theirs = (ctypes.c_size_t * 2)(at.facts["address"], size)
    call("process_vm_readv", at.facts["pid"], mine, 1, theirs, 1, 0)
    return contains(at, buffer.raw)


@attack("ptrace", "cell", "seccomp; pid namespace; Landlock", "EPERM ESRCH")
def write_the_memory_of_another(at: At) -> str:
    """process_vm_writev. Harmless: nothing is written, the length is 0; and the process is a decoy."""
    none = (ctypes.c_size_t * 2)(0, 0)
    call("process_vm_writev", at.facts["pid"], none, 1, none, 1, 0)
    return "could have written to the decoy's memory"


@attack("ptrace", "cell", "seccomp; pid namespace", "EPERM ESRCH EINVAL")
def take_a_descriptor_of_another(at: At) -> str:
    """pidfd_getfd: an open file of another process. Harmless: the process and its file are decoys."""
    process = os.pidfd_open(at.facts["pid"])
    try:
        found = call("pidfd_getfd", process, at.facts["descriptor"], 0)
    finally:
        os.close(process)
    return contains(at, os.pread(found, 4096, 0))


@attack("ptrace", "cell", "seccomp; pid namespace", "EPERM ESRCH")
def compare_with_another(at: At) -> str:
    """kcmp: whether two processes share something of the kernel's. Harmless: a question, about the decoy."""
    call("kcmp", os.getpid(), at.facts["pid"], 2, 0, 0)
    return "compared itself with the decoy"


@attack("signals", "cell", "pid namespace; Landlock", "ESRCH EPERM")
def signal_another_process(at: At) -> str:
    """Send SIGUSR1. Harmless: to the decoy, which counts it and goes on."""
    os.kill(at.facts["pid"], signal.SIGUSR1)
    return "signalled the decoy"


@attack("signals", "cell", "pid namespace; seccomp", "ESRCH EPERM EINVAL")
def signal_another_process_by_pidfd(at: At) -> str:
    """Send SIGUSR2 through a descriptor of the process. Harmless: to the decoy, which counts it and goes on."""
    process = os.pidfd_open(at.facts["pid"])
    try:
        signal.pidfd_send_signal(process, signal.SIGUSR2)
    finally:
        os.close(process)
    return "signalled the decoy"


@attack("signals", "cell", "pid namespace: nobody else is in it", "ESRCH EPERM")
def signal_the_supervisor(at: At) -> str:
    """Signal 0 to the supervisor's process. Harmless: signal 0 only asks whether it could be signalled."""
    os.kill(at.facts["supervisor"], 0)
    return "could have signalled the supervisor"


@attack("signals", "cell", "pid namespace; seccomp", "ESRCH EPERM")
def change_the_priority_of_another(at: At) -> str:
    """Make a process slower. Harmless: the decoy, by one step."""
    os.setpriority(os.PRIO_PROCESS, at.facts["pid"], 1)
    return "slowed the decoy"


@attack("signals", "cell", "pid namespace; seccomp", "ESRCH EPERM")
def read_the_limits_of_another(at: At) -> str:
    """prlimit of a process outside. Harmless: it only asks, and the process is a decoy."""
    found = resource.prlimit(at.facts["pid"], resource.RLIMIT_NOFILE)
    return f"the decoy may open {found[0]} files"


@attack("ipc", "cell", "ipc namespace", "EINVAL EPERM EACCES EIDRM")
def read_shared_memory_of_another(at: At) -> str:
    """Attach a System V segment made outside. Harmless: it is a decoy's, and attached to read only."""
    if not at.facts["segment"]:
        raise NotRun("the host has no System V shared memory")
    LIBC.shmat.restype = ctypes.c_void_p
    LIBC.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    address = LIBC.shmat(at.facts["segment"] - 1, None, 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    data = ctypes.string_at(address, len(at.token))
    LIBC.shmdt(ctypes.c_void_p(address))
    return contains(at, data)


@attack("keyrings", "cell", "seccomp", "EPERM")
def read_a_key_of_the_users_keyring(at: At) -> str:
    """Find and read a key that the host's user keeps in the kernel. Harmless: a decoy, which ends by itself."""
    if not at.facts["key"]:
        raise NotRun("the host's kernel keeps no keys")
    found = call("request_key", b"user", at.facts["key"].encode(), None, 0)
    buffer = ctypes.create_string_buffer(256)
    size = call("keyctl", 11, found, buffer, 256, 0)
    return contains(at, buffer.raw[:size])
