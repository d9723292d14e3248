"""Who may do what: intents, grants, asks, verdicts, leases, orders, operators.

Promises: what no signed intent names is refused; a child holds only what its parent may hand down; a budget is exact at
every level and survives a crash as spent; a verdict covers one act's exact bytes and is spent once; a denial names every
reason. Everything here is decided from keys and from the spawn tree, never from a name or a flag that an agent chose.
Runs in the supervisor (the documents also in an operator's client, which draws and signs them). Knows `store`, `wire`,
`core`, `errors`, `clock`; writes no ledger leaf itself: it returns what happened as a `Change` and as data.
"""
