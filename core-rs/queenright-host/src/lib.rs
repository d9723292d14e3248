//! The I/O of the supervisor: the store, the workspaces of agents, and their commands' way to the network.
//!
//! The store keeps one ordered stream of atomic submissions. A submission is durable when `submit` returns, and
//! what is in memory elsewhere is only a cache of what a store accepted. `Store` is the seam: another engine may stand
//! behind it when it passes the conformance suite in `tests/`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod directory;
pub mod egress;
mod error;
mod record;
mod sqlite;
mod store;
pub mod workspace;

pub use error::Error;
pub use record::{Record, check};
pub use sqlite::{FORMAT, SqliteStore, require_sqlite};
pub use store::{Receipt, Store};
