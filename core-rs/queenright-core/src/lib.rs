//! Pure state machines of queenright: no I/O, no clock, no threads.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod budget;
pub mod digest;
pub mod error;
pub mod grant;
pub mod pattern;
pub mod rule;
