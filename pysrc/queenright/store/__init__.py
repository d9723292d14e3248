"""Opening, writing and copying the supervisor's one durable store: the Python face of the Rust engine.

Promises: a commit is all or nothing and on the disk before it returns; memory follows only what was accepted;
rows of private tables are sealed under the journal subkey, bound to their table and key. Knows `core`,
`errors` and nothing above. Nobody else opens the database, and never with Python's `sqlite3`: two SQLite
libraries on one file corrupt it.
"""

from queenright.store.change import Change, Receipt, Record, join
from queenright.store.private import PRIVATE_TABLES
from queenright.store.store import MemoryBehind, Store

__all__ = ["PRIVATE_TABLES", "Change", "MemoryBehind", "Receipt", "Record", "Store", "join"]
