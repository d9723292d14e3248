//! Who runs next: an agent table, a fair ready list, waiting turns, timers. No clock, no threads, no Python.
//!
//! An agent is handed at most `quantum` messages, then the next ready one. While its turn waits it is handed nothing;
//! `resume` makes it ready again. Every message comes out exactly once, in order of arrival within its lane.
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::agent_id::AgentId;
use crate::error::{Error, Result};
use crate::mailbox::{Bounds, Lane, Letter, Mailbox};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages an agent may handle before the next one's turn.
    pub quantum: u32,
    pub mailbox: Bounds,
    /// Bytes waiting in all ordinary lanes together: the cell's share of memory.
    pub total_bytes: usize,
    /// Timers an agent may have set at once.
    pub timers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quantum: 32,
            mailbox: Bounds {
                messages: 1000,
                bytes: 8 << 20,
                reserved: 64,
            },
            total_bytes: 256 << 20,
            timers: 64,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub handled: u64,
    /// Messages refused at this agent's mailbox.
    pub refused: u64,
    pub depth: usize,
    pub bytes: usize,
}

/// Why a message was not queued; it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected<M> {
    /// The mailbox or the cell's share of memory is full.
    Full(M),
    /// Nobody of that id lives here.
    Unknown(M),
}

/// What to do next. The agent is then running until `done` or `wait`.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<M> {
    Message(AgentId, Letter<M>),
    Resume(AgentId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nothing to do, or in the ready list if `listed`.
    Idle,
    Running,
    /// Its turn is open and waits for something.
    Waiting,
    /// Its turn may go on.
    Resuming,
}

#[derive(Debug)]
struct Agent<M> {
    mailbox: Mailbox<M>,
    status: Status,
    listed: bool,
    handled: u64,
    refused: u64,
    timers: usize,
}

impl<M> Agent<M> {
    fn new() -> Self {
        Self {
            mailbox: Mailbox::default(),
            status: Status::Idle,
            listed: false,
            handled: 0,
            refused: 0,
            timers: 0,
        }
    }

    fn has_work(&self) -> bool {
        match self.status {
            Status::Idle => !self.mailbox.is_empty(),
            Status::Resuming => true,
            Status::Running | Status::Waiting => false,
        }
    }
}

#[derive(Debug)]
struct Timer<M> {
    agent: AgentId,
    id: Vec<u8>,
    letter: Letter<M>,
}

/// See the module. `M` is whatever a message is to the caller.
#[derive(Debug)]
pub struct Scheduler<M> {
    limits: Limits,
    agents: HashMap<AgentId, Agent<M>>,
    ready: VecDeque<AgentId>,
    /// The agent whose turn it is, and how many messages it may still take.
    turn: Option<(AgentId, u32)>,
    bytes: usize,
    /// Due time in ms and a serial, so that equal times fire in the order they were set.
    timers: BTreeMap<(u64, u64), Timer<M>>,
    by_name: HashMap<(AgentId, Vec<u8>), (u64, u64)>,
    serial: u64,
}

