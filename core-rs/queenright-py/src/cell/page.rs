//! The page a cell shares with its supervisor, beside the count of steps that its own watchdog reads.
use std::sync::OnceLock;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use queenright_core::agent_id::AgentId;
use queenright_core::error::Error;
use queenright_core::steps::{Run, Steps};

use crate::error::Mapped;

/// Layout of the page's used part (`queenright.wire.page`): 32 bytes agent, u64 turn, u64 number of the step in
/// progress, 0 between runs. Little-endian, as words.
const WORDS: usize = 6;

#[derive(Default)]
pub struct Progress {
    page: OnceLock<PyBuffer<u64>>,
    steps: Steps,
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
        self.write(page.py(), [0; WORDS]);
        Ok(())
    }

    /// The right to step agents; None while somebody has it.
    pub fn enter(&self) -> Option<Run<'_>> {
        self.steps.enter()
    }

    /// A step begins: written before any code of the agent's runs.
    pub fn begin(&self, py: Python<'_>, run: &Run<'_>, agent: &AgentId, turn: u64) {
        let step = run.begin();
        if self.page.get().is_none() {
            return;
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(agent.0.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        words[4] = turn.to_le();
        words[5] = step.to_le();
        self.write(py, words);
    }

    /// Nobody runs. Between two steps of one run nothing but the core does, so it is enough to say so after the last.
    pub fn leave(&self, py: Python<'_>, run: Run<'_>) {
        drop(run);
        self.write(py, [0; WORDS]);
    }

    fn write(&self, py: Python<'_>, words: [u64; WORDS]) {
        if let Some(page) = self.page.get() {
            // It was checked to be writable and of this length; a page that fails later must not end a turn.
            drop(page.copy_from_slice(py, &words));
        }
    }

    /// The number of the step in progress, 0 between runs.
    pub fn now(&self) -> u64 {
        self.steps.now()
    }
}
