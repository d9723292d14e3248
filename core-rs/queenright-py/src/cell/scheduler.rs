//! The scheduler's Python face: it calls handlers and steps their coroutines; who runs next is the core's decision.
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator};
use queenright_core::agent_id::AgentId;
use queenright_core::error::{Error, Kind};
use queenright_core::mailbox::{Bounds, Lane, Letter};
use queenright_core::scheduler::{Limits, Next, Rejected, Scheduler as Core};

use crate::cell::coroutine::{Answer, Ended, Entry, enter};
use crate::error::{MailboxFull, Mapped};

struct Parcel {
    message: Py<PyAny>,
    turn: u64,
}

struct Slot {
    handler: Py<PyAny>,
    failed: Py<PyAny>,
    turn: u64,
    coroutine: Option<Py<PyIterator>>,
    answer: Option<Answer>,
}

struct Inner {
    core: Core<Parcel>,
    slots: HashMap<AgentId, Slot>,
    current: Option<AgentId>,
}

/// Layout of the shared page (`queenright.wire.page`), little-endian: 32 bytes agent, u64 turn, u64 the clock's reading
/// when the step began, 0 between steps.
const PAGE_USED: usize = 48;

struct Page {
    buffer: PyBuffer<u8>,
    clock: Py<PyAny>,
}

/// See `queenright.core.cell.Scheduler`.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Scheduler {
    inner: Mutex<Inner>,
    page: Mutex<Option<Page>>,
    /// Counts steps; read by a signal handler, so it must not need the lock.
    progress: AtomicU64,
    stepping: AtomicBool,
    running: AtomicBool,
}

impl Scheduler {
    /// The lock is held for moments and never while Python code can run.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, py: Python<'_>, agent: Option<(AgentId, u64)>) {
        if agent.is_some() {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        self.stepping.store(agent.is_some(), Ordering::Relaxed);
        let page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(page) = page.as_ref() else { return };
        let mut image = [0; PAGE_USED];
        if let Some((agent, turn)) = agent {
            let since = page
                .clock
                .bind(py)
                .call0()
                .and_then(|now| now.extract::<u64>())
                .unwrap_or(0);
            image[..32].copy_from_slice(&agent.0);
            image[32..40].copy_from_slice(&turn.to_le_bytes());
            image[40..].copy_from_slice(&since.to_le_bytes());
        }
        // It was checked to be writable and of this length; a page that fails later must not end a turn.
        drop(page.buffer.copy_from_slice(py, &image));
    }

    fn step(&self, py: Python<'_>, next: Next<Parcel>) -> PyResult<()> {
        let (agent, turn, ended, failed) = {
            let (agent, handler, failed, turn, entry) = match next {
                Next::Message(agent, letter) => {
                    let mut inner = self.lock();
                    let Some(slot) = inner.slots.get_mut(&agent) else {
                        return Ok(());
                    };
                    slot.turn = letter.message.turn;
                    let (handler, failed) = (slot.handler.clone_ref(py), slot.failed.clone_ref(py));
                    inner.current = Some(agent);
                    let entry = Entry::Start(letter.message.message.into_bound(py), letter.sender);
                    (agent, handler, failed, letter.message.turn, entry)
                }
                Next::Resume(agent) => {
                    let mut inner = self.lock();
                    let Some(slot) = inner.slots.get_mut(&agent) else {
                        return Ok(());
                    };
                    let (Some(coroutine), Some(answer)) =
                        (slot.coroutine.take(), slot.answer.take())
                    else {
                        return Err(Error::conflict(format!(
                            "{agent} was resumed without an answer"
                        )))
                        .mapped();
                    };
                    let (handler, failed, turn) = (
                        slot.handler.clone_ref(py),
                        slot.failed.clone_ref(py),
                        slot.turn,
                    );
                    inner.current = Some(agent);
                    (
                        agent,
                        handler,
                        failed,
                        turn,
                        Entry::Go(coroutine.into_bound(py), answer),
                    )
                }
            };
            self.mark(py, Some((agent, turn)));
            let ended = enter(py, &handler, entry);
            self.mark(py, None);
            (agent, turn, ended, failed)
        };
        let mut inner = self.lock();
        inner.current = None;
        match ended {
            // The agent may have been removed by its own handler: then there is nothing to write down.
            Ended::Done => drop(inner.core.done(&agent)),
            Ended::Waits(coroutine) => {
                let mut left = Some(coroutine.unbind());
                if inner.core.wait(&agent).is_ok()
                    && let Some(slot) = inner.slots.get_mut(&agent)
                {
                    slot.coroutine = left.take();
                }
                drop(inner);
                self.close(py, agent, turn, left)?;
            }
            Ended::Failed(error) => {
                drop(inner.core.done(&agent));
                drop(inner);
                failed.bind(py).call1((error.into_value(py),))?;
            }
        }
        Ok(())
    }

