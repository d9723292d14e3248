//! The scheduler against a model small enough to be read: whatever is pushed, taken, waited for, removed or timed, every
//! message comes out once or comes back, in order within its lane from each sender, and an agent is in one place at a time.
use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use queenright_core::agent_id::AgentId;
use queenright_core::mailbox::{Bounds, Lane, Letter};
use queenright_core::scheduler::{Key, Limits, Next, Rejected, Scheduler};

const AGENTS: u8 = 5;
const LIMITS: Limits = Limits {
    quantum: 3,
    mailbox: Bounds {
        messages: 6,
        bytes: 40,
        reserved: 2,
    },
    total_bytes: 100,
    timers: 3,
};

#[derive(Clone, Debug)]
enum Act {
    Add(u8),
    Remove(u8),
    Push {
        to: u8,
        from: u8,
        size: usize,
        reserved: bool,
    },
    /// Take what is next and do this with it.
    Take(End),
    Resume(u8),
    Abandon(u8),
    SetTimer {
        of: u8,
        name: u8,
        after: u64,
    },
    CancelTimer {
        of: u8,
        name: u8,
    },
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Wait,
    /// The agent ends inside its own turn.
    Leave,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let agent = || 1..=AGENTS;
    let end = prop_oneof![6 => Just(End::Done), 3 => Just(End::Wait), 1 => Just(End::Leave)];
    let act = prop_oneof![
        2 => agent().prop_map(Act::Add),
        1 => agent().prop_map(Act::Remove),
        12 => (agent(), agent(), 0..12usize, prop::bool::weighted(0.2)).prop_map(|(to, from, size, reserved)| Act::Push { to, from, size, reserved }),
        12 => end.prop_map(Act::Take),
        4 => agent().prop_map(Act::Resume),
        1 => agent().prop_map(Act::Abandon),
        3 => (agent(), 0..5u8, 0..20u64).prop_map(|(of, name, after)| Act::SetTimer { of, name, after }),
        1 => (agent(), 0..5u8).prop_map(|(of, name)| Act::CancelTimer { of, name }),
        2 => (0..15u64).prop_map(Act::Advance),
    ];
    prop::collection::vec(act, 0..250)
}

/// What a message is: where it came from and when, so that order can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    serial: u64,
    size: usize,
}

#[derive(Default)]
struct Agent {
    ordinary: VecDeque<(u8, Note)>,
    reserved: VecDeque<(u8, Note)>,
    waiting: bool,
    resumed: bool,
    timers: BTreeMap<u8, (u64, u64, Note)>,
}

impl Agent {
    fn bytes(&self) -> usize {
        self.ordinary
            .iter()
            .chain(&self.reserved)
            .map(|(_, note)| note.size)
            .sum()
    }

    fn has_work(&self) -> bool {
        if self.waiting {
            self.resumed
        } else {
            !self.ordinary.is_empty() || !self.reserved.is_empty()
        }
    }
}

struct World {
    real: Scheduler<Note>,
    /// A key whose agent was removed: it names nobody.
    nobody: Key,
    model: BTreeMap<u8, Agent>,
    serial: u64,
    now: u64,
    accepted: u64,
    out: u64,
}

fn id(agent: u8) -> AgentId {
    AgentId([agent; 32])
}

fn number(id: AgentId) -> u8 {
    id.0[0]
}

impl World {
    fn new() -> Self {
        let mut real = Scheduler::new(LIMITS).expect("a quantum above 0");
        let nobody = real.add(id(u8::MAX)).expect("nobody lives here yet");
        real.remove(nobody).expect("it lives here");
        Self {
            real,
            nobody,
            model: BTreeMap::new(),
            serial: 0,
            now: 0,
            accepted: 0,
            out: 0,
        }
    }

    fn key(&self, who: u8) -> Key {
        self.real.find(&id(who)).unwrap_or(self.nobody)
    }

    fn who(&self, key: Key) -> u8 {
        number(*self.real.id(key).expect("who runs lives here"))
    }

    fn note(&mut self, size: usize) -> Note {
        self.serial += 1;
        Note {
            serial: self.serial,
            size,
        }
    }

    fn total(&self) -> usize {
        self.model.values().map(Agent::bytes).sum()
    }

