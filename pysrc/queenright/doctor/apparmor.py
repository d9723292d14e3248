"""The AppArmor profile that lets the launcher make user namespaces where only named programs may (Ubuntu 23.10 on)."""

from __future__ import annotations

from pathlib import Path

from queenright.errors import QueenrightError

__all__ = ["PROFILE", "apparmor_profile"]

PROFILE = "/etc/apparmor.d/queenright-launch"
# What a quoted path of a profile may hold without meaning something else there (apparmor.d(5): globs, quotes, variables).
_MEANINGFUL = frozenset('"\\*?[]{}^@,')


def apparmor_profile(launcher: Path) -> str:
    """A profile that allows this one program user namespaces and takes nothing from it or gives it more.

    It names the program's real path, which must not be one that others may write to: whoever replaces the program gets
    the right. Raises QueenrightError for a path that a profile cannot name.
    """
    path = str(launcher.resolve())
    odd = sorted(letter for letter in set(path) if letter in _MEANINGFUL or not letter.isprintable())
    if odd:
        raise QueenrightError(
            f"an AppArmor profile cannot name {path!r}: it holds {odd[0]!r}",
            hint="install queenright elsewhere",
        )
    return f"""abi <abi/4.0>,
include <tunables/global>

profile queenright-launch "{path}" flags=(unconfined) {{
  userns,

  include if exists <local/queenright-launch>
}}"""
