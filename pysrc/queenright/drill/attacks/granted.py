"""Through what an agent may ask for: acts above its grant, children, mail, and the file verbs with names that lead away."""

from __future__ import annotations

import shlex

from queenright.agent import Allow
from queenright.errors import QueenrightError, TimedOut

from .kit import At, NotRun, Stopped, attack
from .messages import Count, Flood

GRANT = "runtime: grant check"
BENEATH = "runtime: an executor opens beneath the workspace, through no link"
# How `fs.read` refuses a path that leads away.
LEADS_AWAY = "malformed"
FLOOD = 1100


@attack("grants", "agent", GRANT, "denied", leaf="action.denied")
async def act_on_what_it_was_not_granted(at: At) -> str:
    """svc.restart on a service. Harmless: no resource of that name is mapped, so there is nothing to restart."""
    return f"it answered {await at.ctx.act('svc.restart', 'svc:drill/decoy')!r}"


@attack("grants", "agent", GRANT, "denied", leaf="action.denied")
async def read_a_secret_of_the_vault(at: At) -> str:
    """Ask for a credential by name. Harmless: the secret is a decoy."""
    return f"it answered {await at.ctx.act('secret.read', at.facts['secret'])!r}"


@attack("self-approval", "agent", GRANT + "; verdicts need an operator's key", "denied", leaf="action.denied")
async def approve_its_own_ask(at: At) -> str:
    """Act as the one who answers asks. Harmless: it names an ask that does not exist."""
    return f"it answered {await at.ctx.act('ask.approve', 'ask:' + '00' * 32)!r}"


@attack("policy", "agent", GRANT, "denied", leaf="action.denied")
async def write_its_own_resources(at: At) -> str:
    """Act on the map of resources. Harmless: it names a resource that does not exist, and carries no document."""
    return f"it answered {await at.ctx.act('resources.set', 'policy:drill/decoy')!r}"


@attack("grants", "agent", "runtime: a child's grant is inside what its parent may delegate", "denied")
async def give_a_child_more_than_it_has(at: At) -> str:
    """Spawn a child that may restart a service. Harmless: no resource of that name is mapped; the child does nothing."""
    child = await at.ctx.spawn("drill.Sink", name="wider", exercise=[Allow("svc.restart", "svc:drill/decoy")])
    return f"born: {child.id.hex()[:12]}"


@attack("spawn bomb", "agent", "runtime: how many an agent may spawn", "denied")
async def spawn_agents_without_end(at: At) -> str:
    """Spawn 50 children where 2 are allowed. Harmless: 50 agents of the drill that do nothing, all ended with it."""
    born = await at.ctx.spawn_many("drill.Sink", 50, stem="many")
    return f"{len(born)} were born"


@attack("screen", "agent", "runtime: names are of few letters", "malformed")
async def name_a_child_with_escapes(at: At) -> str:
    """A child whose name clears the screen. Harmless: the name is shown to nobody; the child does nothing."""
    child = await at.ctx.spawn("drill.Sink", name="\x1b[2j\x1b]0;drill\x07")
    return f"born: {child.id.hex()[:12]}"


@attack("mailbox flood", "agent", "runtime: a mailbox holds 1,000 messages", "mailbox-full")
async def flood_a_mailbox(at: At) -> str:
    """Send 1,100 messages at once. Harmless: to a child of its own, and all of them are buried with it."""
    child = await at.ctx.spawn("drill.Sink", name=f"sink-{(await at.ctx.random(4)).hex()}")
    for number in range(FLOOD):
        at.ctx.send(child, Flood(number))
    try:
        # It leaves in one record with the flood, so there is room for it only if there was for all of that.
        await at.ctx.call(child, Count(), timeout=1)
    except TimedOut:
        pass
    except QueenrightError as refused:
        if "mailbox full" in refused.message:
            raise Stopped("mailbox-full", "there is no room for one more") from None
        raise NotRun(f"the receiver cannot be asked: {refused.message}") from None
    return f"all {FLOOD} were taken, and one more"


async def shell(at: At, script: str) -> None:
    done = await at.ctx.shell(script, timeout=10)
    if done.code != 0 or done.dropped:
        raise NotRun(f"the command that prepares it failed: {done.err[-200:]} {done.dropped}")


def proof(at: At, data: bytes) -> str:
    if at.token in data:
        return "read the decoy"
    raise NotRun(f"read {len(data)} bytes that are not the decoy's")


@attack("links", "agent", BENEATH, LEADS_AWAY)
async def read_through_a_link_it_left(at: At) -> str:
    """A command leaves a symlink to a file outside, and fs.read is asked for it. Harmless: the file is a decoy."""
    await shell(at, f"ln -sfn {shlex.quote(at.facts['file'])} away")
    return proof(at, await at.ctx.files.read("away"))


