//! The atomics of `steps`. `queenright-models` compiles that file over loom's, which try every order a memory may show.
pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
