"""`python -m queenright.supervisor`: the daemon that `queenright up --detach` starts. Options come as JSON on a descriptor."""

from __future__ import annotations

import sys

from queenright.supervisor.main import from_descriptor, run

if __name__ == "__main__":
    sys.exit(run(from_descriptor(int(sys.argv[1]))))