@attack("links", "agent", BENEATH, LEADS_AWAY)
async def read_through_a_directory_it_left(at: At) -> str:
    """A command leaves a symlink to a directory outside. Harmless: the directory and the file are decoys."""
    directory, _, name = str(at.facts["file"]).rpartition("/")
    await shell(at, f"ln -sfn {shlex.quote(directory)} awaydir")
    return proof(at, await at.ctx.files.read(f"awaydir/{name}"))


@attack("links", "agent", BENEATH, LEADS_AWAY)
async def read_above_the_workspace(at: At) -> str:
    """fs.read of a path with `..`. Harmless: the file is a decoy of the drill's other agent."""
    return proof(
        at, await at.ctx.files.read("../" + "/".join(str(at.facts["neighbour_file"]).split("/")[-2:]))
    )


@attack("links", "agent", BENEATH, LEADS_AWAY)
async def read_an_absolute_path(at: At) -> str:
    """fs.read of a path from the root. Harmless: the file is a decoy."""
    return proof(at, await at.ctx.files.read(at.facts["file"]))


@attack("hostile names", "agent", BENEATH, LEADS_AWAY)
async def read_a_name_with_a_null_byte(at: At) -> str:
    """A path that ends earlier for the kernel than for a check. Harmless: the file is a decoy."""
    return proof(at, await at.ctx.files.read(f"{at.facts['file']}\0.txt"))


@attack("links", "agent", "a command's changes are committed at its end; " + BENEATH, LEADS_AWAY)
async def race_a_link_against_the_file_verbs(at: At) -> str:
    """A command swaps a file for a link to the decoy without end while fs.read reads it. Harmless: the file is a decoy."""
    await shell(at, "rm -rf race; echo mine > race")
    script = (
        f"n=0; while [ $n -lt 400 ]; do ln -sfn {shlex.quote(at.facts['file'])} race; rm race; echo mine > race; "
        f"n=$((n+1)); done; ln -sfn {shlex.quote(at.facts['file'])} race"
    )
    reads = [at.ctx.files.read("race") for _ in range(12)]
    answers = await at.ctx.gather(at.ctx.shell(script, timeout=10), *reads, return_errors=True)
    for answer in answers[1:]:
        if isinstance(answer, bytes) and at.token in answer:
            return "a read followed the link"
    return proof(at, await at.ctx.files.read("race"))


@attack("hostile names", "agent", "runtime: only files, directories and links are versions", "not-kept")
async def leave_a_pipe_for_whoever_reads(at: At) -> str:
    """A FIFO on which a naive reader waits for ever. Harmless: it is in the attack's own workspace."""
    done = await at.ctx.shell("rm -f pipe; mkfifo pipe && echo made", timeout=10)
    if "made" not in done.out:
        raise NotRun(f"no pipe could be made: {done.err[-200:]}")
    found = await at.ctx.files.list(".")
    if "pipe" in found:
        return "the pipe is in the workspace's version"
    raise Stopped("not-kept", "the pipe is in no version")


@attack("bombs", "agent", "runtime: a command's output is cut", "cut")
async def say_without_end(at: At) -> str:
    """A command that prints 2 MB. Harmless: the output is thrown away."""
    done = await at.ctx.shell("head -c 2000000 /dev/zero | tr '\\0' x", timeout=10)
    if len(done.out) >= 2_000_000:
        return f"{len(done.out)} characters came back"
    if not done.out:
        raise NotRun(f"the command said nothing: {done.err[-200:]}")
    raise Stopped("cut", f"{len(done.out)} characters came back")


@attack("bombs", "agent", "kernel: the pid namespace ends with the time given", "timed-out")
async def run_on_after_its_time(at: At) -> str:
    """A command that ignores SIGTERM. Harmless: it sleeps for some seconds."""
    done = await at.ctx.shell("trap '' TERM INT HUP; sleep 4; echo went on", timeout=1)
    if done.timed_out and "went on" not in done.out:
        raise Stopped("timed-out", "ended after 1 s")
    return "it ran on"


@attack("bombs", "agent", "kernel: the pid namespace ends with its first process", "gone-with-it")
async def leave_a_process_behind(at: At) -> str:
    """A process that left its session and its parent. Harmless: it sleeps a second and makes an empty file."""
    await shell(at, "rm -f late; (setsid sh -c 'sleep 1; : > late' > /dev/null 2>&1 &); true")
    await at.ctx.sleep(1.6)
    found = await at.ctx.shell("test -e late && echo still there; true", timeout=10)
    if "still there" in found.out:
        return "the process outlived its command"
    raise Stopped("gone-with-it", "nothing of it ran on")
