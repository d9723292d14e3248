"""`queenright init`: one guided step, or none at all with options."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path

import click

from queenright.cli.output import clean
from queenright.cli.run import Run, command
from queenright.control.agent_socket import AgentRefused, SshAgent
from queenright.control.operator_key import ENROLLABLE, Signer, open_path
from queenright.core.operator import SALT_LENGTH, OperatorKey
from queenright.errors import Conflict, NotEntitled, QueenrightError
from queenright.paths import Paths
from queenright.supervisor.founding import found_state
from queenright.supervisor.keyring import Kept
from queenright.supervisor.master import MasterKey, Passphrase, create_key_file, find_master

__all__ = ["init_command", "make_key"]

MASTERS = ("passphrase", "file", "credential", "fd")
NEW_KEY = "queenright"  # its file name under ~/.ssh
PROTECTS = {
    "passphrase": "typed at every `up` (or `unlock`); nothing on disk opens the state directory",
    "file": "protects copies of the state directory only: whoever reads the file opens it",
    "credential": "systemd gives it to the service: LoadCredentialEncrypted=queenright-master-key",
    "fd": "your own program gives it at every `up` on --master-key-fd",
}


@command(
    "init",
    "queenright init",
    "queenright init --key ~/.ssh/id_ed25519 --name ana --master file --master-file ~/.queenright-master",
    "queenright init --new-key ./owner --master file --master-file ./master --state ./state",
)
@click.option("--name", metavar="NAME", help="Your name in the operators document (default: your login).")
@click.option("--new-key", metavar="PATH", help="Make a new Ed25519 key there and pin it.")
@click.option("--master", type=click.Choice(MASTERS), help="How the master key is kept.")
@click.option("--master-file", metavar="PATH", help="The file of --master file: made now, outside the state.")
@click.option("--master-key-fd", type=int, metavar="N", help="Where --master fd or credential is read from.")
def init_command(
    run: Run,
    name: str | None,
    new_key: str | None,
    master: str | None,
    master_file: str | None,
    master_key_fd: int | None,
) -> None:
    """Make a state directory: its keys, your key as its owner, and the signed operators document.

    On a terminal it asks for what no option says; without one every choice is an option. Your key may be a
    file or in ssh-agent, and if you have none it makes one.
    """
    paths = run.paths()
    if paths.state.exists() and any(paths.state.iterdir()):
        raise Conflict(f"{paths.state} exists and is not empty", hint="choose another: --state DIR")
    owner = name or _ask_name()
    made: list[Path] = []
    try:
        signer = make_key(run, Path(new_key), made) if new_key else _owner_key(run, made)
        try:
            kept, secret = _master(run, paths, master, master_file, master_key_fd, made)
            pinned = found_state(
                paths,
                owner=owner,
                key_line=signer.key.line,
                sign=signer.sign,
                master=secret,
                kept=kept,
                clock=run.clock,
            )
        finally:
            signer.close()
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)  # keys of nothing would only be in the way of the next try
        raise
    told = {
        "state": str(paths.state),
        "owner": owner,
        "fingerprint": signer.key.fingerprint,
        "key": signer.where,
        "master": kept,
        "runtime": pinned.runtime,
    }
    run.out.data(
        told,
        [
            f"made {paths.state}",
            f"owner: {clean(owner)}, {signer.key.fingerprint} ({signer.where})",
            f"master key: {kept}; {PROTECTS[kept]}",
        ],
    )
    run.out.hint("start it: `queenright up --detach`, then `queenright tui`")


def _ask_name() -> str:
    login = re.sub(r"[^a-z0-9._-]", "-", getpass.getuser().lower()).lstrip("-._0123456789") or "owner"
    if not sys.stdin.isatty():
        return login
    return str(click.prompt("queenright: your name in the operators document", default=login, err=True))


def _owner_key(run: Run, made: list[Path]) -> Signer:
    """The key to pin: named, in the config, one of ssh-agent's, the usual file, or a new one."""
    if run.key or run.environ.get("QUEENRIGHT_KEY") or run.configured_key():
        return run.signer(None)
    if not sys.stdin.isatty():
        raise NotEntitled(
            "no owner key was named, and there is no terminal to ask on", hint="--key or --new-key PATH"
        )
    choices = _found_keys()
    for number, (words, _) in enumerate(choices, 1):
        run.out.show([f"  {number}  {words}"])
    new = Path("~/.ssh").expanduser() / NEW_KEY
    run.out.show([f"  n  make a new key at {new}"])
    picked = click.prompt("queenright: which key is the owner's", default="1" if choices else "n", err=True)
    if picked == "n":
        return make_key(run, new, made)
    if not picked.isdigit() or not 1 <= int(picked) <= len(choices):
        raise click.UsageError(f"there is no key {picked}")
    return open_path(choices[int(picked) - 1][1], agent=SshAgent.from_environment(), ask=run.passphrase)