impl<M> Scheduler<M> {
    pub fn new(limits: Limits) -> Result<Self> {
        if limits.quantum == 0 {
            return Err(Error::malformed(
                "a quantum of 0 messages would let nobody run",
            ));
        }
        Ok(Self {
            limits,
            agents: HashMap::new(),
            ready: VecDeque::new(),
            turn: None,
            bytes: 0,
            timers: BTreeMap::new(),
            by_name: HashMap::new(),
            serial: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.agents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub fn contains(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }

    /// Refuses (Conflict) an id that lives here already, and the runtime's own.
    pub fn add(&mut self, agent: AgentId) -> Result<()> {
        if agent == AgentId::RUNTIME {
            return Err(Error::malformed("the id of all zeros is the runtime's"));
        }
        if self.agents.contains_key(&agent) {
            return Err(Error::conflict(format!("{agent} lives here already")));
        }
        self.agents.insert(agent, Agent::new());
        Ok(())
    }

    /// Forget an agent, its timers and its open turn; what it had not handled comes back in order.
    pub fn remove(&mut self, agent: &AgentId) -> Result<Vec<Letter<M>>> {
        let gone = self.agents.remove(agent).ok_or_else(|| unknown(agent))?;
        self.bytes = self.bytes.saturating_sub(gone.mailbox.bytes());
        if gone.listed {
            self.ready.retain(|listed| listed != agent);
        }
        if self.turn.is_some_and(|(running, _)| running == *agent) {
            self.turn = None;
        }
        if gone.timers > 0 {
            self.timers.retain(|_, timer| timer.agent != *agent);
            self.by_name.retain(|(owner, _), _| owner != agent);
        }
        Ok(gone.mailbox.drain().collect())
    }

    /// Queue a message. `sender` is the core's word, not the caller's: the face passes the agent that is running.
    pub fn push(
        &mut self,
        to: &AgentId,
        letter: Letter<M>,
        lane: Lane,
    ) -> std::result::Result<(), Rejected<M>> {
        let Some(agent) = self.agents.get_mut(to) else {
            return Err(Rejected::Unknown(letter.message));
        };
        let size = letter.size;
        if lane == Lane::Ordinary && self.bytes.saturating_add(size) > self.limits.total_bytes {
            agent.refused += 1;
            return Err(Rejected::Full(letter.message));
        }
        if let Err(letter) = agent.mailbox.push(letter, lane, &self.limits.mailbox) {
            agent.refused += 1;
            return Err(Rejected::Full(letter.message));
        }
        self.bytes = self.bytes.saturating_add(size);
        self.list(*to);
        Ok(())
    }

    /// Put the agent at the end of the ready list if it has work, is not in it, and is not the one whose turn it is.
    fn list(&mut self, id: AgentId) {
        if self.turn.is_some_and(|(running, _)| running == id) {
            return;
        }
        if let Some(agent) = self.agents.get_mut(&id)
            && !agent.listed
            && agent.has_work()
        {
            agent.listed = true;
            self.ready.push_back(id);
        }
    }

    /// What to do next, or None when nobody has anything to do. Ends the turn of an agent that was left running.
    pub fn take(&mut self) -> Option<Next<M>> {
        loop {
            if let Some((id, left)) = self.turn.take() {
                if left > 0
                    && let Some(agent) = self.agents.get_mut(&id)
                    && agent.has_work()
                {
                    self.turn = Some((id, left - 1));
                    if agent.status == Status::Resuming {
                        agent.status = Status::Running;
                        return Some(Next::Resume(id));
                    }
                    if let Some(letter) = agent.mailbox.pop() {
                        agent.status = Status::Running;
                        self.bytes = self.bytes.saturating_sub(letter.size);
                        return Some(Next::Message(id, letter));
                    }
                }
                self.list(id);
            }
            let id = self.ready.pop_front()?;
            if let Some(agent) = self.agents.get_mut(&id) {
                agent.listed = false;
            }
            self.turn = Some((id, self.limits.quantum));
        }
    }

    /// Whether `take` would return something.
    pub fn has_ready(&self) -> bool {
        let works = |id: &AgentId| self.agents.get(id).is_some_and(Agent::has_work);
        // An agent whose resumed turn was abandoned may stand in the list with nothing to do.
        self.ready.iter().any(works) || self.turn.is_some_and(|(id, _)| works(&id))
    }

    /// The running agent has finished with what it was handed.
    pub fn done(&mut self, id: &AgentId) -> Result<()> {
        let agent = self.agents.get_mut(id).ok_or_else(|| unknown(id))?;
        agent.status = Status::Idle;
        agent.handled += 1;
        self.list(*id);
        Ok(())
    }

    /// The running agent's turn stays open; it is handed nothing until `resume`.
    pub fn wait(&mut self, id: &AgentId) -> Result<()> {
        let agent = self.agents.get_mut(id).ok_or_else(|| unknown(id))?;
        agent.status = Status::Waiting;
        Ok(())
    }

    /// Let a waiting turn go on. Refuses (Conflict) an agent whose turn does not wait.
    pub fn resume(&mut self, id: &AgentId) -> Result<()> {
        let agent = self.agents.get_mut(id).ok_or_else(|| unknown(id))?;
        if agent.status != Status::Waiting {
            return Err(Error::conflict(format!("{id} does not wait for anything")));
        }
        agent.status = Status::Resuming;
        self.list(*id);
        Ok(())
    }

    /// Drop the open turn of a waiting agent, as if it had ended.
    pub fn abandon(&mut self, id: &AgentId) -> Result<()> {
        let agent = self.agents.get_mut(id).ok_or_else(|| unknown(id))?;
        if matches!(agent.status, Status::Waiting | Status::Resuming) {
            agent.status = Status::Idle;
            self.list(*id);
        }
        Ok(())
    }

    pub fn is_waiting(&self, id: &AgentId) -> bool {
        self.agents
            .get(id)
            .is_some_and(|agent| agent.status == Status::Waiting)
    }

    pub fn counters(&self, id: &AgentId) -> Result<Counters> {
        let agent = self.agents.get(id).ok_or_else(|| unknown(id))?;
        Ok(Counters {
            handled: agent.handled,
            refused: agent.refused,
            depth: agent.mailbox.len(),
            bytes: agent.mailbox.bytes(),
        })
    }

    /// A message to itself in the reserved lane at `due_ms`; an id that is set already is set anew.
    /// The message of the timer that was replaced comes back.
    pub fn set_timer(
        &mut self,
        agent: &AgentId,
        id: &[u8],
        due_ms: u64,
        letter: Letter<M>,
    ) -> Result<Option<Letter<M>>> {
        let replaced = self.cancel_timer(agent, id);
        let owner = self.agents.get_mut(agent).ok_or_else(|| unknown(agent))?;
        if owner.timers >= self.limits.timers {
            return Err(
                Error::conflict(format!("{agent} has {} timers already", owner.timers))
                    .hint("cancel one first"),
            );
        }
        owner.timers += 1;
        self.serial += 1;
        let at = (due_ms, self.serial);
        self.timers.insert(
            at,
            Timer {
                agent: *agent,
                id: id.to_vec(),
                letter,
            },
        );
        self.by_name.insert((*agent, id.to_vec()), at);
        Ok(replaced)
    }

    /// The message of the timer, if it was set.
    pub fn cancel_timer(&mut self, agent: &AgentId, id: &[u8]) -> Option<Letter<M>> {
        let at = self.by_name.remove(&(*agent, id.to_vec()))?;
        if let Some(owner) = self.agents.get_mut(agent) {
            owner.timers = owner.timers.saturating_sub(1);
        }
        self.timers.remove(&at).map(|timer| timer.letter)
    }

    /// When the next timer falls due.
    pub fn next_due(&self) -> Option<u64> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    /// Deliver what is due at `now_ms`; the number delivered. One whose reserved lane is full stays due.
    pub fn advance(&mut self, now_ms: u64) -> usize {
        let due: Vec<_> = self
            .timers
            .range(..=(now_ms, u64::MAX))
            .map(|(at, _)| *at)
            .collect();
        let mut fired = 0;
        for at in due {
            let Some(timer) = self.timers.get(&at) else {
                continue;
            };
            let full = self
                .agents
                .get(&timer.agent)
                .is_none_or(|agent| !agent.mailbox.has_reserved_slot(&self.limits.mailbox));
            if full {
                continue;
            }
            let Some(timer) = self.timers.remove(&at) else {
                continue;
            };
            self.by_name.remove(&(timer.agent, timer.id));
            if let Some(owner) = self.agents.get_mut(&timer.agent) {
                owner.timers = owner.timers.saturating_sub(1);
            }
            if self
                .push(&timer.agent, timer.letter, Lane::Reserved)
                .is_ok()
            {
                fired += 1;
            }
        }
        fired
    }
}

fn unknown(agent: &AgentId) -> Error {
    Error::unknown(format!("{agent} does not live here"))
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
