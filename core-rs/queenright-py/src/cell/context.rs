//! The part of `ctx` that a volatile turn uses for every message: sending, and who sent.
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};
use queenright_core::agent_id::AgentId;
use queenright_core::scheduler::Key;

use crate::cell::message::MessageBase;
use crate::cell::scheduler::Scheduler;
use crate::error::Malformed;

/// What `ctx.send` returns: nothing is left to wait for, so awaiting it costs nothing.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Sent;

#[pymethods]
impl Sent {
    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyTuple::empty(py).try_iter()?.into_any())
    }
}

fn sent(py: Python<'_>) -> PyResult<Py<Sent>> {
    static SENT: PyOnceLock<Py<Sent>> = PyOnceLock::new();
    SENT.get_or_try_init(py, || Py::new(py, Sent))
        .map(|sent| sent.clone_ref(py))
}

/// See `queenright.agent.context.Context`. `turn` answers what is not answered here; `scheduler` and `agent` are given
/// for the context of an agent's volatile turns.
#[pyclass(subclass, frozen, module = "queenright._core.cell")]
pub struct ContextBase {
    turn: Py<PyAny>,
    here: Option<(Py<Scheduler>, Key)>,
}

#[pymethods]
impl ContextBase {
    #[new]
    #[pyo3(signature = (turn, scheduler=None, agent=None))]
    fn new(
        turn: Py<PyAny>,
        scheduler: Option<Py<Scheduler>>,
        agent: Option<&[u8]>,
    ) -> PyResult<Self> {
        let here = match (scheduler, agent) {
            (Some(scheduler), Some(agent)) => {
                let key = scheduler.get().key_of(agent)?;
                Some((scheduler, key))
            }
            (None, None) => None,
            _ => {
                return Err(Malformed::new_err(
                    "a scheduler and an agent of it go together",
                ));
            }
        };
        Ok(Self { turn, here })
    }

    #[getter]
    fn _turn(&self, py: Python<'_>) -> Py<PyAny> {
        self.turn.clone_ref(py)
    }

    /// Who sent the message, by the core's word; None for the runtime.
    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.here {
            Some((scheduler, key)) => scheduler.get().sender_of(py, *key),
            None => self.turn.bind(py).getattr(pyo3::intern!(py, "sender")),
        }
    }

    /// Send and go on. A durable message leaves with the turn's next record; one that cannot be delivered comes back
    /// as `Undelivered`. A volatile one goes at once; raises MailboxFull with the message if its target here is full.
    fn send(
        slf: &Bound<'_, Self>,
        agent: &Bound<'_, PyAny>,
        message: &Bound<'_, PyAny>,
    ) -> PyResult<Py<Sent>> {
        let py = slf.py();
        let known = message.cast::<MessageBase>().map_err(|_| {
            let what = message.get_type().name();
            Malformed::new_err(format!(
                "only messages can be sent, not {}",
                what.map_or_else(|_| "this".into(), |name| name.to_string())
            ))
        })?;
        if let Some((scheduler, key)) = &slf.get().here
            && known.get().is_volatile()
            && let Some(to) = named(py, scheduler.get(), agent)
            && (scheduler
                .get()
                .send_here(py, *key, &to, message, known.get().size())?
                || scheduler.get().send_away(py, *key, &to, known)?)
        {
            return sent(py);
        }
        slf.call_method1(pyo3::intern!(py, "_send"), (agent, message))?;
        sent(py)
    }
}

/// The id in a reference or in plain bytes; whatever else it is, the general way says what is wrong with it.
fn named(py: Python<'_>, scheduler: &Scheduler, agent: &Bound<'_, PyAny>) -> Option<AgentId> {
    if let Ok(bytes) = agent.cast_exact::<PyBytes>() {
        return AgentId::from_slice(bytes.as_bytes()).ok();
    }
    if !scheduler.is_reference(agent) {
        return None;
    }
    let id = agent.cast::<MessageBase>().ok()?.get().field(0)?.bind(py);
    AgentId::from_slice(id.cast_exact::<PyBytes>().ok()?.as_bytes()).ok()
}
