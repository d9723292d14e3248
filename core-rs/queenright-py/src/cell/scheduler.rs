//! The scheduler's Python face: it calls handlers and steps their coroutines; who runs next is the core's decision.
//!
//! A volatile message goes from its sender's `ctx.send` to its receiver's handler without leaving this file: no frame, no
//! encoding, no Python of ours in between. A turn of the supervisor's is an object with `run()`.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList};
use queenright_core::agent_id::AgentId;
use queenright_core::error::{Error, Kind};
use queenright_core::mailbox::{Bounds, Lane, Letter};
use queenright_core::reach::{Heard, Talk};
use queenright_core::scheduler::{Key, Limits, Next, Rejected, Scheduler as Core};
use queenright_core::steps::Run;

use crate::cell::coroutine::{Answer, Call, Ended, Entry, enter};
use crate::cell::face::{Awake, Behaviour, Face};
use crate::cell::page::Progress;
use crate::error::{MailboxFull, Mapped, StepOverlap, to_python};

/// A volatile message, or (`turn` is not 0) an object whose `run()` is a turn of the supervisor's.
struct Parcel {
    message: Py<PyAny>,
    turn: u64,
}

struct Inner {
    core: Core<Parcel>,
    behaviours: Vec<Behaviour>,
    talk: Talk,
    /// By the place of the core's keys.
    faces: Vec<Option<Face>>,
    /// The behaviour of each place once more, side by side: read for every message that is sent.
    kinds: Vec<u16>,
    /// Who is awake, the longest first; looked through a few at a time.
    awake: VecDeque<Key>,
    current: Option<Key>,
    sender: AgentId,
    now_ms: u64,
}

impl Inner {
    fn face(&self, key: Key) -> Option<&Face> {
        self.core.id(key)?;
        self.faces.get(key.place())?.as_ref()
    }

    fn face_mut(&mut self, key: Key) -> Option<&mut Face> {
        self.core.id(key)?;
        self.faces.get_mut(key.place())?.as_mut()
    }

    /// The running agent has finished. It may have been removed by its own handler: then there is nothing to write down.
    fn done(&mut self, key: Key) {
        self.current = None;
        drop(self.core.done(key));
    }

    fn awake_mut(&mut self, key: Key) -> Option<&mut Awake> {
        self.face_mut(key)?.awake.as_deref_mut()
    }

    /// Whether the behaviours' pair lets `sender` write to `target`; both live here.
    fn may_talk(&self, sender: Key, target: Key) -> bool {
        match (
            self.kinds.get(sender.place()),
            self.kinds.get(target.place()),
        ) {
            (Some(from), Some(to)) => self.talk.allows(*from, *to),
            _ => false,
        }
    }

    /// Whether the behaviours' pair or kinship lets `sender` write to `target`.
    fn related(&self, sender: Key, target: Key) -> bool {
        if self.may_talk(sender, target) || sender == target {
            return true;
        }
        let (Some(from), Some(to)) = (self.face(sender), self.face(target)) else {
            return false;
        };
        to.parent == Some(sender) || from.parent == Some(target)
    }

    fn may_write(&self, sender: Key, target: Key) -> bool {
        self.related(sender, target)
            || self.core.id(target).is_some_and(|id| {
                self.face(sender)
                    .and_then(|face| face.heard.as_ref())
                    .is_some_and(|heard| heard.lately(id, self.now_ms))
            })
    }

    /// Refuses (Unknown) a behaviour that was not declared. What had the place before is given back.
    fn add(
        &mut self,
        agent: AgentId,
        behaviour: u16,
        record: &[u8],
        parent: Option<AgentId>,
        children: &[[u8; 32]],
    ) -> Result<Option<Face>, Error> {
        if usize::from(behaviour) >= self.behaviours.len() {
            return Err(Error::unknown(format!(
                "no behaviour has the number {behaviour}"
            )));
        }
        let key = self.core.add(agent)?;
        let face = Face {
            behaviour,
            parent: parent.and_then(|parent| self.core.find(&parent)),
            record: record.into(),
            heard: None,
            awake: None,
        };
        if self.faces.len() <= key.place() {
            self.faces.resize_with(key.place() + 1, || None);
            self.kinds.resize(key.place() + 1, 0);
        }
        if let Some(kind) = self.kinds.get_mut(key.place()) {
            *kind = behaviour;
        }
        let old = self
            .faces
            .get_mut(key.place())
            .and_then(|at| at.replace(face));
        for child in children {
            if let Some(child) = self.core.find(&AgentId(*child))
                && let Some(face) = self.face_mut(child)
            {
                face.parent = Some(key);
            }
        }
        Ok(old)
    }

