"""The terminal of queenright: five places (swarm, inbox, agent, ledger, stop) over one detachable connection.

Runs in the operator's own session and is trusted with nothing but what that operator may do. Promises: text
that an agent chose is sanitised again before it becomes a cell, and can neither act nor leave its fence; a
decision key works only on the request that was on screen for 400 ms, unchanged, with the focus on it; taking
away never needs more than giving; nothing on screen says a thing was enforced before the runtime acknowledged
it. Knows `control.client`, `control.protocol`, `wire`, `errors`, `clock`, and from `core` the view and the
sanitisers. Never a private key: signing is a callable it is given.
"""
