"""`queenright doctor`: what the kernel offers for sandboxes, by trying each step."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from queenright.supervisor.launcher import launcher_path

__all__ = ["Feature", "Report", "examine"]

# Exit codes of the command line (design): all there; this machine lacks a needed feature.
_FINE = 0
_LACKING = 6
# The launcher gives each of its dozen trials ten seconds; all together take a tenth of one.
_SECONDS = 150.0

_SYSCTL = (
    "sysctl user.max_user_namespaces=15000; on Debian kernel.unprivileged_userns_clone=1; on Ubuntu 24.04 or "
    "newer kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with `userns` for {launcher}"
)
_MASKED = "run the container with an unmasked /proc (docker: --security-opt systempaths=unconfined)"
_CONTAINER = "in a container, allow namespaces and mounts (docker: --security-opt seccomp=unconfined)"
_NO_AGENTS = "no cell and no command can be made: agents do not run"

# What the absence of each costs, and what mends it.
_KNOWN: dict[str, tuple[str, str]] = {
    "launcher": (_NO_AGENTS, "reinstall queenright from a wheel for this platform"),
    "user_namespace": (_NO_AGENTS, _SYSCTL),
    "mount_namespace": (_NO_AGENTS, _CONTAINER),
    "pid_namespace": (_NO_AGENTS, _CONTAINER),
    "network_namespace": (_NO_AGENTS, _CONTAINER),
    "ipc_namespace": (_NO_AGENTS, _CONTAINER),
    "uts_namespace": (_NO_AGENTS, _CONTAINER),
    "cgroup_namespace": (_NO_AGENTS, "a kernel with CONFIG_CGROUPS"),
    "tmpfs": (_NO_AGENTS, _CONTAINER),
    "proc": (_NO_AGENTS, _MASKED),
    "overlayfs": (
        "workspaces cannot be rolled back: agents do not run",
        "Linux 5.11 or newer with CONFIG_OVERLAY_FS",
    ),
    "seccomp": (_NO_AGENTS, "a kernel with CONFIG_SECCOMP_FILTER"),
    "landlock": (_NO_AGENTS, "Linux 5.13 or newer with landlock in its lsm= list"),
    "egress": (
        "commands reach no host, whatever an intent names: one with hosts in its grant does not run",
        "the full tier, and Linux 6.7 or newer with landlock in its lsm= list (Landlock ABI 4)",
    ),
    "sandbox": (
        "no namespaces of our own: bubblewrap must make them, or agents do not run",
        "mend what is missing above, or read the step that failed",
    ),
    "bubblewrap": (
        "where this program may make no namespaces, nobody else makes them for it",
        "apt-get install bubblewrap (0.10 or newer, or one with --ro-bind-fd); as root it is not used",
    ),
    "landlock_strict": (
        "where nobody makes namespaces, `queenright up --degraded landlock` is no way out",
        "Linux 6.12 or newer with landlock in its lsm= list, and an ordinary user",
    ),
    "memory_cgroup": (
        "memory of a sandbox is watched each second and not held by the kernel (soft)",
        "start with `systemd-run --user --scope -p Delegate=yes queenright up`, or as root",
    ),
    "memory_watch": (
        "where there is no memory cgroup either, a sandbox of many processes can take all memory",
        "a kernel with CONFIG_PROC_CHILDREN",
    ),
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing tried.

    `reason` is the step that failed and the kernel's word; `cost` and `fix` hold if absent.
    """

    name: str
    present: bool
    required: bool
    reason: str = ""
    cost: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What this machine offers.

    `tier` is what a supervisor that starts now would use; "none" is a refusal, unless an operator says `--degraded`.
    """

    tier: Literal["full", "bwrap", "none"]
    as_root: bool
    landlock_abi: int
    landlock_full: int
    landlock_kernel: int
    memory: Literal["hard", "soft", "none"]
    max_user_namespaces: int | None
    features: tuple[Feature, ...]

    @property
    def exit_code(self) -> int:
        """0 where sandboxes are made, 6 where they are refused."""
        return _FINE if self.tier in ("full", "bwrap") else _LACKING

    @property
    def missing(self) -> tuple[Feature, ...]:
        """The required features that are absent: of tier full, so they can be absent where bubblewrap helps out."""
        return tuple(feature for feature in self.features if feature.required and not feature.present)

    @property
    def landlock(self) -> str:
        return f"landlock ABI {self.landlock_abi} of {self.landlock_full}"

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "landlock": self.landlock, "exit_code": self.exit_code}, indent=2)

    def as_text(self) -> str:
        """For people: a summary and each feature; for an absent one why, what it costs, what mends it."""
        lines = [
            f"sandbox tier    {self.tier} ({self._words})",
            f"isolation       {self.landlock} (the kernel has {self.landlock_kernel})",
            f"memory limit    {self.memory}",
            "",
        ]
        for feature in self.features:
            if feature.present:
                lines.append(f"  yes  {feature.name}")
                continue
            lines.append(f"  NO   {feature.name}{'' if feature.required else ' (not required)'}")
            lines.append(f"       why:   {feature.reason}")
            lines.append(f"       costs: {feature.cost}")
            lines.append(f"       fix:   {feature.fix}")
        return "\n".join(lines)

    @property
    def _words(self) -> str:
        if self.tier == "full":
            return "each with a uid of its own" if self.as_root else "all with this user's uid"
        if self.tier == "bwrap":
            return "bubblewrap makes the namespaces, our walls stand inside; all with this user's uid"
        strict = any(feature.name == "landlock_strict" and feature.present for feature in self.features)
        way = (
            "`queenright up --degraded landlock` would go on without namespaces"
            if strict
            else "no way round it"
        )
        return f"agents do not run; {way}"


def examine() -> Report:
    """Try everything. Takes a tenth of a second; leaves nothing behind.

    Never raises for what a machine lacks.
    """
    program = launcher_path()
    try:
        done = subprocess.run(
            [str(program), "--probe"], capture_output=True, env={}, timeout=_SECONDS, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return _without_launcher(f"{program}: {error}")
    features = (Feature("launcher", present=True, required=True), *map(_feature, found["features"]))
    present = {feature.name for feature in features if feature.present}
    memory: Literal["hard", "soft", "none"] = "soft" if "memory_watch" in present else "none"
    return Report(
        tier=found["tier"],
        as_root=found["root"],
        landlock_abi=found["landlock"]["used"],
        landlock_full=found["landlock"]["full"],
        landlock_kernel=found["landlock"]["kernel"],
        memory="hard" if "memory_cgroup" in present else memory,
        max_user_namespaces=found["max_user_namespaces"],
        features=features,
    )


def _feature(trial: Mapping[str, Any]) -> Feature:
    name = trial["name"]
    if trial["present"]:
        return Feature(name, present=True, required=trial["required"])
    cost, fix = _KNOWN[name]
    # A whole sandbox fails at some step of its own: that step's mend is the one to read.
    fix = trial["hint"] if name == "sandbox" and trial["hint"] else fix.format(launcher=launcher_path())
    reason = f"step {trial['step']}: {trial['message']}"
    return Feature(name, present=False, required=trial["required"], reason=reason, cost=cost, fix=fix)


def _without_launcher(reason: str) -> Report:
    cost, fix = _KNOWN["launcher"]
    return Report(
        tier="none",
        as_root=False,
        landlock_abi=0,
        landlock_full=0,
        landlock_kernel=0,
        memory="none",
        max_user_namespaces=None,
        features=(Feature("launcher", present=False, required=True, reason=reason, cost=cost, fix=fix),),
    )
