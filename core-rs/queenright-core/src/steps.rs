//! Who may step agents now, and which step is in progress: what is shared without a lock.
//!
//! One runner at a time, from any thread. Anybody may read the number of the step in progress, from a signal handler
//! too: it is one word, so no reader can put the number of one step beside the beginning of another.
use crate::atomic::{AtomicBool, AtomicU64, Ordering};

pub struct Steps {
    running: AtomicBool,
    /// Written by the runner only.
    count: AtomicU64,
    /// The step in progress, 0 between steps.
    now: AtomicU64,
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

impl Steps {
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: AtomicBool::new(false),
            count: AtomicU64::new(0),
            now: AtomicU64::new(0),
        }
    }

    /// The right to step agents, until it is dropped; None while somebody else has it.
    ///
    /// Acquire: what the last runner wrote, its count of steps among it, is seen by this one.
    pub fn enter(&self) -> Option<Run<'_>> {
        // Who comes in vain writes nothing, so it cannot undo what the runner gives back.
        self.running
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Run { steps: self })
    }

    /// Relaxed: a watcher compares numbers and reads nothing else by them.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

/// See `Steps::enter`.
pub struct Run<'a> {
    steps: &'a Steps,
}

impl Run<'_> {
    /// A step begins; its number, never 0 and never one that was used.
    ///
    /// The count has one writer, this runner, so it needs no read-modify-write.
    pub fn begin(&self) -> u64 {
        let step = self
            .steps
            .count
            .load(Ordering::Relaxed)
            .wrapping_add(1)
            .max(1);
        self.steps.count.store(step, Ordering::Relaxed);
        self.steps.now.store(step, Ordering::Relaxed);
        step
    }

    /// No step is in progress.
    pub fn end(&self) {
        self.steps.now.store(0, Ordering::Relaxed);
    }
}

impl Drop for Run<'_> {
    /// Also when a step panics: a right that is never given back would stop every agent of the cell.
    fn drop(&mut self) {
        self.end();
        // Release: pairs with the Acquire of the next runner.
        self.steps.running.store(false, Ordering::Release);
    }
}
