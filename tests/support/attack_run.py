"""The host side of the attacks: decoys, listeners and a victim,
then the probe in a sandbox; prints what it did.

Run as `attack_run.py cell|pooled|command|none [TIER]` by the one whose sandboxes are attacked. `pooled` is a cell that was empty when it started: the probe comes as its package. `none` runs the probe
bare, to show that the attacks find what is there to be found. The launcher must come to TIER (full) by itself, or
to landlock-strict by being told that it will do.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from attack_pooled import attack_as_package
from launching import launched, run, shell, workspace

import queenright
from queenright.supervisor.launcher import Exit
from queenright.supervisor.sandbox_spec import Bind, cell_spec, interpreter_binds

PROBE = Path(__file__).resolve().parent / "attack"
DRILL = Path(queenright.__file__).resolve().parent / "drill" / "attacks"
HERE = Path.cwd()


def decoys(secret: str) -> list[str]:
    """Files an agent must not reach, readable by whoever runs the supervisor."""
    places = [".ssh/id_ed25519", "state/keyring", "workspaces/other/notes", "policy/intent.toml"]
    for place in places:
        path = HERE / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secret)
        path.chmod(0o644)
    return [str(HERE / place) for place in places]


async def main(kind: str, tier: str) -> None:
    secret = secrets.token_hex(16)
    os.environ["QUEENRIGHT_DECOY"] = secret
    hidden = decoys(secret)
    inherited = os.open(hidden[0], os.O_RDONLY)
    os.set_inheritable(inherited, True)
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    abstract = f"queenright-{secrets.token_hex(8)}"
    unix_path = str(HERE / "socket")
    Path(unix_path).unlink(missing_ok=True)
    listeners = [tcp, udp]
    for address in ("\0" + abstract, unix_path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        listeners.append(listener)
    victim = subprocess.Popen(["/bin/sleep", "1000"])
    before = os.getpriority(os.PRIO_PROCESS, victim.pid)
    facts = {
        "kind": "cell" if kind == "pooled" else kind, "secret": secret, "decoys": hidden,
        "hidden": [*hidden, "/etc/shadow", "/etc/ssh/sshd_config", unix_path],
        "writable": "/tmp" if kind in ("cell", "pooled") else "/workspace", "victim": victim.pid,
        "supervisor": os.getpid(),
        "read_only": ["/usr/bin/env", "/etc/passwd", "/etc/ld.so.cache"], "tcp": tcp.getsockname(),
        "udp": udp.getsockname(), "drill": str(DRILL), "abstract": abstract, "unix": unix_path, "descriptors": 4,
    }  # fmt: skip
    try:
        if kind == "none":
            facts |= {
                "writable": str(HERE),
                "processes": 64,
                "probe": str(PROBE),
                "open_files": 1024,
                "tmp_bytes": 1,
                "file_bytes": 1,
                "memory_bytes": 1,
            }
            command = [sys.executable, str(PROBE / "main.py"), json.dumps(facts)]
            done = subprocess.run(command, capture_output=True, text=True, pass_fds=[inherited], check=False)
            text, how = done.stdout, Exit(done.returncode, None)
        else:
            with launched(degraded="landlock" if tier == "landlock-strict" else None) as launcher:
                assert launcher.tier == tier, f"{launcher.tier}: {launcher.instead_of}"
                place = launcher.in_place
                spec = cell_spec(packages={}, slot=1, in_place=place)
                binds = spec.binds
                program = spec.argv[0]
                if kind == "command":
                    spec = shell(launcher, "", binds=interpreter_binds())
                    binds = spec.binds
                facts |= {
                    "processes": spec.limits.processes, "open_files": spec.limits.open_files,
                    "tmp_bytes": spec.limits.tmp_bytes or 0, "file_bytes": spec.limits.file_bytes,
                    "memory_bytes": spec.limits.memory_bytes,
                }  # fmt: skip
                if kind == "pooled":
                    facts["read_only"] += [program]
                    how, text = await attack_as_package(launcher, spec, PROBE, DRILL, facts)
                else:
                    probe = str(PROBE) if place else "/probe"
                    facts["drill"] = str(DRILL) if place else "/drill/attacks"
                    shown = [Bind(PROBE, probe), Bind(DRILL, facts["drill"])]
                    if place:
                        facts["writable"] = str(workspace(launcher))
                        if kind == "cell":
                            shown.append(Bind(facts["writable"], facts["writable"], writable=True))
                    facts["probe"] = probe
                    facts["read_only"] += [f"{probe}/main.py", program]
                    argv = (program, "-I", "-S", "-B", f"{probe}/main.py", json.dumps(facts))
                    spec = replace(spec, argv=argv, binds=(*binds, *shown))
                    link, theirs = socket.socketpair()
                    how, text = await run(launcher, spec, [theirs.fileno()])
                    link.close()
                    theirs.close()
        aftermath = {
            "victim alive": victim.poll() is None,
            "victim's priority unchanged": os.getpriority(os.PRIO_PROCESS, victim.pid) == before,
            "decoys unchanged": all(Path(path).read_text() == secret for path in hidden),
            "nobody called": not any(heard(listener) for listener in listeners),
            "nothing new beside the decoys": not any(
                (Path(path).parent / "mine").exists() for path in hidden
            ),
        }
    finally:
        victim.kill()
        victim.wait()
    attacks = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    noise = [line for line in text.splitlines() if not line.startswith("{")]
    print(
        json.dumps(
            {"exit": [how.code, how.signal], "attacks": attacks, "aftermath": aftermath, "noise": noise}
        )
    )


def heard(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.recv(10) if listener.type == socket.SOCK_DGRAM else listener.accept()
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "full"))
