//! The sealer of one incarnation: what it wants sent collects here, and leaves sealed and signed in one call.
use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict};
use queenright_core::batch::{Draft, Id, Sealer as Core};
use queenright_core::error::{Error, Result as CoreResult};
use queenright_core::seal::KEY;

use crate::cell::body::body_of;
use crate::cell::message::MessageBase;
use crate::error::{MailboxFull, Mapped};
use crate::shared::letter::id;
use crate::shared::signature::SigningKey;

/// Volatile messages go into bags in the order they were sent; a bag is sealed as one batch. What has not been credited back
/// counts against `messages` and `bytes`.
#[pyclass(module = "queenright._core.cell")]
pub struct Sealer {
    core: Core,
    max_messages: u64,
    max_bytes: u64,
    messages: u64,
    bytes: u64,
    bag: usize,
    open: Vec<Draft>,
    bags: VecDeque<Vec<Draft>>,
}

impl Sealer {
    /// `add` where nothing follows from it: false if the message would open the bag or fill it, which the post office has
    /// to know of.
    pub fn join(&mut self, to: Id, message: &Bound<'_, MessageBase>) -> PyResult<bool> {
        if self.open.is_empty() || self.open.len() + 1 >= self.bag {
            return Ok(false);
        }
        self.put(to, message)?;
        Ok(true)
    }

    fn put(&mut self, receiver: Id, message: &Bound<'_, MessageBase>) -> PyResult<()> {
        let draft = Draft {
            receiver,
            kind: message.get().schema().get().name.clone(),
            body: body_of(message)?,
        };
        draft.check().mapped()?;
        let weight = draft.weight();
        if self.messages >= self.max_messages
            || (self.bytes > 0 && self.bytes + weight > self.max_bytes)
        {
            return Err(full(message));
        }
        self.messages += 1;
        self.bytes += weight;
        self.open.push(draft);
        Ok(())
    }
}

#[pymethods]
impl Sealer {
    /// `messages`, `bytes`: how much volatile mail may be under way before `add` raises MailboxFull. `bag`: how many messages a
    /// bag holds before it leaves by itself.
    #[new]
    fn new(
        runtime_key: &[u8],
        agent: &[u8],
        incarnation: u64,
        messages: u64,
        bytes: u64,
        bag: usize,
    ) -> PyResult<Self> {
        let core = Core::new(id(runtime_key).mapped()?, id(agent).mapped()?, incarnation);
        Ok(Self {
            core,
            max_messages: messages,
            max_bytes: bytes,
            messages: 0,
            bytes: 0,
            bag,
            open: Vec::new(),
            bags: VecDeque::new(),
        })
    }

    /// Seal for `receiver` from now on: its certified key, the pair's next sequence, 32 fresh random bytes.
    fn learn(
        &mut self,
        py: Python<'_>,
        receiver: &[u8],
        public_key: &[u8],
        generation: u64,
        sequence: u64,
        seed: &[u8],
    ) -> PyResult<()> {
        let receiver = id(receiver).mapped()?;
        let seed: &[u8; KEY] = seed
            .try_into()
            .map_err(|_| {
                Error::malformed(format!("a seal's seed has 32 bytes, not {}", seed.len()))
            })
            .mapped()?;
        py.detach(|| {
            self.core
                .learn(receiver, public_key, generation, sequence, seed)
        })
        .mapped()
    }

    fn knows(&self, receiver: &[u8]) -> PyResult<bool> {
        Ok(self.core.knows(&id(receiver).mapped()?))
    }

    /// Put a volatile message into the open bag; how many are in it. Raises MailboxFull, with the message, when too much is
    /// under way.
    fn add(&mut self, to: &[u8], message: &Bound<'_, MessageBase>) -> PyResult<usize> {
        self.put(id(to).mapped()?, message)?;
        Ok(self.open.len())
    }

    /// Close the open bag; whether there was anything in it.
    fn cut(&mut self) -> bool {
        if self.open.is_empty() {
            return false;
        }
        self.bags.push_back(std::mem::take(&mut self.open));
        true
    }

    /// How many messages the bag that leaves next holds; 0 if none waits.
    fn waiting(&self) -> usize {
        self.bags.front().map_or(0, Vec::len)
    }

    /// The receivers of the next bag whose keys are not here.
    fn missing(&self) -> Vec<Id> {
        let mut out: Vec<Id> = Vec::new();
        for draft in self.bags.front().into_iter().flatten() {
            if !self.core.knows(&draft.receiver) && !out.contains(&draft.receiver) {
                out.push(draft.receiver);
            }
        }
        out
    }

    /// The next bag as a signed packet. `salts`: 16 random bytes for each message. A bag that is refused waits on.
    fn seal_bag<'py>(
        &mut self,
        py: Python<'py>,
        key: &Bound<'py, SigningKey>,
        salts: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let key = &key.get().0;
        let bag = self.bags.front().map_or(&[][..], Vec::as_slice);
        let core = &mut self.core;
        let packet = py.detach(|| core.seal(bag, salts, key)).mapped()?;
        self.bags.pop_front();
        Ok(PyBytes::new(py, packet.bytes()))
    }

    /// One signature over (receiver, type, body) each; a letter each, in that order. `salts`: 16 random bytes for each.
    fn seal_letters<'py>(
        &mut self,
        py: Python<'py>,
        key: &Bound<'py, SigningKey>,
        drafts: Vec<(PyBackedBytes, PyBackedStr, PyBackedBytes)>,
        salts: &[u8],
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let key = &key.get().0;
        let core = &mut self.core;
        let letters = py
            .detach(|| {
                let drafts = drafts
                    .iter()
                    .map(|(receiver, kind, body)| {
                        Ok(Draft {
                            receiver: id(receiver)?,
                            kind: kind.to_string(),
                            body: body.to_vec(),
                        })
                    })
                    .collect::<CoreResult<Vec<_>>>()?;
                core.seal(&drafts, salts, key)?.letters()
            })
            .mapped()?;
        Ok(letters
            .iter()
            .map(|letter| PyBytes::new(py, letter))
            .collect())
    }

    /// The runtime's word that so much of what was sent is no longer under way. Raises Malformed for more than was sent.
    fn credit(&mut self, messages: u64, bytes: u64) -> PyResult<()> {
        let left = self
            .messages
            .checked_sub(messages)
            .zip(self.bytes.checked_sub(bytes));
        let (messages, bytes) = left
            .ok_or_else(|| Error::malformed("credit for more mail than was sent"))
            .mapped()?;
        (self.messages, self.bytes) = (messages, bytes);
        Ok(())
    }

    /// (messages, bytes) that were sent and not credited back.
    #[getter]
    fn under_way(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }
}

fn full(message: &Bound<'_, MessageBase>) -> PyErr {
    let py = message.py();
    let facts = PyDict::new(py);
    let built = facts
        .set_item("undelivered", message)
        .and_then(|()| facts.set_item("hint", "send it again later, or send less"))
        .and_then(|()| {
            py.get_type::<MailboxFull>().call(
                ("too much volatile mail of this agent is under way",),
                Some(&facts),
            )
        });
    built.map_or_else(|broken| broken, PyErr::from_value)
}
