"""What the sandbox was given: environment, descriptors, capabilities, identity."""

from __future__ import annotations

import errno
import os

from base import FACTS, SECRET, attack


@attack
def find_the_secret_in_the_environment() -> str:
    with open("/proc/self/environ", "rb") as file:
        if SECRET in file.read() or any(FACTS["secret"] in value for value in os.environ.values()):
            return "found"
    raise OSError(errno.ENOENT, "not there")


@attack
def find_an_inherited_descriptor() -> str:
    held = []
    try:
        for name in os.listdir("/proc/self/fd"):
            try:
                held.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
            except FileNotFoundError:  # the directory just listed
                continue
    except PermissionError:  # no /proc here: try every number there can be
        for number in range(FACTS["open_files"]):
            try:
                held.append((number, str(os.fstat(number))))
            except OSError:
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