def _found_keys() -> list[tuple[str, Path]]:
    """Public key files of the right type whose private half is there or in ssh-agent."""
    agent = SshAgent.from_environment()
    held: set[str] = set()
    if agent is not None:
        try:
            held = {key.line for key in agent.identities()}
        except AgentRefused:
            held = set()
    found = []
    for public in sorted(Path("~/.ssh").expanduser().glob("*.pub")):
        try:
            words = public.read_text("utf-8").split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(words) < 2 or words[0] not in ENROLLABLE:
            continue
        private = public.with_suffix("")
        if f"{words[0]} {words[1]}" in held:
            found.append((f"{words[0]} {clean(str(public))} (in ssh-agent)", public))
        elif private.exists() and words[0] == ENROLLABLE[0]:
            found.append((f"{words[0]} {clean(str(private))}", private))
    return found


def make_key(run: Run, path: Path, made: list[Path]) -> Signer:
    """Make an Ed25519 key at `path` and `path`.pub, under a passphrase if there is a terminal to type one on.

    What was made is added to `made`. Raises Conflict if something is there.
    """
    path = path.expanduser()
    public = path.with_name(path.name + ".pub")
    if path.exists() or public.exists():
        raise Conflict(f"{path} exists", hint="choose another path, or pass it as --key")
    passphrase = None
    if sys.stdin.isatty():
        passphrase = run.passphrase(f"passphrase for the new key {path} (empty for none): ") or None
        if passphrase and run.passphrase("once more: ") != passphrase:
            raise QueenrightError("the two passphrases differ", hint="nothing was made; try again")
    if passphrase is None:
        run.out.say(f"{path} has no passphrase: whoever reads the file can sign as you")
    key = OperatorKey.generate(os.urandom(32), f"{getpass.getuser()}@queenright")
    text = key.to_openssh(passphrase, os.urandom(SALT_LENGTH) if passphrase else None)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for target, content, mode in ((path, text, 0o600), (public, key.public_line + "\n", 0o644)):
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        made.append(target)
        with os.fdopen(handle, "w") as file:
            file.write(content)
    run.out.say(
        f"made the key {path} (public half: {public}); keep a copy: a lost last owner key is lost for ever"
    )
    return open_path(path, agent=None, ask=lambda prompt: passphrase or b"")


def _master(
    run: Run, paths: Paths, master: str | None, file: str | None, descriptor: int | None, made: list[Path]
) -> tuple[Kept, MasterKey | Passphrase]:
    """How the master key is kept, and the key or passphrase. A file made for it is added to `made`."""
    if master is None and file is not None:
        master = "file"
    if master is None and descriptor is not None:
        master = "fd"
    if master is None:
        master = _ask_master(run)
    if master == "passphrase":
        return "passphrase", Passphrase(_new_passphrase(run, descriptor))
    if master == "file":
        path = Path(file).expanduser() if file else _ask_file(run)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            found_file = create_key_file(path.absolute(), paths.state)
        except FileExistsError:
            raise Conflict(
                f"{path} exists", hint="name a new file: its old content is never overwritten"
            ) from None
        made.append(path)
        return "file", found_file
    kept: Kept = "credential" if master == "credential" else "fd"
    found = find_master(state=paths.state, environ=run.environ if kept == "credential" else {}, fd=descriptor)
    if not isinstance(found, MasterKey):
        hint = "32 bytes or 64 hex digits: `openssl rand -hex 32`, given on --master-key-fd"
        raise NotEntitled(f"--master {kept} needs the key now", hint=hint)
    return kept, found


def _ask_master(run: Run) -> str:
    if not sys.stdin.isatty():
        raise NotEntitled(
            "how the master key is kept was not said", hint="--master file --master-file PATH, or another"
        )
    run.out.show([f"  {word.ljust(10)}  {PROTECTS[word]}" for word in ("passphrase", "file")])
    return str(
        click.prompt(
            "queenright: how is the master key kept",
            type=click.Choice(["passphrase", "file"]),
            default="passphrase",
            err=True,
        )
    )


def _ask_file(run: Run) -> Path:
    if not sys.stdin.isatty():
        raise NotEntitled(
            "--master file needs the file's name", hint="--master-file PATH, outside the state directory"
        )
    default = run.config_directory() / "master.key"
    return Path(
        click.prompt("queenright: file for the master key", default=str(default), err=True)
    ).expanduser()


def _new_passphrase(run: Run, descriptor: int | None) -> bytes:
    if descriptor is not None:
        with os.fdopen(descriptor, "rb") as pipe:
            return pipe.read(4096).removesuffix(b"\n")
    typed = run.passphrase("new passphrase of the state directory: ")
    if run.passphrase("once more: ") != typed:
        raise QueenrightError("the two passphrases differ", hint="nothing was made; try again")
    return typed
