//! Pure state machines of queenright: no I/O, no clock, no threads.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent_id;
pub mod digest;
pub mod error;
pub mod mailbox;
pub mod scheduler;
pub mod seal;
