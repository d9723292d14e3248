"""Runs inside a sandbox and tries to get out. Prints one JSON object a line: {"name", "stopped", "how"}.

Usage: main.py FACTS. Anything an attack obtained is reported as not stopped.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from base import ATTACKS, FACTS, HERE, LIBC, product

# The drill's own attacks (queenright.drill.attacks): each exists once. Its parent directory may be one that cannot be listed.
# In a cell that came from the pool they lie in the parcel, where `import` finds them.
if FACTS["drill"]:
    place = importlib.util.spec_from_file_location(
        "attacks", f"{FACTS['drill']}/__init__.py", submodule_search_locations=[FACTS["drill"]]
    )
    sys.modules["attacks"] = importlib.util.module_from_spec(place)
    place.loader.exec_module(sys.modules["attacks"])

PR_GET_SECCOMP, MODE_FILTER = 21, 2

# In this order: the last of `resources` signals everyone.
for room in ("files", "processes", "network", "given"):
    importlib.import_module(room)
kernel, sockets, kit = (importlib.import_module(f"attacks.{name}") for name in ("kernel", "sockets", "kit"))
# A command may have Unix sockets: they reach nobody outside its own file tree.
families = {f"make-a-{name}" for name in sockets.FAMILIES} - (
    set() if FACTS["kind"] == "cell" else {"make-a-unix-socket"}
)
product(
    [one for name, one in kit.ATTACKS.items() if name in families or one.run.__module__ == kernel.__name__],
    kit.At(FACTS, HERE),
    kit.code_of,
)
importlib.import_module("resources")

# Outside a sandbox most of these would hurt the machine. Bare, only what touches our own decoys, listeners
# and victim
# may run; and the rest only where the filter is seen to be on.
HARMLESS = (
    "connect to tcp of", "connect to udp of", "connect to an abstract", "connect to a unix", "make-a-tcp-socket",
    "make-a-udp-socket", "find_", "list_the_root", "see_processes_outside", "make-secret-memory", "make-a-user-namespace",
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
        filtered = LIBC.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == MODE_FILTER
        assert filtered, "not in a sandbox: these attacks would hurt this machine"
        # A test's own filter around the launcher is no sandbox: this one denies what only a sandbox's does.
        assert LIBC.unshare(0) == -1, "not in a sandbox: these attacks would hurt this machine"
        if FACTS["probe"]:
            assert os.path.samefile(__file__, f"{FACTS['probe']}/main.py")
        else:  # it came as a bundle: there is no file
            assert __file__.startswith("/queenright/behaviours/")
    for name, function in ATTACKS:
        try:
            how, stopped = function(), False
        except OSError as error:
            how, stopped = f"{errno.errorcode.get(error.errno or 0, '')} {error.strerror or ''}".strip(), True
        except Exception as error:  # an attack that does not run proves nothing
            how, stopped = f"broken: {error!r}", False
        print(json.dumps({"name": name, "stopped": stopped, "how": how}), flush=True)
    print(json.dumps({"name": "end", "stopped": True, "how": f"{len(ATTACKS)} attacks"}))


main()