    fn push(&mut self, to: u8, from: u8, size: usize, reserved: bool) {
        let note = self.note(size);
        let total = self.total();
        let letter = Letter {
            sender: id(from),
            size,
            message: note,
        };
        let lane = if reserved {
            Lane::Reserved
        } else {
            Lane::Ordinary
        };
        let pushed = self.real.push(self.key(to), letter, lane);
        let Some(agent) = self.model.get_mut(&to) else {
            assert_eq!(pushed, Err(Rejected::Unknown(note)));
            return;
        };
        let fits = if reserved {
            agent.reserved.len() < LIMITS.mailbox.reserved
        } else {
            agent.ordinary.len() < LIMITS.mailbox.messages
                && agent.bytes() + size <= LIMITS.mailbox.bytes
                && total + size <= LIMITS.total_bytes
        };
        if !fits {
            assert_eq!(
                pushed,
                Err(Rejected::Full(note)),
                "a full mailbox hands the message back"
            );
            return;
        }
        assert_eq!(pushed, Ok(()), "there was room");
        let queue = if reserved {
            &mut agent.reserved
        } else {
            &mut agent.ordinary
        };
        queue.push_back((from, note));
        self.accepted += 1;
    }

    fn take(&mut self, end: End) {
        let expected = self.model.values().any(Agent::has_work);
        assert_eq!(self.real.has_ready(), expected, "whether somebody has work");
        let who = match self.real.take() {
            None => {
                assert!(!expected, "work was left lying");
                return;
            }
            Some(Next::Resume(key)) => {
                let who = self.who(key);
                let agent = self.model.get_mut(&who).expect("who runs lives here");
                assert!(
                    agent.waiting && agent.resumed,
                    "a turn went on that nobody resumed"
                );
                (agent.waiting, agent.resumed) = (false, false);
                key
            }
            Some(Next::Message(key, letter)) => {
                let who = self.who(key);
                let agent = self.model.get_mut(&who).expect("who runs lives here");
                assert!(!agent.waiting, "a waiting agent was handed a message");
                let next = agent
                    .reserved
                    .pop_front()
                    .or_else(|| agent.ordinary.pop_front());
                let (from, note) = next.expect("a message that was never pushed");
                assert_eq!(
                    (letter.sender, letter.message),
                    (id(from), note),
                    "out of order"
                );
                self.out += 1;
                key
            }
        };
        let number = self.who(who);
        match end {
            End::Done => self.real.done(who).expect("it lives here"),
            End::Wait => {
                self.real.wait(who).expect("it lives here");
                if let Some(agent) = self.model.get_mut(&number) {
                    agent.waiting = true;
                }
                assert!(self.real.is_waiting(who));
            }
            End::Leave => self.remove(number),
        }
    }

    fn remove(&mut self, who: u8) {
        let back = self.real.remove(self.key(who));
        let Some(agent) = self.model.remove(&who) else {
            assert!(back.is_err());
            return;
        };
        let back: Vec<(u8, Note)> = back
            .expect("it lived here")
            .into_iter()
            .map(|letter| (number(letter.sender), letter.message))
            .collect();
        let left: Vec<(u8, Note)> = agent.reserved.into_iter().chain(agent.ordinary).collect();
        assert_eq!(back, left, "what was not handled comes back, in order");
        self.out += left.len() as u64;
    }

    fn set_timer(&mut self, of: u8, name: u8, after: u64) {
        let note = self.note(1);
        let due = self.now + after;
        let letter = Letter {
            sender: AgentId::RUNTIME,
            size: 1,
            message: note,
        };
        let set = self.real.set_timer(self.key(of), &[name], due, letter);
        let Some(agent) = self.model.get_mut(&of) else {
            assert!(set.is_err());
            return;
        };
        let replaced = agent.timers.remove(&name);
        if agent.timers.len() >= LIMITS.timers {
            assert!(set.is_err(), "more timers than the bound");
            return;
        }
        assert_eq!(
            set.expect("there was room").map(|letter| letter.message),
            replaced.map(|(_, _, note)| note)
        );
        agent.timers.insert(name, (due, note.serial, note));
    }

