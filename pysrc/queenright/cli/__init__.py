"""The command line: `queenright NOUN VERB`, one file a noun, each loaded only when it is called.

Promises: data goes to stdout, everything else to stderr; every command has `--json`, an example in its help
and an exit code of `exit_codes`; nothing an agent wrote reaches the terminal unsanitised; what is signed is
drawn from the bytes that are signed. The composition root: it may know every room of the supervisor's, and
only `up`, `init`, `try` and `demo` do.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The `queenright` command."""
    from queenright.cli.app import run_command_line

    run_command_line()
