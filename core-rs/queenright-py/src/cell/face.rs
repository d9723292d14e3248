//! What a cell keeps beside the core's table: the behaviours, and for each agent its record and, while it is awake, the
//! Python objects of its life.
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use queenright_core::reach::Heard;
use queenright_core::scheduler::Key;

use crate::cell::coroutine::Answer;
use crate::cell::sealer::Sealer;

/// A behaviour class: which function handles which type of message.
pub struct Behaviour {
    handlers: Vec<(Py<PyAny>, Py<PyAny>)>,
}

impl Behaviour {
    pub fn new(handlers: Vec<(Py<PyAny>, Py<PyAny>)>) -> Self {
        Self { handlers }
    }

    /// The function for messages of exactly that type. A class has few: looking through them beats hashing.
    pub fn handler(&self, kind: &Bound<'_, PyAny>) -> Option<&Py<PyAny>> {
        self.handlers
            .iter()
            .find(|(handled, _)| handled.is(kind))
            .map(|(_, function)| function)
    }
}

/// An awake agent. `opened` is its behaviour's object and the context its volatile turns get.
pub struct Awake {
    pub resident: Py<PyAny>,
    pub me: Py<PyAny>,
    pub opened: Option<(Py<PyAny>, Py<PyAny>)>,
    pub turn: u64,
    pub coroutine: Option<Py<PyIterator>>,
    pub answer: Option<Answer>,
    pub used_ms: u64,
    /// What its volatile mail to other cells collects in, once it has written there.
    pub sealer: Option<Py<Sealer>>,
}

/// An agent. Asleep it is its record: what it takes to make the rest again.
pub struct Face {
    pub behaviour: u16,
    pub parent: Option<Key>,
    pub record: Box<[u8]>,
    pub heard: Option<Box<Heard>>,
    pub awake: Option<Box<Awake>>,
}