    fn advance(&mut self, by: u64) {
        self.now += by;
        let fired = self.real.advance(self.now);
        let mut due: Vec<(u64, u64, u8, u8)> = Vec::new();
        for (who, agent) in &self.model {
            for (name, (at, serial, _)) in &agent.timers {
                if *at <= self.now {
                    due.push((*at, *serial, *who, *name));
                }
            }
        }
        due.sort_unstable();
        let mut expected = 0;
        for (_, _, who, name) in due {
            let agent = self.model.get_mut(&who).expect("it has a timer");
            if agent.reserved.len() < LIMITS.mailbox.reserved
                && let Some((_, _, note)) = agent.timers.remove(&name)
            {
                agent.reserved.push_back((0, note));
                self.accepted += 1;
                expected += 1;
            }
        }
        assert_eq!(
            fired, expected,
            "timers fire once, when due, where there is room"
        );
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Add(who) => {
                assert_eq!(
                    self.real.add(id(who)).is_ok(),
                    !self.model.contains_key(&who)
                );
                self.model.entry(who).or_default();
            }
            Act::Remove(who) => self.remove(who),
            Act::Push {
                to,
                from,
                size,
                reserved,
            } => self.push(to, from, size, reserved),
            Act::Take(end) => self.take(end),
            Act::Resume(who) => {
                let can = self
                    .model
                    .get(&who)
                    .is_some_and(|agent| agent.waiting && !agent.resumed);
                assert_eq!(
                    self.real.resume(self.key(who)).is_ok(),
                    can,
                    "only a waiting turn goes on, once"
                );
                if can && let Some(agent) = self.model.get_mut(&who) {
                    agent.resumed = true;
                }
            }
            Act::Abandon(who) => {
                let found = self.real.abandon(self.key(who));
                if let Some(agent) = self.model.get_mut(&who) {
                    found.expect("it lives here");
                    (agent.waiting, agent.resumed) = (false, false);
                }
            }
            Act::SetTimer { of, name, after } => self.set_timer(of, name, after),
            Act::CancelTimer { of, name } => {
                let found = self
                    .real
                    .cancel_timer(self.key(of), &[name])
                    .map(|letter| letter.message);
                let known = self
                    .model
                    .get_mut(&of)
                    .and_then(|agent| agent.timers.remove(&name));
                assert_eq!(found, known.map(|(_, _, note)| note));
            }
            Act::Advance(by) => self.advance(by),
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.real.len(), self.model.len());
        for (who, agent) in &self.model {
            let counters = self.real.counters(self.key(*who)).expect("it lives here");
            assert_eq!(counters.depth, agent.ordinary.len() + agent.reserved.len());
            assert_eq!(counters.bytes, agent.bytes());
        }
        let next = self
            .model
            .values()
            .flat_map(|agent| agent.timers.values().map(|(due, _, _)| *due))
            .min();
        assert_eq!(self.real.next_due(), next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 512 }))]

    #[test]
    fn nothing_is_lost_doubled_or_reordered_whatever_stops(acts in acts()) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        // Let everybody finish: whoever waits is resumed, and all that was accepted comes out.
        for who in 1..=AGENTS {
            world.act(Act::Resume(who));
        }
        while world.real.has_ready() {
            world.act(Act::Take(End::Done));
        }
        prop_assert_eq!(world.accepted, world.out, "a message is lost or doubled");
    }
}

/// Of agents that all have work, none is handed a second quantum before each has had its first.
#[test]
fn nobody_waits_longer_than_one_quantum_of_each_other() {
    let mut world = World::new();
    for who in 1..=AGENTS {
        world.act(Act::Add(who));
    }
    for _ in 0..6 {
        for who in 1..=AGENTS {
            world.act(Act::Push {
                to: who,
                from: who,
                size: 1,
                reserved: false,
            });
        }
    }
    let mut order = Vec::new();
    while let Some(Next::Message(who, _)) = world.real.take() {
        order.push(world.who(who));
        world.real.done(who).expect("it lives here");
    }
    let quantum = LIMITS.quantum as usize;
    for round in order.chunks(quantum * usize::from(AGENTS)) {
        for turn in round.chunks(quantum) {
            assert!(turn.iter().all(|who| *who == turn[0]), "{order:?}");
        }
        let mut heads: Vec<u8> = round.chunks(quantum).map(|turn| turn[0]).collect();
        heads.sort_unstable();
        assert_eq!(heads, (1..=AGENTS).collect::<Vec<_>>(), "{order:?}");
    }
}
