"""The list of methods of the control socket: their parameters and what a caller must prove.

A method that is not here does not exist; a parameter that is not listed is refused, and so is one of
another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

__all__ = ["METHODS", "Method", "Need"]


class Need(Enum):
    """What a caller must prove before a method is called."""

    NOTHING = "nothing"
    SESSION = "session"  # an operator's key or a login token: reading and taking away
    KEY = "key"  # an operator's key proved on this connection: a login token is not enough
    SIGNED = "signed"  # a session, and a document signed in its own namespace (intent, verdict, …)
    ORDER = "order"  # a session, and an order signed for exactly this method and these parameters


@dataclass(frozen=True, slots=True)
class Method:
    """`params` maps a name to its type:

    str, int, bool, bytes, `list[str]`, `files` ({path: bytes}); `?` may be absent.
    """

    name: str
    need: Need
    params: Mapping[str, str]
    locked: bool  # answered while the supervisor has no master key


def _method(method: str, need: Need, /, *, locked: bool = False, **params: str) -> tuple[str, Method]:
    return method, Method(method, need, MappingProxyType(params), locked)


METHODS: Mapping[str, Method] = MappingProxyType(
    dict(
        [
            # reading
            _method("health", Need.NOTHING, locked=True),
            _method("whoami", Need.SESSION, locked=True),
            _method("status", Need.SESSION, locked=True),
            _method("resolve", Need.SESSION, locked=True, text="str", kind="str?"),
            _method("intents", Need.SESSION, locked=True),
            _method("intent", Need.SESSION, locked=True, intent="str"),
            _method(
                "agents", Need.SESSION, locked=True, parent="str?", intent="str?", after="str?", limit="int?"
            ),
            _method("agent", Need.SESSION, locked=True, agent="str"),
            _method("agent_log", Need.SESSION, agent="str", after="int?", limit="int?"),
            _method("asks", Need.SESSION, locked=True, state="str?", after="str?", limit="int?"),
            _method("ask", Need.SESSION, locked=True, ask="str"),
            _method("leases", Need.SESSION, locked=True, agent="str?", state="str?"),
            _method(
                "ledger", Need.SESSION, locked=True, query="str?", after="int?", limit="int?", newest="bool?"
            ),
            _method("ledger_checkpoint", Need.SESSION, locked=True, since="int?"),
            _method("ledger_export", Need.SESSION, locked=True),
            _method("ledger_read", Need.SESSION, locked=True, name="str", offset="int", limit="int"),
            _method("ledger_copies", Need.SESSION, locked=True),
            _method("why", Need.SESSION, id="str"),
            _method("can", Need.SESSION, locked=True, agent="str", verb="str", resource="str"),
            _method("who_can", Need.SESSION, locked=True, verb="str", resource="str"),
            _method("undo_preview", Need.SESSION, target="str", since_ms="int?"),
            _method("workspace_log", Need.SESSION, agent="str", limit="int?"),
            _method("workspace_diff", Need.SESSION, agent="str", version="int"),
            _method(
                "workspace_show", Need.SESSION, agent="str", path="bytes", version="int?", content="bool?"
            ),
            _method("workspace_restore_preview", Need.SESSION, agent="str", version="int"),
            _method("resources", Need.SESSION, locked=True),
            _method("operators", Need.SESSION, locked=True),
            _method("behaviours", Need.SESSION, locked=True),
            _method("secret_list", Need.SESSION),
            _method("logs", Need.SESSION, locked=True, after="int?", limit="int?"),
            # sessions
            _method("login", Need.KEY, locked=True),
            _method("logout", Need.SESSION, locked=True),
            # taking away
            _method("revoke", Need.SESSION, locked=True, target="str", reason="str?"),
            _method("freeze", Need.SESSION, locked=True, target="str", reason="str?"),
            _method("pause", Need.SESSION, locked=True, target="str", reason="str?"),
            _method("stop", Need.SESSION, locked=True, target="str", reason="str?"),
            _method("ask_deny", Need.SESSION, locked=True, ask="str", reason="str", freeze="bool?"),
            _method("down", Need.SESSION, locked=True),
            # giving by a signed document
            _method("intent_apply", Need.SIGNED, document="bytes", signature="str"),
            _method("intent_amend", Need.SIGNED, document="bytes", signature="str"),
            _method("ask_decide", Need.SIGNED, verdict="bytes", signature="str"),
            _method("resources_set", Need.SIGNED, document="bytes", signature="str"),
            _method("operators_set", Need.SIGNED, document="bytes", signature="str"),
            # giving by an order
            _method("unfreeze", Need.ORDER, target="str"),
            _method("resume", Need.ORDER, target="str"),
            _method("lease_extend", Need.ORDER, lease="str", by_ms="int"),
            _method("undo", Need.ORDER, target="str", since_ms="int?", preview="bytes"),
            _method("workspace_restore", Need.ORDER, agent="str", version="int", preview="bytes"),
            _method("secret_set", Need.ORDER, name="str", value="bytes", salt="bytes"),
            _method("secret_remove", Need.ORDER, name="str"),
            # the attack drill: begun and ended by an order, its attacks stepped by the key that began it
            _method("drill_begin", Need.ORDER, document="bytes", signature="str", canary="bytes"),
            _method("drill_attack", Need.KEY, drill="str", attack="str", facts="bytes", fresh="bool"),
            _method(
                "drill_end",
                Need.ORDER,
                drill="str",
                report="bytes",
                stopped="int",
                escaped="int",
                not_run="int",
            ),
            # putting things where an intent can name them, and the key that opens the rest
            _method("behaviour_add", Need.KEY, files="files"),
            _method("unlock", Need.KEY, locked=True, master_key="bytes?", passphrase="bytes?"),  # noqa: S106
        ]
    )
)
