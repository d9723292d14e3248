"""The terminal of queenright: runs in the operator's session."""
