"""From inside a command: a shell over one agent's workspace. Each is a script that says THROUGH if it got through.

What stopped it is read from the programs' own words for the errno, in the C locale.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from .kit import At, Attack, NotRun, Stopped, add

WORDS = {
    "No such file or directory": "ENOENT", "Permission denied": "EACCES", "Operation not permitted": "EPERM",
    "Read-only file system": "EROFS", "Network is unreachable": "ENETUNREACH", "Connection refused": "ECONNREFUSED",
    "No such process": "ESRCH", "File too large": "EFBIG", "File size limit exceeded": "EFBIG",
    "Directory nonexistent": "ENOENT", "Invalid cross-device link": "EXDEV",
    "Cannot assign requested address": "EADDRNOTAVAIL", "Bad system call": "SIGSYS", "cannot fork": "EAGAIN",
    "Resource temporarily unavailable": "EAGAIN", "must be superuser": "EPERM",
}  # fmt: skip
THROUGH = "THROUGH"
HIDDEN = "a sandbox of its own for each command: mount namespace, Landlock"
GONE = "ENOENT EACCES EPERM EROFS"


def judge(at: At, code: int, out: str, err: str) -> str:
    """The proof in what a script said. Raises Stopped with the errno its programs named, or NotRun."""
    if THROUGH in out or at.facts["token"] in out:
        return f"the script said {THROUGH}"
    if "not found" in err:
        raise NotRun(f"a program is missing: {err.strip()[-200:]}")
    found = [(err.rfind(words), name) for words, name in WORDS.items() if words in err]
    if found:
        raise Stopped(max(found)[1], err.strip().splitlines()[-1][-200:])
    raise NotRun(f"exit {code}: {(err or out).strip()[-200:] or 'it said nothing'}")


def through(condition: str) -> str:
    return f"{condition} && echo {THROUGH}"


def file(at: At) -> str:
    return shlex.quote(at.facts["file"])


SCRIPTS: tuple[tuple[str, str, str, str, str, str, Callable[[At], str]], ...] = (
    ("command-reads-a-file-outside", "files", "cat a file of the host.", "the file is a decoy and is only read", HIDDEN, GONE,
     lambda at: f"cat {file(at)}"),
    ("command-reads-through-dots", "files", "cat it by `..`.", "the file is a decoy and is only read", HIDDEN, GONE,
     lambda at: f"cat ../../../../../..{file(at)}"),
    ("command-reads-through-proc", "/proc", "cat it through the root of the decoy process.", "the file is a decoy",
     HIDDEN + "; pid namespace", GONE, lambda at: f"cat /proc/{at.facts['pid']}/root{file(at)}"),
    ("command-reads-through-a-symlink", "links", "A link in the workspace to a file outside.", "the file is a decoy", HIDDEN,
     GONE, lambda at: f"ln -s {file(at)} drill-l && cat drill-l; rm drill-l"),
    ("command-hardlinks-a-file-outside", "links", "A second name in the workspace.", "the file is a decoy", HIDDEN,
     GONE + " EXDEV", lambda at: through(f"ln {file(at)} drill-h")),
    ("command-writes-outside", "files", "Make a file in a directory outside.", "the directory is the decoys' own", HIDDEN, GONE,
     lambda at: through(f": > {shlex.quote(at.facts['drop'])}/command")),
    ("command-reads-another-workspace", "files", "cat a file of another agent.", "that agent is the drill's own decoy", HIDDEN,
     GONE, lambda at: f"cat {shlex.quote(at.facts['neighbour_file'])}"),
    ("command-signals-a-process", "signals", "kill -USR1.", "the process is a decoy, which counts it and goes on",
     "pid namespace", "ESRCH EPERM", lambda at: through(f"kill -USR1 {at.facts['pid']}")),
    ("command-reads-an-environment", "/proc", "cat /proc/PID/environ.", "the process is a decoy", "pid namespace", GONE,
     lambda at: f"cat /proc/{at.facts['pid']}/environ"),
    ("command-mounts", "mounts", "mount a tmpfs.", "the place is nowhere", "seccomp; no capabilities", "EPERM EACCES",
     lambda at: "mount -t tmpfs none /queenright-drill-nowhere 2>&1 | grep -q 'does not exist' && echo THROUGH || "
     "mount -t tmpfs none /queenright-drill-nowhere"),
    ("command-makes-a-namespace", "namespaces", "unshare --user.", "it ends at once", "seccomp", "EPERM SIGSYS",
     lambda at: through("unshare --user true")),
    ("command-reaches-loopback", "sockets", "Connect to a listener of the host.", "the listener is a decoy",
     "network namespace; Landlock", "ECONNREFUSED EACCES ENETUNREACH EPERM",
     lambda at: through(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{at.facts['tcp']} && printf %s {at.facts['token']} >&3'")),
    ("command-reaches-metadata", "metadata", "Look up the route to 169.254.169.254.",
     "a connected datagram socket sends nothing", "network namespace", "ENETUNREACH EACCES EPERM",
     lambda at: through("bash -c 'exec 3<>/dev/udp/169.254.169.254/80'")),
    ("command-makes-a-huge-file", "bombs", "A file over the limit of one file.", "it is a hole of no bytes, and removed",
     "RLIMIT_FSIZE", "EFBIG", lambda at: through("dd if=/dev/zero of=drill-big bs=1 count=1 seek=300M") + "; rm -f drill-big"),
    ("command-opens-core-pattern", "files", "Open core_pattern to write.", "nothing is written to it",
     HIDDEN + "; /proc of its own", GONE, lambda at: through("exec 3>/proc/sys/kernel/core_pattern")),
)  # fmt: skip
for _name, _group, _what, _harmless, _by, _stops, _script in SCRIPTS:
    add(
        Attack(
            name=_name,
            group=_group,
            place="command",
            what=_what,
            harmless=_harmless,
            by=_by,
            stops=frozenset(_stops.split()),
            run=_script,
        )
    )
