//! The I/O of the supervisor: the store.
