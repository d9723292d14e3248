"""The incident story of `queenright demo`: a shop that breaks, a swarm that heals it, a record that holds.

Promises: every fault and its harm are real and measured; nobody tells the swarm; the table says only what the ledger and
the load generator say; nobody's own keys are touched, and nothing is left behind. `shop` is an outside program and `sre` a
behaviour package: neither knows this room. May know `cli` for what every operator uses, and the rooms a client may know.
"""
