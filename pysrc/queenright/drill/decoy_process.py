"""The decoy process: holds a secret in memory, environment and an open file, counts the signals it gets, and dies with its maker.

Run as `python -I -S decoy_process.py FILE SECRET`; says one line of JSON, then one word for each signal.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    maker = int(sys.argv[3])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != maker:
        os._exit(1)
    held = os.open(sys.argv[1], os.O_RDONLY)
    secret = ctypes.create_string_buffer(sys.argv[2].encode())

    def heard(number: int, _: object) -> None:
        os.write(1, f"signal {number}\n".encode())

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, heard)
    told = {"address": ctypes.addressof(secret), "descriptor": held}
    os.write(1, json.dumps(told).encode() + b"\n")
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