    fn queue(
        &self,
        to: &[u8],
        parcel: Parcel,
        size: usize,
        sender: AgentId,
        lane: Lane,
    ) -> PyResult<()> {
        let to = AgentId::from_slice(to).mapped()?;
        let pushed = self.lock().core.push(
            &to,
            Letter {
                sender,
                size,
                message: parcel,
            },
            lane,
        );
        match pushed {
            Ok(()) => Ok(()),
            Err(Rejected::Full(parcel)) => Err(Python::attach(|py| full(py, to, parcel.message))),
            Err(Rejected::Unknown(_)) => {
                Err(Error::unknown(format!("{to} does not live here"))).mapped()
            }
        }
    }

    fn answer(&self, agent: &[u8], answer: Answer) -> PyResult<()> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let mut inner = self.lock();
        inner.core.resume(&agent).mapped()?;
        if let Some(slot) = inner.slots.get_mut(&agent) {
            slot.answer = Some(answer);
        }
        Ok(())
    }

    /// Close a coroutine whose turn will not go on. Its `finally` blocks run, so it counts as a step.
    fn close(
        &self,
        py: Python<'_>,
        agent: AgentId,
        slot_turn: u64,
        coroutine: Option<Py<PyIterator>>,
    ) -> PyResult<()> {
        let Some(coroutine) = coroutine else {
            return Ok(());
        };
        self.mark(py, Some((agent, slot_turn)));
        let closed = coroutine.bind(py).call_method0(intern!(py, "close"));
        self.mark(py, None);
        closed.map(drop)
    }
}

fn full(py: Python<'_>, to: AgentId, message: Py<PyAny>) -> PyErr {
    let facts = PyDict::new(py);
    let built = facts
        .set_item("undelivered", message)
        .and_then(|()| facts.set_item("hint", "send it again later, or send less"))
        .and_then(|()| {
            py.get_type::<MailboxFull>()
                .call((format!("the mailbox of {to} is full"),), Some(&facts))
        });
    built.map_or_else(|broken| broken, PyErr::from_value)
}

#[pymethods]
impl Scheduler {
    #[new]
    #[pyo3(signature = (quantum=32, mailbox_messages=1000, mailbox_bytes=8_388_608, reserved=64, total_bytes=268_435_456))]
    fn new(
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
        let core = Core::new(Limits {
            quantum,
            mailbox,
            total_bytes,
            ..Limits::default()
        })
        .mapped()?;
        Ok(Self {
            inner: Mutex::new(Inner {
                core,
                slots: HashMap::new(),
                current: None,
            }),
            page: Mutex::new(None),
            progress: AtomicU64::new(0),
            stepping: AtomicBool::new(false),
            running: AtomicBool::new(false),
        })
    }

