"""Every command: its words, the module that holds it, one line about it, and the control methods it calls.

The root's help, the reference page and the check that every act of the terminal has a command line twin
read this list; a command that is not here does not exist. Loading it loads no command.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "Entry", "find", "nouns", "top"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`words`:

    as typed after `queenright`. `methods`: of `control.methods`; empty for what needs no supervisor.
    """

    words: str
    module: str
    about: str
    methods: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        return self.words.split()[0]


def _entry(words: str, about: str, *methods: str, module: str = "") -> Entry:
    name = module or words.split()[0].replace("-", "_")
    return Entry(words, f"queenright.cli.{name}", about, methods)


COMMANDS: tuple[Entry, ...] = (
    _entry("init", "make a state directory and pin its owner's key"),
    _entry("up", "start the supervisor"),
    _entry("down", "stop the supervisor and everything in it", "down"),
    _entry("unlock", "give the master key to a locked supervisor", "unlock"),
    _entry("login", "keep a session for 8 h that can read and take away", "login"),
    _entry("logout", "end every session of your key", "logout", module="login"),
    _entry("health", "counts only; needs no key", "health"),
    _entry("status", "what runs, who waits, where the ledger stands", "status", "whoami", module="health"),
    _entry("tui", "the terminal: watch, decide, stop", "status"),
    _entry("demo", "a shop, a fault, a swarm that heals it"),
    _entry("try", "run a behaviour folder in real cells under a throw-away supervisor", module="try_"),
    _entry("doctor", "what this machine can enforce, and what it lacks"),
    _entry(
        "drill",
        "attack this supervisor harmlessly, and see what stops each attack",
        "drill_begin",
        "drill_attack",
        "drill_end",
    ),
    _entry("paths", "where things lie"),
    _entry("logs", "the log of the supervisor or of one agent", "logs", "agent_log"),
    _entry("why", "tell an act, a denial or an ask back to the person behind it", "why"),
    _entry("can", "whether an agent may do something now, and why not", "can"),
    _entry("who-can", "which agents may do something now", "who_can", module="can"),
    _entry("undo", "put back what an action, an agent, a swarm or an intent did", "undo_preview", "undo"),
    _entry("sign", "sign an exported ask elsewhere; needs no supervisor"),
    _entry("completion", "the shell's completion script"),
    _entry("intent new", "write a first intent to start from"),
    _entry("intent check", "check an intent file; needs no supervisor"),
    _entry("intent explain", "say in words what an intent allows"),
    _entry("intent sign", "compile an intent for this supervisor and sign it", "behaviours", "resources"),
    _entry("intent apply", "apply a signed intent: its swarm starts", "intent_apply", "intent_amend"),
    _entry("intent show", "what was signed, and how much of it is used", "intent"),
    _entry("intent list", "the intents of this supervisor", "intents"),
    _entry("intent diff", "what an intent would change against one that is applied", "intent"),
    _entry("intent revoke", "end an intent and everything under it", "revoke"),
    _entry("behaviour new", "make a behaviour package with its test"),
    _entry("behaviour add", "put a package into the supervisor's store", "behaviour_add"),
    _entry("behaviour test", "run a package's tests; needs no supervisor"),
    _entry("behaviour list", "the packages an intent can name", "behaviours"),
    _entry("resource add", "add the resources of a file to those in force", "resources", "resources_set"),
    _entry("resource check", "check a resources file; needs no supervisor"),
    _entry("resource set", "put exactly the resources of a file in force", "resources", "resources_set"),
    _entry("resource list", "the resources in force", "resources"),
    _entry("resource show", "one resource: what it maps to", "resources"),
    _entry("operator list", "who may sign what", "operators"),
    _entry("operator add", "enrol a person's key", "operators", "operators_set"),
    _entry("operator remove", "remove a person or one of their keys", "operators", "operators_set"),
    _entry("operator rotate", "replace a person's key by a new one", "operators", "operators_set"),
    _entry("ask list", "who waits for a person", "asks"),
    _entry("ask show", "the card of one ask", "ask"),
    _entry("ask approve", "approve an ask once", "ask", "ask_decide"),
    _entry("ask narrow", "approve less than was asked", "ask", "ask_decide"),
    _entry("ask shorten", "approve for a shorter time", "ask", "ask_decide"),
    _entry("ask deny", "deny an ask, with a reason", "ask_deny"),
    _entry("ask export", "the canonical bytes, to sign elsewhere", "ask"),
    _entry("lease list", "live rights to use a credential", "leases"),
    _entry("lease revoke", "end a lease", "revoke"),
    _entry("lease extend", "let a lease run longer", "lease_extend"),
    _entry("agent list", "the agents, by swarm and parent", "agents"),
    _entry("agent show", "one agent: chain, grant, leases, mailbox, actions", "agent"),
    _entry("agent revoke", "end the authority of an agent and its subtree", "revoke"),
    _entry("agent freeze", "hold an agent and its subtree until an operator unfreezes it", "freeze"),
    _entry("agent unfreeze", "let a frozen agent go on", "unfreeze"),
    _entry("agent pause", "stop handing messages to an agent and its subtree", "pause"),
    _entry("agent resume", "let a paused agent go on", "resume"),
    _entry("agent stop", "end an agent and its subtree", "stop"),
    _entry("agent logs", "the log of one agent", "agent_log"),
    _entry("swarm list", "the swarms: one per intent", "intents"),
    _entry("swarm pause", "pause a swarm, or all", "pause"),
    _entry("swarm resume", "let a paused swarm go on", "resume"),
    _entry("swarm freeze", "freeze a swarm, or all", "freeze"),
    _entry("swarm unfreeze", "let a frozen swarm go on", "unfreeze"),
    _entry("swarm revoke", "end the authority of a swarm, or of all", "revoke"),
    _entry("swarm stop", "end a swarm, or all", "stop"),
    _entry("workspace log", "the versions of an agent's workspace, newest first", "workspace_log"),
    _entry("workspace diff", "what a version of a workspace changed", "workspace_diff", "workspace_log"),
    _entry("workspace show", "a directory or file of a workspace, at any kept version", "workspace_show"),
    _entry(
        "workspace restore",
        "put a workspace back to an earlier version",
        "workspace_restore_preview",
        "workspace_restore",
    ),
    _entry("secret set", "put a secret into the vault", "secret_set"),
    _entry("secret list", "names of secrets, never values", "secret_list"),
    _entry("secret remove", "remove a secret from the vault", "secret_remove"),
    _entry("ledger verify", "verify a copied ledger with public keys alone"),
    _entry("ledger list", "entries, newest first", "ledger"),
    _entry("ledger show", "one entry as it stands", "ledger"),
    _entry("ledger export", "copy the ledger for someone else to verify", "ledger_export", "ledger_read"),
    _entry(
        "ledger checkpoint",
        "the signed head of the ledger, checked against the last one seen here",
        "ledger_checkpoint",
    ),
    _entry("ledger copies", "who was last given which checkpoint", "ledger_copies"),
)


def top() -> dict[str, Entry]:
    """Commands of one word, by that word."""
    return {entry.words: entry for entry in COMMANDS if " " not in entry.words}


def nouns() -> dict[str, list[Entry]]:
    """Commands of two words, by their noun."""
    found: dict[str, list[Entry]] = {}
    for entry in COMMANDS:
        if " " in entry.words:
            found.setdefault(entry.noun, []).append(entry)
    return found


def find(words: str) -> Entry:
    """The entry of a command. Raises KeyError."""
    return next(entry for entry in COMMANDS if entry.words == words)
