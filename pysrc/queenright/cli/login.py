"""`queenright login` and `queenright logout`."""

from __future__ import annotations

from queenright.cli.output import clean, left
from queenright.cli.run import Run, command

__all__ = ["login_command", "logout_command"]


@command("login", "queenright login", "queenright login --key ~/.ssh/id_ed25519")
def login_command(run: Run) -> None:
    """Prove your key once and keep a session for 8 hours.

    It lies in a 0600 file in the runtime directory. It can read and take away (deny, revoke, freeze, pause,
    stop); it can never give and never read mail. A restart of the supervisor ends it.
    """
    with run.client(give=True) as client:
        login = client.call("login")
        operator = client.session.operator if client.session else ""
    run.tokens().write(login)
    told = {"operator": operator, "expires_ms": login["expires_ms"], "file": str(run.tokens().path)}
    run.out.data(
        told, [f"logged in as {clean(operator)}, ends in {left(login['expires_ms'], run.clock.wall_ms())}"]
    )


@command("logout", "queenright logout")
def logout_command(run: Run) -> None:
    """End every session of your key and remove the session file."""
    tokens = run.tokens()
    try:
        with run.client() as client:
            ended = client.call("logout")
    finally:
        tokens.remove()
    run.out.data(ended, [f"{ended['ended']} sessions ended"])
