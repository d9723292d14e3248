//! The scheduler's Python face: it calls handlers and steps their coroutines; who runs next is the core's decision.
//!
//! A volatile message goes from its sender's `ctx.send` (`sending`) to its receiver's handler (`stepping`) without a frame,
//! an encoding or Python of ours in between. A turn of the supervisor's is an object with `run()`.
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use queenright_core::agent_id::AgentId;
use queenright_core::error::{Error, Kind};
use queenright_core::mailbox::{Bounds, Lane, Letter};
use queenright_core::reach::Talk;
use queenright_core::scheduler::{Key, Limits, Rejected, Scheduler as Core};
use queenright_sandbox::readable::Readable;

use crate::cell::coroutine::Answer;
use crate::cell::face::Behaviour;
use crate::cell::page::Progress;
use crate::cell::population::{Parcel, Population};
use crate::cell::sealer::Sealer;
use crate::cell::sending::full;
use crate::error::Mapped;

/// See `queenright.core.cell.Scheduler`.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Scheduler {
    inner: Mutex<Population>,
    pub(super) progress: Progress,
    pub(super) link: OnceLock<Readable>,
    pub(super) wake: Py<PyAny>,
    pub(super) failed: Py<PyAny>,
    pub(super) reference: Py<PyAny>,
}

impl Scheduler {
    /// The lock is held for moments and never while Python code can run.
    pub(super) fn lock(&self) -> MutexGuard<'_, Population> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, agent: &[u8]) -> PyResult<Key> {
        let agent = AgentId::from_slice(agent).mapped()?;
        // The lock ends with this statement: making an exception is Python code.
        let key = self.lock().core.key(&agent);
        key.mapped()
    }

    pub fn key_of(&self, agent: &[u8]) -> PyResult<Key> {
        self.find(agent)
    }

    pub fn is_reference(&self, agent: &Bound<'_, PyAny>) -> bool {
        agent.get_type().is(self.reference.bind(agent.py()))
    }

    fn answer(&self, agent: &[u8], answer: Answer) -> PyResult<()> {
        let key = self.find(agent)?;
        let (resumed, replaced) = {
            let mut inner = self.lock();
            let resumed = inner.core.resume(key);
            let replaced = if resumed.is_ok() {
                inner
                    .awake_mut(key)
                    .and_then(|awake| awake.answer.replace(answer))
            } else {
                Some(answer)
            };
            (resumed, replaced)
        };
        drop(replaced);
        resumed.mapped()
    }
}

