//! Pure state machines of queenright: no I/O, no clock, no threads.
#![cfg_attr(test, allow(clippy::unwrap_used))]

<<<<<<< HEAD
pub mod budget;
pub mod digest;
pub mod error;
pub mod grant;
pub mod pattern;
pub mod rule;
=======
pub mod canonical;
pub mod digest;
pub mod error;
pub mod merkle;
pub mod operator_key;
pub mod sanitize;
pub mod signature;
pub mod sshsig;
>>>>>>> coreA