    /// The target may answer for an hour, if nothing else lets it.
    fn note(&mut self, sender: Key, target: Key) {
        if self.related(target, sender) {
            return;
        }
        let now = self.now_ms;
        let Some(id) = self.core.id(sender).copied() else {
            return;
        };
        if let Some(face) = self.face_mut(target) {
            face.heard
                .get_or_insert_with(|| Box::new(Heard::default()))
                .note(id, now);
        }
    }
}

/// See `queenright.core.cell.Scheduler`.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Scheduler {
    inner: Mutex<Inner>,
    progress: Progress,
    wake: Py<PyAny>,
    failed: Py<PyAny>,
    reference: Py<PyAny>,
}

impl Scheduler {
    /// The lock is held for moments and never while Python code can run.
    fn lock(&self) -> MutexGuard<'_, Inner> {
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

    /// From the agent whose turn runs to one of this cell that it may write to. False: not here, or not known to it
    /// here, so that the supervisor decides.
    pub fn send_here(
        &self,
        py: Python<'_>,
        from: Key,
        to: &AgentId,
        message: &Bound<'_, PyAny>,
        size: usize,
    ) -> PyResult<bool> {
        let mut inner = self.lock();
        if inner.current != Some(from) {
            drop(inner);
            return Err(over(py));
        }
        let Some(target) = inner.core.find(to) else {
            return Ok(false);
        };
        let Some(sender) = inner.core.id(from).copied() else {
            return Ok(false);
        };
        if !inner.may_write(from, target) {
            return Ok(false);
        }
        let letter = Letter {
            sender,
            size,
            message: Parcel {
                message: message.clone().unbind(),
                turn: 0,
            },
        };
        let pushed = inner.core.push(target, letter, Lane::Ordinary);
        if pushed.is_ok() {
            inner.note(from, target);
        }
        drop(inner);
        match pushed {
            Ok(()) => Ok(true),
            Err(Rejected::Full(parcel)) => Err(full(py, *to, parcel.message)),
            Err(Rejected::Unknown(_)) => Ok(false),
        }
    }

