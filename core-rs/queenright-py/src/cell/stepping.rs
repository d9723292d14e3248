//! How the scheduler steps agents: what the core hands out becomes a handler's coroutine, begun or continued until it ends
//! or waits.
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator};
use queenright_core::agent_id::AgentId;
use queenright_core::error::Error;
use queenright_core::mailbox::Letter;
use queenright_core::scheduler::{Key, Next};
use queenright_core::steps::Run;
use queenright_sandbox::readable::Readable;

use crate::cell::coroutine::{Call, Ended, Entry, enter};
use crate::cell::face::Awake;
use crate::cell::population::{Parcel, Population, WARM};
use crate::cell::scheduler::Scheduler;
use crate::error::{Mapped, to_python};

/// Steps between two looks at the link in one run: what a stop, or a message from outside, waits for.
const LOOK: usize = 32;

impl Scheduler {
    /// The Python objects of an agent's life, made from its record where it slept.
    pub(super) fn wake(&self, py: Python<'_>, key: Key) -> PyResult<()> {
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
            sealer: None,
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

    /// Something waits on the link.
    fn disturbed(&self) -> bool {
        self.link.get().is_some_and(Readable::now)
    }

    /// At most `most` steps, fewer if something comes on the link. One hold of the lock a message: the last one written down, the next one taken and prepared.
    pub(super) fn steps(&self, py: Python<'_>, run: &Run<'_>, most: usize) -> PyResult<usize> {
        let mut steps = 0;
        let mut done: Option<Key> = None;
        loop {
            let mut inner = self.lock();
            if let Some(key) = done.take() {
                inner.done(key);
            }
            if steps >= most || (steps > 0 && steps.is_multiple_of(LOOK) && self.disturbed()) {
                return Ok(steps);
            }
            if steps.is_multiple_of(WARM) {
                inner.warm(py);
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
        inner.sender_key = None;
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

    /// Close a coroutine whose turn will not go on. Its `finally` blocks run, so it counts as a step, or as a part of the
    /// one in which its agent was removed.
    pub(super) fn close(
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
    inner: &mut Population,
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
    let from = letter.message.from;
    let message = letter.message.message.into_bound(py);
    let handler = inner
        .behaviours
        .get(behaviour)
        .and_then(|behaviour| behaviour.handler(message.get_type().as_any()))
        .map(|handler| handler.bind(py).clone());
    inner.current = Some(key);
    inner.sender = letter.sender;
    inner.sender_key = from;
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
