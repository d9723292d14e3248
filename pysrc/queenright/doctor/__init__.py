"""Looking at this machine: can it hold agents, and if not, what is missing and what mends it.

Promises: everything reported was tried for real, in processes that have ended; what is absent is named with
what its
absence costs and the way to get it. Knows the launcher's program and nothing of a running supervisor.
"""
