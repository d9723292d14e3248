//! A batch that was opened, on its way into the mailboxes: one hold of the scheduler's lock for all of it.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use queenright_core::agent_id::AgentId;
use queenright_core::mailbox::{Lane, Letter};
use queenright_core::scheduler::Rejected;

use crate::cell::population::Parcel;
use crate::cell::scheduler::Scheduler;

/// One message. `pair` and `kind` are positions in its batch's tables, `weight` bytes of ciphertext.
pub struct Item {
    pub pair: usize,
    pub kind: usize,
    /// The message and what it counts in a mailbox, or the exception that refused it.
    pub message: Result<(Py<PyAny>, usize), Py<PyAny>>,
    pub weight: usize,
}

/// The messages of one batch in their order, until they are delivered.
#[pyclass(module = "queenright._core.cell")]
pub struct Arrival {
    pub(super) sender: AgentId,
    pub(super) life: u64,
    pub(super) receivers: Vec<AgentId>,
    pub(super) kinds: Vec<String>,
    pub(super) items: Vec<Item>,
}

#[pymethods]
impl Arrival {
    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.sender.0)
    }

    #[getter]
    fn life(&self) -> u64 {
        self.life
    }

    /// (receiver, type, message or the exception that refused it, bytes of ciphertext) of what was not delivered yet.
    #[getter]
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.items.iter().map(|item| self.tuple(py, item)).collect()
    }

    /// Put into mailboxes what has room there. What is taken, as (receiver, messages, bytes of ciphertext), and the rest
    /// as `messages` has it: mail for who does not live here, what was refused, and what a full mailbox or a receiver of
    /// `waiting` holds back, with everything behind it for the same receiver.
    #[allow(clippy::type_complexity)]
    fn deliver<'py>(
        &mut self,
        py: Python<'py>,
        scheduler: &Bound<'py, Scheduler>,
        waiting: &Bound<'py, PyDict>,
    ) -> PyResult<(
        Vec<(Bound<'py, PyBytes>, u64, u64)>,
        Vec<Bound<'py, PyTuple>>,
    )> {
        let mut held = self
            .receivers
            .iter()
            .map(|receiver| waiting.contains(PyBytes::new(py, &receiver.0)))
            .collect::<PyResult<Vec<_>>>()?;
        let mut taken = vec![(0, 0); self.receivers.len()];
        let mut left = Vec::new();
        {
            let mut inner = scheduler.get().lock();
            let from = inner.core.find(&self.sender);
            let keys: Vec<_> = self
                .receivers
                .iter()
                .map(|receiver| inner.core.find(receiver))
                .collect();
            for mut item in self.items.drain(..) {
                let pair = item.pair;
                let (key, message, size) = match (keys[pair], item.message) {
                    (Some(key), Ok((message, size))) if !held[pair] => (key, message, size),
                    (_, message) => {
                        item.message = message;
                        left.push(item);
                        continue;
                    }
                };
                let parcel = Parcel {
                    message,
                    turn: 0,
                    from,
                };
                let letter = Letter {
                    sender: self.sender,
                    size,
                    message: parcel,
                };
                match inner.core.push(key, letter, Lane::Ordinary) {
                    Ok(()) => {
                        taken[pair].0 += 1;
                        taken[pair].1 += item.weight as u64;
                        if taken[pair].0 == 1
                            && let Some(sender) = from
                        {
                            inner.note(sender, key);
                        }
                    }
                    Err(Rejected::Full(parcel) | Rejected::Unknown(parcel)) => {
                        held[pair] = true;
                        item.message = Ok((parcel.message, size));
                        left.push(item);
                    }
                }
            }
        }
        let taken = self
            .receivers
            .iter()
            .zip(taken)
            .filter(|(_, (messages, _))| *messages > 0)
            .map(|(receiver, (messages, bytes))| (PyBytes::new(py, &receiver.0), messages, bytes))
            .collect();
        let left = left
            .iter()
            .map(|item| self.tuple(py, item))
            .collect::<PyResult<_>>()?;
        Ok((taken, left))
    }
}

impl Arrival {
    fn tuple<'py>(&self, py: Python<'py>, item: &Item) -> PyResult<Bound<'py, PyTuple>> {
        let message = match &item.message {
            Ok((message, _)) => message,
            Err(error) => error,
        };
        (
            PyBytes::new(py, &self.receivers[item.pair].0),
            &self.kinds[item.kind],
            message,
            item.weight,
        )
            .into_pyobject(py)
    }
}
