"""The only way to touch the world: plan, authorise, record, run, verify, outcome, and undo.

Promises: what no grant allows is refused; the act and its undo are in the ledger before it happens; a verdict
is spent in the same write as the start; the executor runs exactly the bytes that were recorded; an act whose
end nobody saw is UNKNOWN and never repeated. Knows `broker`, `workspace`, `authority`, `ledger`, `store`,
`core`, `errors`, `clock`. The modules `executor`, `channel`, `world` and `builtin` run in executor processes
and know none of the supervisor's state.
"""
