"""The one trusted process: runs no agent code, decides everything that leaves a cell.

Promises: what was acknowledged is durable; a leaf is in the ledger before the act it announces; one agent's trouble is
nobody else's. Knows every room below it (actions, broker, workspace, authority, behaviours, ledger, store, wire, core) and
is known only by `control` and `cli`. Never imports `agent` or `cell`: a behaviour reaches it only through the cell link.
"""
