"""Files outside: of the host, of the state directory, of another agent; and what makes a file dangerous."""

from __future__ import annotations

import ctypes
import os
import stat

from .kit import LIBC, At, NotRun, attack, call, contains, in_child

HIDDEN = "mount namespace with a root of its own; Landlock"
GONE = "ENOENT EACCES EPERM"


def read(at: At, path: str) -> str:
    with open(path, "rb") as file:
        return contains(at, file.read(4096))


def read_and_unlink(at: At, link: str) -> str:
    try:
        return read(at, link)
    finally:
        os.unlink(link)


@attack("files", "cell", HIDDEN, GONE)
def read_a_file_outside(at: At) -> str:
    """Open a file of the host by its path. Harmless: the file is a decoy and is only read."""
    return read(at, at.facts["file"])


@attack("files", "cell", HIDDEN, GONE)
def read_through_dots(at: At) -> str:
    """Leave the root by `..`. Harmless: the file is a decoy and is only read."""
    return read(at, f"{at.here}/../../../../../../../..{at.facts['file']}")


@attack("files", "cell", HIDDEN, GONE)
def read_through_proc_self_root(at: At) -> str:
    """The root as /proc names it. Harmless: the file is a decoy and is only read."""
    return read(at, f"/proc/self/root{at.facts['file']}")


@attack("files", "cell", HIDDEN + "; pid namespace", GONE)
def read_through_the_root_of_another(at: At) -> str:
    """The root of the decoy process. Harmless: the file is a decoy and is only read."""
    return read(at, f"/proc/{at.facts['pid']}/root{at.facts['file']}")


@attack("files", "cell", HIDDEN, GONE)
def read_through_a_symlink(at: At) -> str:
    """A link of one's own to a file outside. Harmless: the file is a decoy; the link is removed."""
    link = f"{at.here}/drill-link"
    os.symlink(at.facts["file"], link)
    return read_and_unlink(at, link)


@attack("files", "cell", HIDDEN, GONE + " EXDEV")
def hardlink_a_file_outside(at: At) -> str:
    """A second name for a file outside. Harmless: a second name of a decoy, removed at once."""
    link = f"{at.facts.get('drop', '')}/drill-hard"
    os.link(at.facts["file"], link)
    return read_and_unlink(at, link)


@attack("files", "cell", HIDDEN, GONE + " EXDEV")
def rename_a_file_out(at: At) -> str:
    """Move an own file into a directory outside. Harmless: an empty file, into the decoys' own directory."""
    source = f"{at.here}/drill-mine"
    open(source, "wb").close()
    target = f"{at.facts['drop']}/renamed"
    os.rename(source, target)
    return "moved an own file out"


@attack("files", "cell", HIDDEN, GONE)
def create_a_file_outside(at: At) -> str:
    """Make a file in a directory outside. Harmless: an empty file in the decoys' own directory."""
    os.close(os.open(f"{at.facts['drop']}/created", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return "made a file outside"


@attack("files", "cell", HIDDEN, GONE)
def open_a_file_outside_to_write(at: At) -> str:
    """Open a file outside for writing. Harmless: a decoy anybody may write to, opened and never written."""
    os.close(os.open(at.facts["file"], os.O_WRONLY | os.O_APPEND))
    return "opened the decoy for writing"


@attack("files", "cell", HIDDEN, GONE)
def list_a_directory_outside(at: At) -> str:
    """List a directory of the host. Harmless: it is the decoys' own, and only its names are read."""
    if os.path.basename(at.facts["file"]) not in os.listdir(os.path.dirname(at.facts["file"])):
        raise NotRun("listed a directory that is not the decoys'")
    return "listed the decoys"


@attack("files", "cell", HIDDEN, GONE)
def read_a_file_of_the_state_directory(at: At) -> str:
    """A file of the supervisor's state. Harmless: a decoy that the supervisor put there for the drill."""
    return read(at, at.facts["state_file"])


@attack("files", "cell", HIDDEN, GONE)
def read_another_agents_workspace(at: At) -> str:
    """A file in the workspace of an agent in another cell. Harmless: that agent is the drill's own decoy."""
    return read(at, at.facts["neighbour_file"])


@attack("files", "cell", "seccomp; no capabilities", "EPERM EACCES")
def open_a_file_by_its_handle(at: At) -> str:
    """By its number on the disk, past every directory. Harmless: the file is a decoy and is only read."""
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.c_uint.from_buffer(handle).value = 128
    mount = ctypes.c_int()
    call("name_to_handle_at", -100, at.facts["file"].encode(), handle, ctypes.byref(mount), 0)
    directory = os.open(os.path.dirname(at.facts["file"]), os.O_RDONLY)
    try:
        found = call("open_by_handle_at", directory, handle, os.O_RDONLY)
    finally:
        os.close(directory)
    with open(found, "rb") as file:
        return contains(at, file.read(4096))


@attack("files", "cell", "no capabilities; Landlock", "EPERM EACCES")
def make_a_block_device(at: At) -> str:
    """A node for a disk. Harmless: of a number no driver has; it is removed and never opened."""
    node = f"{at.here}/drill-disk"
    os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(255, 255))
    os.unlink(node)
    return "made a block device"


@attack("files", "cell", "user namespace: root is not mapped", "EPERM EINVAL")
def give_a_program_to_root(at: At) -> str:
    """A file that is root's and set-uid. Harmless: an empty file in a directory of the attack's own, removed at once."""
    path = f"{at.here}/drill-suid"
    with open(path, "wb"):
        pass
    try:
        os.chown(path, 0, 0)
        os.chmod(path, 0o4755)
        found = os.stat(path)
        return f"a set-uid file of uid {found.st_uid}"
    finally:
        os.unlink(path)


@attack("files", "cell", HIDDEN + "; Landlock", "EROFS EACCES EPERM")
def write_beside_the_programs(at: At) -> str:
    """Make a file in /usr/bin. Harmless: an unnamed file (O_TMPFILE), which no program can find."""
    os.close(os.open("/usr/bin", os.O_TMPFILE | os.O_WRONLY, 0o600))
    return "made a file in /usr/bin"


@attack("files", "cell", HIDDEN + "; a /proc of its own", GONE + " EROFS")
def open_the_kernels_core_pattern_to_write(at: At) -> str:
    """What the kernel runs when a program crashes. Harmless: opened and never written."""
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    return "opened core_pattern for writing"


@attack("files", "cell", HIDDEN + "; a /proc of its own", GONE + " EROFS")
def open_a_switch_of_the_kernel_to_write(at: At) -> str:
    """The switch that empties the machine's caches. Harmless: opened and never written."""
    os.close(os.open("/proc/sys/vm/drop_caches", os.O_WRONLY))
    return "opened drop_caches for writing"


@attack("mounts", "cell", "seccomp; no capabilities", "EPERM")
def change_the_root(at: At) -> str:
    """Enter another root. Harmless: in a child of its own, which ends at once."""

    def attempt() -> str:
        if LIBC.chroot(at.here.encode()) != 0:
            raise OSError(ctypes.get_errno(), "chroot")
        return "changed the root"

    return in_child(attempt)
