"""The attack drill: harmless attacks on the live system, with decoys of its own, and what stopped each of them.

Promises: it changes nothing but what it planted, and removes that; it calls an attack stopped only on the specific evidence of
what stopped it, and ESCAPED on any sign at a decoy. `attacks` is the behaviour package that runs in cells; the rest runs as
the operator and knows the control client. The supervisor's part is `supervisor.drills`.
"""
