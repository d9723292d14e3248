//! The page a cell shares with its supervisor, and the count of steps that its own watchdog reads.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use queenright_core::agent_id::AgentId;
use queenright_core::error::Error;

use crate::error::Mapped;

/// Layout of the page's used part (`queenright.wire.page`): 32 bytes agent, u64 turn, u64 number of the step in
/// progress, 0 between steps. Little-endian, as words.
const WORDS: usize = 6;

/// One writer, the thread that steps agents; read by a signal handler of the same thread and, through the page, by the
/// supervisor. Nothing is ordered by these counters, so relaxed is enough.
#[derive(Default)]
pub struct Progress {
    page: OnceLock<PyBuffer<u64>>,
    steps: AtomicU64,
    now: AtomicU64,
}

impl Progress {
    /// Share it from now on. Refuses (Malformed) what is not six writable words, and (Conflict) a second page.
    pub fn share(&self, page: &Bound<'_, PyAny>) -> PyResult<()> {
        let buffer = PyBuffer::<u64>::get(page)?;
        if buffer.readonly() || buffer.item_count() != WORDS || !buffer.is_c_contiguous() {
            let wants = format!("the used part of a shared page is {WORDS} writable words");
            return Err(Error::malformed(wants)).mapped();
        }
        self.page
            .set(buffer)
            .map_err(|_| Error::conflict("the page is shared already"))
            .mapped()?;
        self.end(page.py());
        Ok(())
    }

    /// A step begins: written before any code of the agent's runs.
    pub fn begin(&self, py: Python<'_>, agent: &AgentId, turn: u64) {
        let step = self.steps.load(Ordering::Relaxed).wrapping_add(1).max(1);
        self.steps.store(step, Ordering::Relaxed);
        self.now.store(step, Ordering::Relaxed);
        let Some(page) = self.page.get() else { return };
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(agent.0.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        words[4] = turn.to_le();
        words[5] = step.to_le();
        // It was checked to be writable and of this length; a page that fails later must not end a turn.
        drop(page.copy_from_slice(py, &words));
    }

    /// Nobody runs. Between two steps of one run nothing but the core does, so it is enough to say so after the last.
    pub fn end(&self, py: Python<'_>) {
        self.now.store(0, Ordering::Relaxed);
        if let Some(page) = self.page.get() {
            drop(page.copy_from_slice(py, &[0; WORDS]));
        }
    }

    /// The number of the step in progress, 0 between steps.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}
