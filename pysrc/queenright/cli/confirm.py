"""Asking a person before something is signed. Never a default that signs."""

from __future__ import annotations

import sys

import click

from queenright.errors import NotEntitled

__all__ = ["confirm_signing", "require_word"]


def confirm_signing(question: str, *, yes: bool) -> None:
    """Go on only if the person says yes, or said so with `--yes`. Raises NotEntitled without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotEntitled("there is no terminal to confirm on", hint="--yes signs what was just shown")
    if not click.confirm(f"queenright: {question}", default=False, err=True):
        raise click.Abort


def require_word(prompt: str, wanted: str, given: str | None) -> None:
    """Go on only if exactly `wanted` was typed, here or as an option. Raises NotEntitled."""
    if given is None:
        if not sys.stdin.isatty():
            raise NotEntitled(f"`{wanted}` must be typed, and there is no terminal", hint=f"--type {wanted}")
        given = click.prompt(f"queenright: {prompt}", default="", show_default=False, err=True)
    if given != wanted:
        raise NotEntitled(f"that is not `{wanted}`: nothing was signed")
