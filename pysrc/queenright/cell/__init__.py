"""The process around agents: link, loop, turns, keys. Runs untrusted behaviours beside itself and is trusted with nothing.

Everything it sends is a proposal that the supervisor checks again. It promises authors what `agent` documents and the
supervisor nothing but well-formed frames. May know `agent`, `wire`, `core`, `errors` and `clock`.
"""
