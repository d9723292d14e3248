"""What a cell was given: environment, descriptors, capabilities, identity."""

from __future__ import annotations

import os

from .kit import At, Stopped, attack, in_child

# What `supervisor.sandbox_spec` gives, and what an interpreter sets for itself.
GIVEN = frozenset({"PATH", "HOME", "LANG", "LC_CTYPE", "TMPDIR", "PWD", "SHLVL", "_"})
# stdin, stdout, stderr, the link, the page.
DESCRIPTORS = 5
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@attack("given", "cell", "launcher: a built environment", "nothing-there")
def find_something_in_the_environment(at: At) -> str:
    """Any variable beyond those that a cell is given. Harmless: names are read."""
    found = sorted(os.environ.keys() - GIVEN)
    if found or any(at.facts["token"] in value for value in os.environ.values()):
        return f"the environment holds {len(found)} more variables"
    raise Stopped("nothing-there", "only PATH, HOME and LANG are there")


@attack("given", "cell", "launcher: close_range before exec", "nothing-there")
def find_an_inherited_descriptor(at: At) -> str:
    """Any descriptor beyond those that a cell is given. Harmless: numbers are looked at, and nothing is read."""
    more = []
    for number in range(DESCRIPTORS, 1024):
        try:
            found = os.fstat(number)
        except OSError:
            continue
        if not os.get_inheritable(number):
            continue  # this process opened it itself: what exec lets through is not close-on-exec
        more.append(f"{number} ({found.st_mode:o})")
    if more:
        return f"inherited {', '.join(more)}"
    raise Stopped("nothing-there", "descriptors 0 to 4 and no other")


@attack("given", "cell", "launcher: capabilities dropped, no_new_privs, filter", "nothing-there")
def hold_a_capability(at: At) -> str:
    """Any capability, or a process that may still gain some. Harmless: its own status is read."""
    with open("/proc/self/status") as file:
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    held = [name for name in CAPABILITIES if int(fields[name], 16)]
    if held or (fields["NoNewPrivs"], fields["Seccomp"]) != ("1", "2"):
        return f"{', '.join(held)}; no_new_privs {fields['NoNewPrivs']}, seccomp {fields['Seccomp']}"
    raise Stopped("nothing-there", "no capability, no_new_privs, filtered")


@attack("given", "cell", "user namespace: root is not mapped; no capabilities", "EPERM EINVAL")
def become_root(at: At) -> str:
    """setuid(0). Harmless: in a child, which ends at once."""

    def attempt() -> str:
        os.setuid(0)
        return "became root"

    return in_child(attempt)


@attack("given", "cell", "user namespace: setgroups is denied; no capabilities", "EPERM")
def take_a_group(at: At) -> str:
    """setgroups. Harmless: in a child, which ends at once."""

    def attempt() -> str:
        os.setgroups([0])
        return "took the group of root"

    return in_child(attempt)


@attack("given", "cell", "mount namespace: every mount is nosuid", "nothing-there")
def find_a_mount_that_honours_set_uid(at: At) -> str:
    """A place where a set-uid program would be one. Harmless: its own mounts are read."""
    with open("/proc/self/mountinfo") as file:
        bad = [line.split()[4] for line in file if "nosuid" not in line.split()[5].split(",")]
    if bad:
        return f"{len(bad)} mounts honour set-uid, such as {bad[0]}"
    raise Stopped("nothing-there", "every mount is nosuid")
