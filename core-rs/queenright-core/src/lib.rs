//! Pure state machines of queenright: no I/O, no clock, no threads.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent_id;
pub mod agent_table;
mod atomic;
pub mod batch;
pub mod birth_batch;
pub mod budget;
pub mod canonical;
pub mod decision;
pub mod digest;
pub mod egress;
pub mod error;
pub mod filter;
pub mod grant;
pub mod id_index;
pub mod mailbox;
pub mod mailboxes;
pub mod merkle;
pub mod operator_key;
pub mod pattern;
pub mod reach;
pub mod rule;
pub mod sanitize;
pub mod scheduler;
pub mod seal;
pub mod signature;
pub mod sshsig;
pub mod steps;
pub mod view;
