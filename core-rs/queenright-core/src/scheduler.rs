//! Who runs next: an agent table, a fair ready list, waiting turns, timers. No clock, no threads, no Python.
//!
//! An agent is handed at most `quantum` messages, then the next ready one. While its turn waits it is handed nothing;
//! `resume` makes it ready again. Every message comes out exactly once, in order of arrival within its lane.
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::agent_id::AgentId;
use crate::error::{Error, Result};
use crate::id_index::{Id, IdIndex};
use crate::mailbox::{Bounds, Lane, Letter};
use crate::mailboxes::{Mailboxes, Place};

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

/// Ready agents from which on their memory is asked for ahead.
const MANY: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            quantum: 8,
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

/// An agent's place in the table, for whoever keeps things beside it. Valid until the agent is removed; then it names
/// nobody, also when the place has another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    place: u32,
    life: u32,
}

impl Key {
    pub fn place(self) -> usize {
        self.place as usize
    }
}

/// Why a message was not queued; it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected<M> {
    /// The mailbox or the cell's share of memory is full.
    Full(M),
    /// Nobody of that key lives here.
    Unknown(M),
}

/// What to do next. The agent is then running until `done` or `wait`.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<M> {
    Message(Key, Letter<M>),
    Resume(Key),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nobody lives in this place.
    Vacant,
    /// Nothing to do, or in the ready list if `listed`.
    Idle,
    Running,
    /// Its turn is open and waits for something.
    Waiting,
    /// Its turn may go on.
    Resuming,
}

/// One agent; 56 bytes. What waits for it is in `Mailboxes`, so that one with nothing to do costs no queue.
#[derive(Debug)]
struct Slot {
    id: AgentId,
    handled: u64,
    life: u32,
    refused: u32,
    mailbox: Option<Place>,
    timers: u16,
    status: Status,
    listed: bool,
}

impl Slot {
    const VACANT: Self = Self {
        id: AgentId::RUNTIME,
        handled: 0,
        life: 0,
        refused: 0,
        mailbox: None,
        timers: 0,
        status: Status::Vacant,
        listed: false,
    };

    fn has_work(&self) -> bool {
        match self.status {
            Status::Idle => self.mailbox.is_some(),
            Status::Resuming => true,
            Status::Vacant | Status::Running | Status::Waiting => false,
        }
    }
}

#[derive(Debug)]
struct Timer<M> {
    agent: Key,
    id: Vec<u8>,
    letter: Letter<M>,
}

/// See the module. `M` is whatever a message is to the caller.
#[derive(Debug)]
pub struct Scheduler<M> {
    limits: Limits,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    index: IdIndex,
    mail: Mailboxes<M>,
    ready: VecDeque<Key>,
    /// The agent whose turn it is, and how many messages it may still take.
    turn: Option<(Key, u32)>,
    bytes: usize,
    /// Due time in ms and a serial, so that equal times fire in the order they were set.
    timers: BTreeMap<(u64, u64), Timer<M>>,
    by_name: HashMap<(Key, Vec<u8>), (u64, u64)>,
    serial: u64,
}

