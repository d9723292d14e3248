"""Credentials used on an agent's behalf: the embedded vault, and the broker that performs one HTTP call.

Promises: a secret's value goes into the upstream connection and nowhere else: no repr, exception, log, journal,
ledger or cell holds it. Knows `store`, `core`, `errors`, `clock`; knows nothing of grants or agents. `secret`,
`scrub` and `http` also run in executors, so this file imports nothing.
"""
