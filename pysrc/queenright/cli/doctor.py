"""`queenright doctor`."""

from __future__ import annotations

import json
from typing import Any

import click

from queenright.cli.health import isolation
from queenright.cli.output import MAX_TEXT, clean
from queenright.cli.run import Run, command
from queenright.control.client import Client
from queenright.doctor.apparmor import PROFILE, apparmor_profile
from queenright.doctor.doctor import examine
from queenright.errors import NoSupervisor, QueenrightError
from queenright.supervisor.launcher import launcher_path

__all__ = ["doctor_command"]

DISTANCES = {
    "hardware": "in hardware, a touch for each signature",
    "uid": "another user than the supervisor's",
    "none": "the supervisor's own user: any of its programs could approve as you",
}


@command("doctor", "queenright doctor", "queenright doctor --json", "queenright doctor --fix")
@click.option(
    "--fix", is_flag=True, help="Print the AppArmor profile that lets the launcher make namespaces."
)
def doctor_command(run: Run, fix: bool) -> int:
    """Try what this machine can enforce, and say what it lacks, what that costs and what mends it.

    Ends with 0 if sandboxes are made (tier full or bwrap) and with 6 if not, also where `up --degraded landlock` would
    go on. If a supervisor answers here, says how it is and, with a login, how far your key is from it. With --fix the
    profile is on standard output, the lines that load it on standard error, and nothing is changed.
    """
    report = examine()
    if fix:
        profile = apparmor_profile(launcher_path())
        run.out.data({"apparmor_profile": profile, "path": PROFILE, "exit_code": report.exit_code}, [profile])
        run.out.say(f"to load it, as root: save this as {PROFILE}, then apparmor_parser --replace {PROFILE}")
        run.out.say("whoever may write to the program's file may make user namespaces from then on")
        return report.exit_code
    supervisor, lines = _supervisor(run)
    told = json.loads(report.as_json()) | {"supervisor": supervisor}
    run.out.data(told, [*(clean(line, MAX_TEXT) for line in report.as_text().splitlines()), "", *lines])
    return report.exit_code


def _supervisor(run: Run) -> tuple[dict[str, Any] | None, list[str]]:
    """What can be learned without asking for a passphrase."""
    try:
        with Client(run.paths().socket, clock=run.clock) as client:
            health = client.call("health")
            login = run.tokens().read()
            distance = None
            if login is not None and login["expires_ms"] > run.clock.wall_ms():
                client.prove_login(login)
                distance = client.call("whoami")["distance"]
    except NoSupervisor:
        return None, [f"supervisor      none answers at {run.paths().socket}"]
    except QueenrightError as error:
        return None, [f"supervisor      {clean(error.message)}"]
    words = "locked" if health["locked"] else "serving"
    lines = [f"supervisor      {words}, version {clean(health['version'])}"]
    lines.append(f"its {isolation(health)}")
    if not health["ledger_ok"]:
        lines.append("ledger          NOT WRITABLE: no action runs")
    lines.append(
        f"operator key    {DISTANCES[distance] if distance else 'not measured: `queenright login` first'}"
    )
    return health | {"distance": distance}, lines