#[pymethods]
impl Scheduler {
    #[new]
    #[pyo3(signature = (wake, failed, reference, *, quantum=8, mailbox_messages=1000, mailbox_bytes=8_388_608, reserved=64, total_bytes=268_435_456))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        wake: Py<PyAny>,
        failed: Py<PyAny>,
        reference: Py<PyAny>,
        quantum: u32,
        mailbox_messages: usize,
        mailbox_bytes: usize,
        reserved: usize,
        total_bytes: usize,
    ) -> PyResult<Self> {
        let mailbox = Bounds {
            messages: mailbox_messages,
            bytes: mailbox_bytes,
            reserved,
        };
        let limits = Limits {
            quantum,
            mailbox,
            total_bytes,
            ..Limits::default()
        };
        Ok(Self {
            inner: Mutex::new(Population::new(Core::new(limits).mapped()?)),
            progress: Progress::default(),
            link: OnceLock::new(),
            wake,
            failed,
            reference,
        })
    }

    /// `handlers`: (message class, function of object, context and message). The number `add` takes.
    fn behaviour(&self, handlers: Vec<(Py<PyAny>, Py<PyAny>)>) -> PyResult<u16> {
        let behaviour = Behaviour::new(handlers);
        let number = {
            let mut inner = self.lock();
            let number = u16::try_from(inner.behaviours.len());
            if number.is_ok() {
                inner.behaviours.push(behaviour);
            }
            number
        };
        number
            .map_err(|_| Error::conflict("a cell has at most 65,536 behaviours"))
            .mapped()
    }

    /// From now on exactly these pairs of behaviours, sender first, may talk without being kin.
    fn talk(&self, pairs: Vec<(u16, u16)>) {
        let mut talk = Talk::default();
        for (sender, target) in pairs {
            talk.allow(sender, target);
        }
        self.lock().talk = talk;
    }

    #[pyo3(signature = (agent, behaviour, record, *, parent=None, children=Vec::new()))]
    fn add(
        &self,
        agent: &[u8],
        behaviour: u16,
        record: &[u8],
        parent: Option<&[u8]>,
        children: Vec<[u8; 32]>,
    ) -> PyResult<()> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let parent = parent.map(AgentId::from_slice).transpose().mapped()?;
        let added = self.lock().add(agent, behaviour, record, parent, &children);
        // What had the place before is let go outside of the lock.
        added.map(drop).mapped()
    }

    fn remove(&self, py: Python<'_>, agent: &[u8]) -> PyResult<Vec<Py<PyAny>>> {
        let id = AgentId::from_slice(agent).mapped()?;
        let key = self.find(agent)?;
        let (letters, face) = {
            let mut inner = self.lock();
            let face = inner.faces.get_mut(key.place()).and_then(Option::take);
            (inner.core.remove(key), face)
        };
        let left = letters
            .mapped()?
            .into_iter()
            .map(|letter| letter.message.message)
            .collect();
        if let Some(awake) = face.and_then(|face| face.awake) {
            self.close(py, &id, awake.turn, awake.coroutine)?;
        }
        Ok(left)
    }

    /// What the agent was added or put to sleep with.
    fn record<'py>(&self, py: Python<'py>, agent: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let key = self.find(agent)?;
        let inner = self.lock();
        let record = inner.face(key).map_or(&[][..], |face| &face.record);
        Ok(PyBytes::new(py, record))
    }

    /// The awake agent's resident, or None while it sleeps.
    fn resident(&self, py: Python<'_>, agent: &[u8]) -> PyResult<Option<Py<PyAny>>> {
        let key = self.find(agent)?;
        let mut inner = self.lock();
        Ok(inner
            .awake_mut(key)
            .map(|awake| awake.resident.clone_ref(py)))
    }

    /// As `resident`, waking it.
    fn awaken(&self, py: Python<'_>, agent: &[u8]) -> PyResult<Py<PyAny>> {
        let key = self.find(agent)?;
        self.wake(py, key)?;
        let resident = self.resident(py, agent)?;
        resident
            .ok_or_else(|| Error::unknown("that agent has left this cell"))
            .mapped()
    }

    /// What the awake agent's volatile mail to other cells is to collect in, as long as it is awake.
    fn seal_with(&self, agent: &[u8], sealer: Py<Sealer>) -> PyResult<()> {
        let key = self.find(agent)?;
        let mut inner = self.lock();
        let old = inner
            .awake_mut(key)
            .and_then(|awake| awake.sealer.replace(sealer));
        drop(inner);
        drop(old);
        Ok(())
    }

    /// Throw the behaviour's object away; the next turn makes it anew from the last accepted state.
    fn forget(&self, agent: &[u8]) -> PyResult<()> {
        let key = self.find(agent)?;
        let opened = self
            .lock()
            .awake_mut(key)
            .and_then(|awake| awake.opened.take());
        drop(opened);
        Ok(())
    }

    /// Up to `most` agents that are awake, idle, and ran nothing since `before_ms`.
    fn resting<'py>(
        &self,
        py: Python<'py>,
        before_ms: u64,
        most: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut found = Vec::new();
        {
            let mut inner = self.lock();
            for _ in 0..most.min(inner.awake.len()) {
                let Some(key) = inner.awake.pop_front() else {
                    break;
                };
                let idle = inner.core.is_idle(key);
                let Some(awake) = inner.awake_mut(key) else {
                    continue;
                };
                if idle && awake.used_ms < before_ms && awake.coroutine.is_none() {
                    found.extend(inner.core.id(key).map(|id| id.0));
                }
                inner.awake.push_back(key);
            }
        }
        PyList::new(py, found.iter().map(|id| PyBytes::new(py, id)))
    }

    /// Let go of an idle agent's objects; `record` makes them again. Refuses (Conflict) one that is not idle.
    fn sleep(&self, agent: &[u8], record: &[u8]) -> PyResult<()> {
        let key = self.find(agent)?;
        let mut inner = self.lock();
        if !inner.core.is_idle(key) || inner.current == Some(key) {
            drop(inner);
            return Err(Error::conflict(
                "an agent with something to do cannot sleep",
            ))
            .mapped();
        }
        let now = inner.now_ms;
        let gone = inner.face_mut(key).and_then(|face| {
            if face.heard.as_mut().is_some_and(|heard| heard.forget(now)) {
                face.heard = None;
            }
            face.record = record.into();
            face.awake.take()
        });
        drop(inner);
        drop(gone);
        Ok(())
    }

    /// How many agents may be awake: those that slept or left since they were last looked at are counted too.
    fn awake(&self) -> usize {
        self.lock().awake.len()
    }

    /// From the agent whose turn runs. False: not here, or not known to it here, so that the supervisor decides.
    fn send(
        &self,
        py: Python<'_>,
        to: &[u8],
        message: &Bound<'_, PyAny>,
        size: usize,
    ) -> PyResult<bool> {
        let to = AgentId::from_slice(to).mapped()?;
        let current = self.lock().current;
        let current = current
            .ok_or_else(|| Error::conflict("nobody's turn runs, so nobody can send"))
            .mapped()?;
        self.send_here(py, current, &to, message, size)
    }

    #[pyo3(signature = (to, message, size, *, sender=None, reserved=true, turn=0))]
    #[allow(clippy::too_many_arguments)]
    fn deliver(
        &self,
        py: Python<'_>,
        to: &[u8],
        message: Py<PyAny>,
        size: usize,
        sender: Option<&[u8]>,
        reserved: bool,
        turn: u64,
    ) -> PyResult<()> {
        let to = AgentId::from_slice(to).mapped()?;
        let sender = sender
            .map_or(Ok(AgentId::RUNTIME), AgentId::from_slice)
            .mapped()?;
        let lane = if reserved {
            Lane::Reserved
        } else {
            Lane::Ordinary
        };
        let key = self.find(&to.0)?;
        let pushed = {
            let mut inner = self.lock();
            let from = inner.core.find(&sender);
            if let Some(sender) = from {
                inner.note(sender, key);
            }
            let message = Parcel {
                message,
                turn,
                from,
            };
            inner.core.push(
                key,
                Letter {
                    sender,
                    size,
                    message,
                },
                lane,
            )
        };
        match pushed {
            Ok(()) => Ok(()),
            Err(Rejected::Full(parcel) | Rejected::Unknown(parcel)) => {
                Err(full(py, to, parcel.message))
            }
        }
    }

    /// `now_ms`: of the clock that `resting` and the hour of answering are read against.
    #[pyo3(signature = (most=1000, now_ms=0))]
    fn run(&self, py: Python<'_>, most: usize, now_ms: u64) -> PyResult<usize> {
        let Some(run) = self.progress.enter() else {
            return Err(
                Error::new(Kind::Conflict, "the scheduler runs already").hint("await instead")
            )
            .mapped();
        };
        self.lock().now_ms = now_ms;
        let outcome = self.steps(py, &run, most);
        self.progress.leave(py, run);
        outcome
    }

    #[pyo3(signature = (agent, value=None))]
    fn resume(&self, py: Python<'_>, agent: &[u8], value: Option<Py<PyAny>>) -> PyResult<()> {
        self.answer(agent, Answer::Value(value.unwrap_or_else(|| py.None())))
    }

    fn throw(&self, agent: &[u8], error: Py<PyAny>) -> PyResult<()> {
        self.answer(agent, Answer::Raise(error))
    }

    fn abandon(&self, py: Python<'_>, agent: &[u8]) -> PyResult<()> {
        let id = AgentId::from_slice(agent).mapped()?;
        let key = self.find(agent)?;
        let (abandoned, turn, coroutine) = {
            let mut inner = self.lock();
            let abandoned = inner.core.abandon(key);
            let (turn, coroutine) = inner
                .awake_mut(key)
                .map_or((0, None), |awake| (awake.turn, awake.coroutine.take()));
            (abandoned, turn, coroutine)
        };
        abandoned.mapped()?;
        self.close(py, &id, turn, coroutine)
    }

    fn is_waiting(&self, agent: &[u8]) -> PyResult<bool> {
        let key = self.find(agent)?;
        Ok(self.lock().core.is_waiting(key))
    }

    fn has_ready(&self) -> bool {
        self.lock().core.has_ready()
    }

    fn counters(&self, agent: &[u8]) -> PyResult<(u64, u64, usize, usize)> {
        let key = self.find(agent)?;
        let counters = self.lock().core.counters(key).unwrap_or_default();
        Ok((
            counters.handled,
            counters.refused,
            counters.depth,
            counters.bytes,
        ))
    }

    /// The number of the step in progress, 0 between steps. Safe to call from a signal handler.
    fn progress(&self) -> u64 {
        self.progress.now()
    }

    fn current<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let inner = self.lock();
        let id = inner.core.id(inner.current?)?;
        Some(PyBytes::new(py, &id.0))
    }

    /// End a run early when something can be read from that descriptor. Raises OSError for one that is not open, and
    /// Conflict for a second one.
    fn heed(&self, descriptor: i32) -> PyResult<()> {
        self.link
            .set(Readable::of(descriptor)?)
            .map_err(|_| Error::conflict("the link is heeded already"))
            .mapped()
    }

    fn watch(&self, page: &Bound<'_, PyAny>) -> PyResult<()> {
        self.progress.share(page)
    }

    fn __len__(&self) -> usize {
        self.lock().core.len()
    }

    fn __contains__(&self, agent: &[u8]) -> bool {
        AgentId::from_slice(agent).is_ok_and(|agent| self.lock().core.find(&agent).is_some())
    }
}
