//! The opener of one cell: batches and letters from elsewhere, checked and opened many in one call.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use queenright_core::agent_id::AgentId;
use queenright_core::batch::{Expected, Letter, Opener as Core, Packet};
use queenright_core::error::{Error, Result as CoreResult};
use zeroize::Zeroizing;

use crate::cell::arrival::{Arrival, Item};
use crate::cell::body::decode_message;
use crate::cell::message::MessageBase;
use crate::error::{Mapped, to_python};
use crate::shared::letter::id;

#[pyclass(module = "queenright._core.cell")]
pub struct Opener(Core);

fn key(bytes: &[u8]) -> CoreResult<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| Error::malformed(format!("a key has 32 bytes, not {}", bytes.len())))
}

#[pymethods]
impl Opener {
    #[new]
    fn new(runtime_key: &[u8]) -> PyResult<Self> {
        Ok(Self(Core::new(id(runtime_key).mapped()?)))
    }

    /// A sender's key in a life, from a certificate that was verified. Raises Conflict for an earlier life or a second key.
    fn introduce(&mut self, sender: &[u8], incarnation: u64, public_key: &[u8]) -> PyResult<()> {
        let sender = id(sender).mapped()?;
        let public_key = key(public_key).mapped()?;
        self.0.introduce(sender, incarnation, public_key).mapped()
    }

    /// The private half that mail for an agent of this cell is sealed to.
    fn give_key(&mut self, agent: &[u8], generation: u64, private_key: &[u8]) -> PyResult<()> {
        let agent = id(agent).mapped()?;
        let private_key = Zeroizing::new(key(private_key).mapped()?);
        self.0.give_key(agent, generation, private_key);
        Ok(())
    }

    /// The agent has left: its keys and contexts go.
    fn forget(&mut self, agent: &[u8]) -> PyResult<()> {
        self.0.forget(&id(agent).mapped()?);
        Ok(())
    }

    /// The batch's messages. `find` gives the class of a type's name, or None for one that may not come this way. Raises for
    /// a packet that is refused as a whole.
    fn open_packet<'py>(
        &mut self,
        py: Python<'py>,
        packet: &[u8],
        find: &Bound<'py, PyAny>,
    ) -> PyResult<Arrival> {
        let core = &mut self.0;
        let (packet, opened) = py
            .detach(|| {
                let packet = Packet::parse(packet.to_vec())?;
                let opened = core.open_packet(&packet)?;
                Ok((packet, opened))
            })
            .mapped()?;
        let classes = packet
            .kinds
            .iter()
            .map(|kind| find.call1((kind,)))
            .collect::<PyResult<Vec<_>>>()?;
        let items = packet
            .messages
            .iter()
            .zip(opened)
            .map(|(place, opened)| {
                let found = match opened.body {
                    Ok(body) => message(&classes[opened.kind], &packet.kinds[opened.kind], &body),
                    Err(error) => Err(to_python(py, &error)),
                };
                Item {
                    pair: opened.pair,
                    kind: opened.kind,
                    message: found.map_err(|error| error.into_value(py).into_any()),
                    weight: packet.ciphertext(place).len(),
                }
            })
            .collect();
        Ok(Arrival {
            sender: AgentId(packet.head.sender),
            life: packet.head.incarnation,
            receivers: packet
                .pairs
                .iter()
                .map(|pair| AgentId(pair.receiver))
                .collect(),
            kinds: packet.kinds,
            items,
        })
    }

    /// The body of a letter, checked alone. `public_key` is of the sender's life that it is said to be of. Raises
    /// InvalidSignature, Malformed, Unknown.
    #[allow(clippy::too_many_arguments)] // all but the first by name
    #[pyo3(signature = (letter, *, receiver, sender, incarnation, kind, public_key))]
    fn open_letter<'py>(
        &mut self,
        py: Python<'py>,
        letter: &[u8],
        receiver: &[u8],
        sender: &[u8],
        incarnation: u64,
        kind: &str,
        public_key: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let expected = Expected {
            receiver: id(receiver).mapped()?,
            sender: id(sender).mapped()?,
            incarnation,
            kind,
        };
        let core = &mut self.0;
        let body = py
            .detach(|| {
                let letter = Letter::parse(letter.to_vec())?;
                core.open_letter(&letter, &expected, public_key)
            })
            .mapped()?;
        Ok(PyBytes::new(py, &body))
    }
}

/// The message and what it counts in a mailbox.
fn message(class: &Bound<'_, PyAny>, kind: &str, body: &[u8]) -> PyResult<(Py<PyAny>, usize)> {
    let Ok(class) = class.cast::<PyType>() else {
        return Err(Error::malformed(format!(
            "`{kind}` is no volatile message of this package"
        )))
        .mapped();
    };
    let message = decode_message(class, body)?.cast_into::<MessageBase>()?;
    let size = message.get().size();
    Ok((message.into_any().unbind(), size))
}
