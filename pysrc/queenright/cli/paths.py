"""`queenright paths`."""

from __future__ import annotations

from queenright.cli.run import Run, command

__all__ = ["paths_command"]


@command("paths", "queenright paths", "queenright paths --json --state ./state", key=False)
def paths_command(run: Run) -> None:
    """Print where things lie: the state directory and what is in it, and your own configuration."""
    found = {name: str(path) for name, path in run.paths().all().items()}
    found["config"] = str(run.config_directory() / "config.toml")
    found["checkpoints"] = str(run.config_directory() / "checkpoints")
    found["login"] = str(run.tokens().path)
    width = max(map(len, found))
    run.out.data(found, [f"{name.ljust(width)}  {path}" for name, path in found.items()])