    /// Who sent the message of the volatile turn that `agent` runs now.
    pub fn sender_of<'py>(&self, py: Python<'py>, agent: Key) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.lock();
        if inner.current != Some(agent) {
            drop(inner);
            return Err(over(py));
        }
        let sender = inner.sender;
        if sender == AgentId::RUNTIME {
            return Ok(py.None().into_bound(py));
        }
        let known = inner
            .core
            .find(&sender)
            .and_then(|key| inner.face(key)?.awake.as_ref())
            .map(|awake| awake.me.clone_ref(py));
        drop(inner);
        match known {
            Some(me) => Ok(me.into_bound(py)),
            None => self
                .reference
                .bind(py)
                .call1((PyBytes::new(py, &sender.0),)),
        }
    }

    /// The Python objects of an agent's life, made from its record where it slept.
    fn wake(&self, py: Python<'_>, key: Key) -> PyResult<()> {
        let id = {
            let inner = self.lock();
            match inner.face(key) {
                Some(face) if face.awake.is_none() => inner.core.id(key).copied(),
                _ => None,
            }
        };
        let Some(id) = id else { return Ok(()) };
        let resident = self.wake.bind(py).call1((PyBytes::new(py, &id.0),))?;
        let me = resident.getattr(intern!(py, "me"))?.unbind();
        let awake = Box::new(Awake {
            resident: resident.unbind(),
            me,
            opened: None,
            turn: 0,
            coroutine: None,
            answer: None,
            used_ms: 0,
        });
        let mut inner = self.lock();
        if let Some(face) = inner.face_mut(key) {
            face.awake = Some(awake);
            inner.awake.push_back(key);
        }
        Ok(())
    }

    /// The behaviour's object and context of an awake agent, made by its resident where they were thrown away.
    fn open(&self, py: Python<'_>, key: Key) -> PyResult<()> {
        let resident = {
            let mut inner = self.lock();
            match inner.awake_mut(key) {
                Some(awake) if awake.opened.is_none() => Some(awake.resident.clone_ref(py)),
                _ => None,
            }
        };
        let Some(resident) = resident else {
            return Ok(());
        };
        let opened = resident
            .bind(py)
            .call_method0(intern!(py, "open"))?
            .extract()?;
        let replaced = self
            .lock()
            .awake_mut(key)
            .and_then(|awake| awake.opened.replace(opened));
        drop(replaced);
        Ok(())
    }

    /// At most `most` steps. One hold of the lock a message: the last one written down, the next one taken and prepared.
    fn steps(&self, py: Python<'_>, run: &Run<'_>, most: usize) -> PyResult<usize> {
        let mut steps = 0;
        let mut done: Option<Key> = None;
        loop {
            let mut inner = self.lock();
            if let Some(key) = done.take() {
                inner.done(key);
            }
            if steps >= most {
                return Ok(steps);
            }
            let Some(next) = inner.core.take() else {
                return Ok(steps);
            };
            steps += 1;
            let (key, letter) = match next {
                Next::Message(key, letter) if letter.message.turn == 0 => (key, letter),
                next => {
                    drop(inner);
                    done = self.step(py, run, next)?;
                    continue;
                }
            };
            let prepared = prepare(&mut inner, py, key, letter);
            drop(inner);
            done = match prepared {
                Prepared::Call(id, call) => {
                    self.progress.begin(py, run, &id, 0);
                    let ended = enter(py, Entry::Start(call));
                    self.settle(py, key, id, 0, ended)?
                }
                Prepared::Unhandled(id, object, message) => self.settle(
                    py,
                    key,
                    id,
                    0,
                    Ended::Failed(unhandled(py, &object, &message)),
                )?,
                Prepared::Closed(letter) => self.step_volatile(py, run, key, letter)?,
            };
        }
    }

    /// Hand out one message or let a turn go on. The agent may be removed by its own handler at any time.
    fn step(&self, py: Python<'_>, run: &Run<'_>, next: Next<Parcel>) -> PyResult<Option<Key>> {
        match next {
            Next::Message(key, letter) if letter.message.turn == 0 => {
                self.step_volatile(py, run, key, letter)
            }
            Next::Message(key, letter) => {
                self.wake(py, key)?;
                let parcel = letter.message.message.into_bound(py);
                let Some(id) = self.enter(key, letter.sender, Some(letter.message.turn)) else {
                    return Ok(None);
                };
                self.progress.begin(py, run, &id, letter.message.turn);
                let ended = enter(py, Entry::Start(Call::Run(parcel)));
                self.settle(py, key, id, letter.message.turn, ended)
            }
            Next::Resume(key) => {
                let Some(id) = self.enter(key, AgentId::RUNTIME, None) else {
                    return Ok(None);
                };
                let (turn, parts) = {
                    let mut inner = self.lock();
                    let awake = inner.awake_mut(key);
                    awake.map_or((0, None), |awake| {
                        (awake.turn, awake.coroutine.take().zip(awake.answer.take()))
                    })
                };
                let Some((coroutine, answer)) = parts else {
                    return Err(Error::conflict(format!(
                        "{id} was resumed without an answer"
                    )))
                    .mapped();
                };
                self.progress.begin(py, run, &id, turn);
                let ended = enter(py, Entry::Go(coroutine.into_bound(py), answer));
                self.settle(py, key, id, turn, ended)
            }
        }
    }

    /// A volatile message for an agent whose object is not there: it is made first.
    fn step_volatile(
        &self,
        py: Python<'_>,
        run: &Run<'_>,
        key: Key,
        letter: Letter<Parcel>,
    ) -> PyResult<Option<Key>> {
        let Some(id) = self.enter(key, letter.sender, None) else {
            return Ok(None);
        };
        // Loading its state runs the author's code.
        self.progress.begin(py, run, &id, 0);
        if let Err(error) = self.wake(py, key).and_then(|()| self.open(py, key)) {
            return self.settle(py, key, id, 0, Ended::Failed(error));
        }
        let prepared = prepare(&mut self.lock(), py, key, letter);
        match prepared {
            Prepared::Call(id, call) => {
                self.progress.begin(py, run, &id, 0);
                let ended = enter(py, Entry::Start(call));
                self.settle(py, key, id, 0, ended)
            }
            Prepared::Unhandled(id, object, message) => self.settle(
                py,
                key,
                id,
                0,
                Ended::Failed(unhandled(py, &object, &message)),
            ),
            Prepared::Closed(_) => {
                let error = to_python(py, &Error::conflict("its object did not stay"));
                self.settle(py, key, id, 0, Ended::Failed(error))
            }
        }
    }

    /// The agent runs from here on. None if it does not live here any more.
    fn enter(&self, key: Key, sender: AgentId, turn: Option<u64>) -> Option<AgentId> {
        let mut inner = self.lock();
        let id = inner.core.id(key).copied()?;
        inner.current = Some(key);
        inner.sender = sender;
        let now = inner.now_ms;
        if let Some(awake) = inner.awake_mut(key) {
            awake.used_ms = now;
            if let Some(turn) = turn {
                awake.turn = turn;
            }
        }
        Some(id)
    }

    /// What became of a step. Some: the agent is done with it, which the next look at the core writes down.
    fn settle(
        &self,
        py: Python<'_>,
        key: Key,
        id: AgentId,
        turn: u64,
        ended: Ended<'_>,
    ) -> PyResult<Option<Key>> {
        match ended {
            Ended::Done => return Ok(Some(key)),
            Ended::Waits(coroutine) => {
                let mut left = Some(coroutine.unbind());
                let mut inner = self.lock();
                inner.current = None;
                if inner.core.wait(key).is_ok()
                    && let Some(awake) = inner.awake_mut(key)
                {
                    awake.coroutine = left.take();
                }
                drop(inner);
                self.close(py, &id, turn, left)?;
            }
            Ended::Failed(error) => {
                self.lock().done(key);
                let error = error.into_value(py);
                self.failed
                    .bind(py)
                    .call1((PyBytes::new(py, &id.0), turn, error))?;
            }
        }
        Ok(None)
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

    /// Close a coroutine whose turn will not go on. Its `finally` blocks run, so it counts as a step, or as a part of the
    /// one in which its agent was removed.
    fn close(
        &self,
        py: Python<'_>,
        id: &AgentId,
        turn: u64,
        coroutine: Option<Py<PyIterator>>,
    ) -> PyResult<()> {
        let Some(coroutine) = coroutine else {
            return Ok(());
        };
        let run = self.progress.enter();
        if let Some(run) = &run {
            self.progress.begin(py, run, id, turn);
        }
        let closed = coroutine.bind(py).call_method0(intern!(py, "close"));
        if let Some(run) = run {
            self.progress.leave(py, run);
        }
        closed.map(drop)
    }
}

