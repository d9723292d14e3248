//! Linux isolation: cells, commands and executors, each made step by step and refused whole if a step fails.
//!
//! The launcher (`queenright-launch`) is a single-threaded process of its own. It holds no secret, runs no agent
//! code in its own process, and ends everything it started when the supervisor goes away.
//! The supervisor's process uses only [`restrict`] and [`harden`] of this crate, and a cell
//! only [`readable`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bwrap;
pub mod caps;
pub mod cgroup;
pub mod child;
pub mod domain;
pub mod egress;
mod groups;
pub mod harden;
pub mod init;
pub mod inside;
pub mod launcher;
pub mod layout;
pub mod memory;
pub mod message;
mod overlay;
pub mod plan;
pub mod probe;
pub mod readable;
pub mod restrict;
pub mod rlimits;
pub mod root;
pub mod seccomp;
pub mod service;
pub mod spawn;
mod stale;
pub mod step;
pub mod strict;
#[allow(unsafe_code)]
// the one module of the workspace that calls the kernel without a safe wrapper
pub mod sys;
pub mod syscalls;
pub mod tier;
