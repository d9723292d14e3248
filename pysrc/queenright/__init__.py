"""A runtime and a terminal for secure agent swarms."""