/// What a volatile message comes to, as far as it can be said while the core is held.
enum Prepared<'py> {
    /// The agent runs from here on.
    Call(AgentId, Call<'py>),
    /// Its behaviour has no handler for the message.
    Unhandled(AgentId, Bound<'py, PyAny>, Bound<'py, PyAny>),
    /// Its object is not there.
    Closed(Letter<Parcel>),
}

/// Only counts references: no Python code runs, so the core may be held.
fn prepare<'py>(
    inner: &mut Inner,
    py: Python<'py>,
    key: Key,
    letter: Letter<Parcel>,
) -> Prepared<'py> {
    let now = inner.now_ms;
    let face = inner.faces.get_mut(key.place()).and_then(Option::as_mut);
    let behaviour = face.as_ref().map_or(0, |face| usize::from(face.behaviour));
    let opened = face
        .and_then(|face| face.awake.as_deref_mut())
        .and_then(|awake| {
            awake.used_ms = now;
            awake.opened.as_ref()
        })
        .map(|(object, context)| (object.bind(py).clone(), context.bind(py).clone()));
    let (Some((object, context)), Some(id)) = (opened, inner.core.id(key).copied()) else {
        return Prepared::Closed(letter);
    };
    let message = letter.message.message.into_bound(py);
    let handler = inner
        .behaviours
        .get(behaviour)
        .and_then(|behaviour| behaviour.handler(message.get_type().as_any()))
        .map(|handler| handler.bind(py).clone());
    inner.current = Some(key);
    inner.sender = letter.sender;
    match handler {
        Some(handler) => Prepared::Call(
            id,
            Call::Handle {
                handler,
                object,
                context,
                message,
            },
        ),
        None => Prepared::Unhandled(id, object, message),
    }
}

fn unhandled(py: Python<'_>, object: &Bound<'_, PyAny>, message: &Bound<'_, PyAny>) -> PyErr {
    let name = |thing: &Bound<'_, PyAny>| {
        thing
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |name| name.to_string())
    };
    let text = format!("{} has no handler for `{}`", name(object), name(message));
    to_python(
        py,
        &Error::malformed(text).hint("add a method with @handles for it"),
    )
}

fn over(py: Python<'_>) -> PyErr {
    let facts = PyDict::new(py);
    let built = facts
        .set_item("hint", "use the ctx that the handler was given")
        .and_then(|()| {
            py.get_type::<StepOverlap>()
                .call(("this turn is over",), Some(&facts))
        });
    built.map_or_else(|broken| broken, PyErr::from_value)
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
    #[pyo3(signature = (wake, failed, reference, *, quantum=32, mailbox_messages=1000, mailbox_bytes=8_388_608, reserved=64, total_bytes=268_435_456))]
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
            inner: Mutex::new(Inner {
                core: Core::new(limits).mapped()?,
                behaviours: Vec::new(),
                talk: Talk::default(),
                faces: Vec::new(),
                kinds: Vec::new(),
                awake: VecDeque::new(),
                current: None,
                sender: AgentId::RUNTIME,
                now_ms: 0,
            }),
            progress: Progress::default(),
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
            if let Some(sender) = inner.core.find(&sender) {
                inner.note(sender, key);
            }
            let message = Parcel { message, turn };
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