    fn add(&self, agent: &[u8], handler: Py<PyAny>, failed: Py<PyAny>) -> PyResult<()> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let mut inner = self.lock();
        inner.core.add(agent).mapped()?;
        inner.slots.insert(
            agent,
            Slot {
                handler,
                failed,
                turn: 0,
                coroutine: None,
                answer: None,
            },
        );
        Ok(())
    }

    fn remove(&self, py: Python<'_>, agent: &[u8]) -> PyResult<Vec<Py<PyAny>>> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let (letters, slot) = {
            let mut inner = self.lock();
            let letters = inner.core.remove(&agent).mapped()?;
            (letters, inner.slots.remove(&agent))
        };
        let left = letters
            .into_iter()
            .map(|letter| letter.message.message)
            .collect();
        if let Some(slot) = slot {
            self.close(py, agent, slot.turn, slot.coroutine)?;
        }
        Ok(left)
    }

    fn send(&self, to: &[u8], message: Py<PyAny>, size: usize) -> PyResult<()> {
        let sender = self.lock().current;
        let sender = sender
            .ok_or_else(|| Error::conflict("nobody's turn runs, so nobody can send"))
            .mapped()?;
        self.queue(
            to,
            Parcel { message, turn: 0 },
            size,
            sender,
            Lane::Ordinary,
        )
    }

    #[pyo3(signature = (to, message, size, *, sender=None, reserved=true, turn=0))]
    fn deliver(
        &self,
        to: &[u8],
        message: Py<PyAny>,
        size: usize,
        sender: Option<&[u8]>,
        reserved: bool,
        turn: u64,
    ) -> PyResult<()> {
        let sender = sender
            .map_or(Ok(AgentId::RUNTIME), AgentId::from_slice)
            .mapped()?;
        let lane = if reserved {
            Lane::Reserved
        } else {
            Lane::Ordinary
        };
        self.queue(to, Parcel { message, turn }, size, sender, lane)
    }

    #[pyo3(signature = (most=1000))]
    fn run(&self, py: Python<'_>, most: usize) -> PyResult<usize> {
        if self.running.swap(true, Ordering::Acquire) {
            return Err(
                Error::new(Kind::Conflict, "the scheduler runs already").hint("await instead")
            )
            .mapped();
        }
        let mut steps = 0;
        let mut outcome = Ok(());
        while steps < most && outcome.is_ok() {
            let next = self.lock().core.take();
            let Some(next) = next else { break };
            outcome = self.step(py, next);
            steps += 1;
        }
        self.running.store(false, Ordering::Release);
        outcome.map(|()| steps)
    }

    #[pyo3(signature = (agent, value=None))]
    fn resume(&self, py: Python<'_>, agent: &[u8], value: Option<Py<PyAny>>) -> PyResult<()> {
        self.answer(agent, Answer::Value(value.unwrap_or_else(|| py.None())))
    }

    fn throw(&self, agent: &[u8], error: Py<PyAny>) -> PyResult<()> {
        self.answer(agent, Answer::Raise(error))
    }

    fn abandon(&self, py: Python<'_>, agent: &[u8]) -> PyResult<()> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let (turn, coroutine) = {
            let mut inner = self.lock();
            inner.core.abandon(&agent).mapped()?;
            let slot = inner.slots.get_mut(&agent);
            slot.map_or((0, None), |slot| (slot.turn, slot.coroutine.take()))
        };
        self.close(py, agent, turn, coroutine)
    }

    fn is_waiting(&self, agent: &[u8]) -> PyResult<bool> {
        let agent = AgentId::from_slice(agent).mapped()?;
        Ok(self.lock().core.is_waiting(&agent))
    }

    fn has_ready(&self) -> bool {
        self.lock().core.has_ready()
    }

    fn counters(&self, agent: &[u8]) -> PyResult<(u64, u64, usize, usize)> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let counters = self.lock().core.counters(&agent).mapped()?;
        Ok((
            counters.handled,
            counters.refused,
            counters.depth,
            counters.bytes,
        ))
    }

    fn set_timer(
        &self,
        agent: &[u8],
        timer: &[u8],
        due_ms: u64,
        message: Py<PyAny>,
        size: usize,
    ) -> PyResult<()> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let letter = Letter {
            sender: AgentId::RUNTIME,
            size,
            message: Parcel { message, turn: 0 },
        };
        let replaced = self.lock().core.set_timer(&agent, timer, due_ms, letter);
        // Dropped only here: the end of a Python object may run Python code, which must not happen under the lock.
        replaced.map(drop).mapped()
    }

    fn cancel_timer(&self, agent: &[u8], timer: &[u8]) -> PyResult<bool> {
        let agent = AgentId::from_slice(agent).mapped()?;
        let cancelled = self.lock().core.cancel_timer(&agent, timer);
        Ok(cancelled.is_some())
    }

    fn next_due(&self) -> Option<u64> {
        self.lock().core.next_due()
    }

    fn advance(&self, now_ms: u64) -> usize {
        self.lock().core.advance(now_ms)
    }

    /// The number of the step in progress, 0 between steps. Safe to call from a signal handler.
    fn progress(&self) -> u64 {
        if self.stepping.load(Ordering::Relaxed) {
            self.progress.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    fn current<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.lock().current.map(|agent| PyBytes::new(py, &agent.0))
    }

    fn watch(&self, py: Python<'_>, page: &Bound<'_, PyAny>, clock: Py<PyAny>) -> PyResult<()> {
        let buffer = PyBuffer::<u8>::get(page)?;
        if buffer.readonly() || buffer.item_count() != PAGE_USED || !buffer.is_c_contiguous() {
            let wants = format!("the used part of a shared page is {PAGE_USED} writable bytes");
            return Err(Error::malformed(wants)).mapped();
        }
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(Page { buffer, clock });
        self.mark(py, None);
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.lock().core.len()
    }

    fn __contains__(&self, agent: &[u8]) -> bool {
        AgentId::from_slice(agent).is_ok_and(|agent| self.lock().core.contains(&agent))
    }
}
