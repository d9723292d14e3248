"""The drill's behaviour package: agents that attack, one attack each, and say what came of it.

It runs in cells (as the package `drill`), and the host imports its lists to know what each attack is and what stops it.
Promises: every attack is harmless if it succeeds, and says why. Knows `queenright.agent` and the standard library; what a
hostile cell would do to its own process it does through the modules that are there.
"""
