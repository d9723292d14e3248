//! What an agent sends in a volatile turn, and who sent what it handles: for the `ctx` of that turn.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use queenright_core::agent_id::AgentId;
use queenright_core::mailbox::{Lane, Letter};
use queenright_core::scheduler::{Key, Rejected};

use crate::cell::message::MessageBase;
use crate::cell::population::Parcel;
use crate::cell::scheduler::Scheduler;
use crate::error::{MailboxFull, StepOverlap};

impl Scheduler {
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
        let Some(target) = inner.find(to) else {
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
                from: Some(from),
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

    /// From the agent whose turn runs to one elsewhere: into its open bag. False where there is none, or it would be full.
    pub fn send_away(
        &self,
        py: Python<'_>,
        from: Key,
        to: &AgentId,
        message: &Bound<'_, MessageBase>,
    ) -> PyResult<bool> {
        let sealer = {
            let mut inner = self.lock();
            if inner.find(to).is_some() {
                return Ok(false); // it lives here: whether it may be written to is not for the post office to say
            }
            inner
                .awake_mut(from)
                .and_then(|awake| Some(awake.sealer.as_ref()?.clone_ref(py)))
        };
        match sealer {
            Some(sealer) => match sealer.bind(py).try_borrow_mut() {
                Ok(mut sealer) => sealer.join(to.0, message),
                Err(_) => Ok(false),
            },
            None => Ok(false),
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

pub(super) fn full(py: Python<'_>, to: AgentId, message: Py<PyAny>) -> PyErr {
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
