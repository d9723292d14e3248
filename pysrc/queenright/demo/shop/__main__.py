"""`python -I DIR/program edge|worker|load|inject …`: the shop's one command."""

import importlib
import sys

PROGRAMS = ("edge", "worker", "load", "inject")

if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
    sys.exit(f"usage: python -I {sys.argv[0]} {'|'.join(PROGRAMS)} …")
importlib.import_module(f"shop.{sys.argv[1]}").main(sys.argv[2:])
