"""How hard it is to approve, by risk: the same rules as on the terminal's card, for one command."""

from __future__ import annotations

from queenright.cli.confirm import confirm_signing, require_word
from queenright.errors import NotEntitled

__all__ = ["demand_consent", "last_word"]

ABOVE_MEDIUM = ("HIGH", "CRITICAL")


def last_word(resource: str) -> str:
    """The last part of a resource's name: `svc:shop/web` is `web`."""
    return next((part for part in reversed(resource.replace(":", "/").split("/")) if part), resource)


def demand_consent(
    risk: str,
    resource: str,
    *,
    distance: str,
    typed: str | None,
    accept_same_user: bool,
    yes: bool,
) -> str:
    """Let the person agree as hard as the risk asks, and return the factor that the verdict records.

    LOW and MED: yes, or `--yes`. HIGH: the resource's last word, typed. CRITICAL: its whole name. Above
    MED, when nothing keeps the key from the supervisor's user, `--accept-same-user` too. An unknown risk
    counts as CRITICAL. Raises NotEntitled, or Abort when the person says no.
    """
    if risk in ("LOW", "MED"):
        confirm_signing("sign and approve exactly this?", yes=yes)
        return distance
    if distance == "none" and not accept_same_user:
        raise NotEntitled(
            f"{risk}: your key is not separated from the supervisor's user, so any of its programs could approve as you",
            hint="use a hardware key, or take the risk with --accept-same-user (recorded)",
        )
    wanted = last_word(resource) if risk == "HIGH" else resource
    require_word(f"{risk}: type `{wanted}` to sign", wanted, typed)
    return f"{distance} same-user" if distance == "none" else distance
