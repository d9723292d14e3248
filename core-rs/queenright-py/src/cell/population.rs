//! Everybody who lives in a cell: the core's table with, by the place of its keys, what the cell keeps beside it.
use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use queenright_core::agent_id::AgentId;
use queenright_core::error::Error;
use queenright_core::reach::{Heard, Talk};
use queenright_core::scheduler::{Key, Scheduler as Core};

use crate::cell::face::{Awake, Behaviour, Face};

/// A volatile message, or (`turn` is not 0) an object whose `run()` is a turn of the supervisor's.
pub struct Parcel {
    pub message: Py<PyAny>,
    pub turn: u64,
    /// Where the sender lives, if it is here: an answer finds it again without a search.
    pub from: Option<Key>,
}

/// Agents whose memory is asked for together.
pub const WARM: usize = 4;

/// Held behind one lock, for moments and never while Python code can run.
pub struct Population {
    pub core: Core<Parcel>,
    pub behaviours: Vec<Behaviour>,
    pub talk: Talk,
    /// By the place of the core's keys.
    pub faces: Vec<Option<Face>>,
    /// The behaviour of each place once more, side by side: read for every message that is sent.
    pub kinds: Vec<u16>,
    /// Who is awake, the longest first; looked through a few at a time.
    pub awake: VecDeque<Key>,
    pub current: Option<Key>,
    pub sender: AgentId,
    /// Where it lived when it sent, if that was here.
    pub sender_key: Option<Key>,
    pub now_ms: u64,
}

impl Population {
    pub fn new(core: Core<Parcel>) -> Self {
        Self {
            core,
            behaviours: Vec::new(),
            talk: Talk::default(),
            faces: Vec::new(),
            kinds: Vec::new(),
            awake: VecDeque::new(),
            current: None,
            sender: AgentId::RUNTIME,
            sender_key: None,
            now_ms: 0,
        }
    }

    /// Ask for the memory of the next few agents' objects, all at once (see the core's `coming`). Changes nothing.
    pub fn warm(&self, py: Python<'_>) {
        let Some(keys) = self.core.coming::<WARM>() else {
            return;
        };
        let faces = keys.map(|key| self.faces.get(key.place())?.as_ref());
        let opened = faces.map(|face| face?.awake.as_ref()?.opened.as_ref());
        std::hint::black_box(opened.map(|opened| {
            opened.map(|(object, context)| (header(py, object), header(py, context)))
        }));
    }

    pub fn face(&self, key: Key) -> Option<&Face> {
        self.core.id(key)?;
        self.faces.get(key.place())?.as_ref()
    }

    pub fn face_mut(&mut self, key: Key) -> Option<&mut Face> {
        self.core.id(key)?;
        self.faces.get_mut(key.place())?.as_mut()
    }

    /// The running agent has finished. It may have been removed by its own handler: then there is nothing to write down.
    pub fn done(&mut self, key: Key) {
        self.current = None;
        drop(self.core.done(key));
    }

    pub fn awake_mut(&mut self, key: Key) -> Option<&mut Awake> {
        self.face_mut(key)?.awake.as_deref_mut()
    }

    /// Where an agent lives, if here: the one whose message is being handled is known already.
    pub fn find(&self, agent: &AgentId) -> Option<Key> {
        match self.sender_key {
            Some(key) if *agent == self.sender && self.core.id(key).is_some() => Some(key),
            _ => self.core.find(agent),
        }
    }

    /// Whether the behaviours' pair lets `sender` write to `target`; both live here.
    pub fn may_talk(&self, sender: Key, target: Key) -> bool {
        match (
            self.kinds.get(sender.place()),
            self.kinds.get(target.place()),
        ) {
            (Some(from), Some(to)) => self.talk.allows(*from, *to),
            _ => false,
        }
    }

    /// Whether the behaviours' pair or kinship lets `sender` write to `target`.
    pub fn related(&self, sender: Key, target: Key) -> bool {
        if self.may_talk(sender, target) || sender == target {
            return true;
        }
        let (Some(from), Some(to)) = (self.face(sender), self.face(target)) else {
            return false;
        };
        to.parent == Some(sender) || from.parent == Some(target)
    }

    pub fn may_write(&self, sender: Key, target: Key) -> bool {
        self.related(sender, target)
            || self.core.id(target).is_some_and(|id| {
                self.face(sender)
                    .and_then(|face| face.heard.as_ref())
                    .is_some_and(|heard| heard.lately(id, self.now_ms))
            })
    }

    /// Refuses (Unknown) a behaviour that was not declared. What had the place before is given back.
    pub fn add(
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
    pub fn note(&mut self, sender: Key, target: Key) {
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

/// Reads an object's first line of memory; the answer says nothing.
fn header(py: Python<'_>, object: &Py<PyAny>) -> bool {
    object.bind(py).is_exact_instance_of::<PyBytes>()
}