impl<M> Scheduler<M> {
    /// Refuses (Malformed) a quantum of 0.
    pub fn new(limits: Limits) -> Result<Self> {
        if limits.quantum == 0 {
            return Err(Error::malformed(
                "a quantum of 0 messages would let nobody run",
            ));
        }
        Ok(Self {
            limits,
            slots: Vec::new(),
            vacant: Vec::new(),
            index: IdIndex::default(),
            mail: Mailboxes::new(limits.mailbox),
            ready: VecDeque::new(),
            turn: None,
            bytes: 0,
            timers: BTreeMap::new(),
            by_name: HashMap::new(),
            serial: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The key of an agent that lives here.
    pub fn find(&self, agent: &AgentId) -> Option<Key> {
        let place = self
            .index
            .find(&agent.0, |place| id_at(&self.slots, place))?;
        let life = self.slots.get(place as usize)?.life;
        Some(Key { place, life })
    }

    /// As `find`. Refuses (Unknown) an id that does not live here.
    pub fn key(&self, agent: &AgentId) -> Result<Key> {
        self.find(agent).ok_or_else(|| unknown(agent))
    }

    /// Whose key it is, while that agent lives here.
    pub fn id(&self, key: Key) -> Option<&AgentId> {
        self.slot(key).map(|slot| &slot.id)
    }

    fn slot(&self, key: Key) -> Option<&Slot> {
        self.slots
            .get(key.place())
            .filter(|slot| slot.life == key.life && slot.status != Status::Vacant)
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.place())
            .filter(|slot| slot.life == key.life && slot.status != Status::Vacant)
    }

    fn must(&mut self, key: Key) -> Result<&mut Slot> {
        self.slot_mut(key)
            .ok_or_else(|| Error::unknown("that agent does not live here any more"))
    }

    /// Refuses (Conflict) an id that lives here already, and the runtime's own.
    pub fn add(&mut self, agent: AgentId) -> Result<Key> {
        if agent == AgentId::RUNTIME {
            return Err(Error::malformed("the id of all zeros is the runtime's"));
        }
        if self.find(&agent).is_some() {
            return Err(Error::conflict(format!("{agent} lives here already")));
        }
        let place = match self.vacant.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.slots.len())
                    .map_err(|_| Error::conflict("this cell has no place for another agent"))?;
                self.slots.push(Slot::VACANT);
                place
            }
        };
        let Some(slot) = self.slots.get_mut(place as usize) else {
            return Err(Error::conflict("this cell has no place for another agent"));
        };
        *slot = Slot {
            id: agent,
            life: slot.life,
            status: Status::Idle,
            ..Slot::VACANT
        };
        let life = slot.life;
        let slots = &self.slots;
        self.index
            .insert(&agent.0, place, |place| id_at(slots, place));
        Ok(Key { place, life })
    }

    /// Forget an agent, its timers and its open turn; what it had not handled comes back in order.
    pub fn remove(&mut self, key: Key) -> Result<Vec<Letter<M>>> {
        let slot = self.must(key)?;
        let (id, listed, timers) = (slot.id, slot.listed, slot.timers);
        let mut mailbox = slot.mailbox.take();
        slot.status = Status::Vacant;
        slot.life = slot.life.wrapping_add(1);
        let slots = &self.slots;
        self.index.remove(&id.0, |place| id_at(slots, place));
        self.vacant.push(key.place);
        self.bytes = self.bytes.saturating_sub(self.mail.bytes(mailbox));
        if listed {
            self.ready.retain(|listed| *listed != key);
        }
        if self.turn.is_some_and(|(running, _)| running == key) {
            self.turn = None;
        }
        if timers > 0 {
            self.timers.retain(|_, timer| timer.agent != key);
            self.by_name.retain(|(owner, _), _| *owner != key);
        }
        Ok(self.mail.drain(&mut mailbox))
    }

    /// Queue a message. `sender` is the core's word, not the caller's: the face passes the agent that is running.
    pub fn push(
        &mut self,
        to: Key,
        letter: Letter<M>,
        lane: Lane,
    ) -> std::result::Result<(), Rejected<M>> {
        let Some(slot) = self
            .slots
            .get_mut(to.place())
            .filter(|slot| slot.life == to.life && slot.status != Status::Vacant)
        else {
            return Err(Rejected::Unknown(letter.message));
        };
        let size = letter.size;
        if lane == Lane::Ordinary && self.bytes.saturating_add(size) > self.limits.total_bytes {
            slot.refused = slot.refused.saturating_add(1);
            return Err(Rejected::Full(letter.message));
        }
        if let Err(letter) = self.mail.push(&mut slot.mailbox, letter, lane) {
            slot.refused = slot.refused.saturating_add(1);
            return Err(Rejected::Full(letter.message));
        }
        self.bytes = self.bytes.saturating_add(size);
        self.list(to);
        Ok(())
    }

    /// Put the agent at the end of the ready list if it has work, is not in it, and is not the one whose turn it is.
    fn list(&mut self, key: Key) {
        if self.turn.is_some_and(|(running, _)| running == key) {
            return;
        }
        if let Some(slot) = self.slot_mut(key)
            && !slot.listed
            && slot.has_work()
        {
            slot.listed = true;
            self.ready.push_back(key);
        }
    }

    /// What to do next, or None when nobody has anything to do. Ends the turn of an agent that was left running.
    pub fn take(&mut self) -> Option<Next<M>> {
        loop {
            if let Some((key, left)) = self.turn.take() {
                if left > 0
                    && let Some(slot) = self
                        .slots
                        .get_mut(key.place())
                        .filter(|slot| slot.life == key.life && slot.has_work())
                {
                    self.turn = Some((key, left - 1));
                    if slot.status == Status::Resuming {
                        slot.status = Status::Running;
                        return Some(Next::Resume(key));
                    }
                    if let Some(letter) = self.mail.pop(&mut slot.mailbox) {
                        slot.status = Status::Running;
                        self.bytes = self.bytes.saturating_sub(letter.size);
                        return Some(Next::Message(key, letter));
                    }
                }
                self.turn = None;
                self.list(key);
            }
            let key = self.ready.pop_front()?;
            if let Some(slot) = self.slot_mut(key) {
                slot.listed = false;
            }
            self.turn = Some((key, self.limits.quantum));
        }
    }

    /// The next `N` agents of the ready list, with the memory of their places and mailboxes asked for together: among
    /// many agents each is a chain of places that are in no cache, and waiting for several chains takes as long as for
    /// one. None while so few are ready that the caches hold them.
    pub fn coming<const N: usize>(&self) -> Option<[Key; N]> {
        if self.ready.len() < MANY {
            return None;
        }
        let mut next = self.ready.iter();
        let first = *next.next()?;
        let keys: [Key; N] = std::array::from_fn(|at| match at {
            0 => first,
            _ => next.next().copied().unwrap_or(first),
        });
        let places = keys.map(|key| self.slots.get(key.place()).and_then(|slot| slot.mailbox));
        std::hint::black_box(places.map(|place| self.mail.len(place)));
        Some(keys)
    }

    /// Whether `take` would return something.
    pub fn has_ready(&self) -> bool {
        let works = |key: Key| self.slot(key).is_some_and(Slot::has_work);
        // An agent whose resumed turn was abandoned may stand in the list with nothing to do.
        self.ready.iter().any(|key| works(*key)) || self.turn.is_some_and(|(key, _)| works(key))
    }

    /// The running agent has finished with what it was handed.
    pub fn done(&mut self, key: Key) -> Result<()> {
        let slot = self.must(key)?;
        slot.status = Status::Idle;
        slot.handled += 1;
        self.list(key);
        Ok(())
    }

    /// The running agent's turn stays open; it is handed nothing until `resume`.
    pub fn wait(&mut self, key: Key) -> Result<()> {
        self.must(key)?.status = Status::Waiting;
        Ok(())
    }

    /// Let a waiting turn go on. Refuses (Conflict) an agent whose turn does not wait.
    pub fn resume(&mut self, key: Key) -> Result<()> {
        let slot = self.must(key)?;
        if slot.status != Status::Waiting {
            let id = slot.id;
            return Err(Error::conflict(format!("{id} does not wait for anything")));
        }
        slot.status = Status::Resuming;
        self.list(key);
        Ok(())
    }

    /// Drop the open turn of a waiting agent, as if it had ended.
    pub fn abandon(&mut self, key: Key) -> Result<()> {
        let slot = self.must(key)?;
        if matches!(slot.status, Status::Waiting | Status::Resuming) {
            slot.status = Status::Idle;
            self.list(key);
        }
        Ok(())
    }

    pub fn is_waiting(&self, key: Key) -> bool {
        self.slot(key)
            .is_some_and(|slot| slot.status == Status::Waiting)
    }

    /// Nothing waits for it, its turn is not open: it may be put to sleep.
    pub fn is_idle(&self, key: Key) -> bool {
        self.slot(key)
            .is_some_and(|slot| slot.status == Status::Idle && slot.mailbox.is_none())
    }

    pub fn counters(&self, key: Key) -> Option<Counters> {
        let slot = self.slot(key)?;
        Some(Counters {
            handled: slot.handled,
            refused: u64::from(slot.refused),
            depth: self.mail.len(slot.mailbox),
            bytes: self.mail.bytes(slot.mailbox),
        })
    }

    /// A message to itself in the reserved lane at `due_ms`; an id that is set already is set anew.
    /// The message of the timer that was replaced comes back.
    pub fn set_timer(
        &mut self,
        agent: Key,
        id: &[u8],
        due_ms: u64,
        letter: Letter<M>,
    ) -> Result<Option<Letter<M>>> {
        let replaced = self.cancel_timer(agent, id);
        let most = self.limits.timers;
        let owner = self.must(agent)?;
        if usize::from(owner.timers) >= most {
            return Err(Error::conflict(format!(
                "{} has {} timers already",
                owner.id, owner.timers
            ))
            .hint("cancel one first"));
        }
        owner.timers += 1;
        self.serial += 1;
        let at = (due_ms, self.serial);
        self.timers.insert(
            at,
            Timer {
                agent,
                id: id.to_vec(),
                letter,
            },
        );
        self.by_name.insert((agent, id.to_vec()), at);
        Ok(replaced)
    }

    /// The message of the timer, if it was set.
    pub fn cancel_timer(&mut self, agent: Key, id: &[u8]) -> Option<Letter<M>> {
        let at = self.by_name.remove(&(agent, id.to_vec()))?;
        if let Some(owner) = self.slot_mut(agent) {
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
                .slot(timer.agent)
                .is_none_or(|slot| !self.mail.has_reserved_slot(slot.mailbox));
            if full {
                continue;
            }
            let Some(timer) = self.timers.remove(&at) else {
                continue;
            };
            self.by_name.remove(&(timer.agent, timer.id));
            if let Some(owner) = self.slot_mut(timer.agent) {
                owner.timers = owner.timers.saturating_sub(1);
            }
            if self.push(timer.agent, timer.letter, Lane::Reserved).is_ok() {
                fired += 1;
            }
        }
        fired
    }
}

fn id_at(slots: &[Slot], place: u32) -> Option<&Id> {
    slots.get(place as usize).map(|slot| &slot.id.0)
}

fn unknown(agent: &AgentId) -> Error {
    Error::unknown(format!("{agent} does not live here"))
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
