use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// The key of agent `n`, or of nobody: one that was removed.
fn key(scheduler: &Scheduler<u64>, n: u8) -> Key {
    scheduler.find(&id(n)).unwrap_or(Key {
        place: u32::MAX,
        life: 0,
    })
}

fn id(n: u8) -> AgentId {
    AgentId([n; 32])
}

fn letter(sender: u8, message: u64) -> Letter<u64> {
    Letter {
        sender: id(sender),
        size: 1,
        message,
    }
}

fn scheduler(quantum: u32, agents: u8) -> Scheduler<u64> {
    let mut scheduler = Scheduler::new(Limits {
        quantum,
        ..Limits::default()
    })
    .unwrap();
    for n in 1..=agents {
        scheduler.add(id(n)).unwrap();
    }
    scheduler
}

/// Takes the next message; whose it is and what it says.
fn message(scheduler: &mut Scheduler<u64>) -> (AgentId, u64) {
    match scheduler.take() {
        Some(Next::Message(agent, letter)) => (*scheduler.id(agent).unwrap(), letter.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flooded_agent_runs_a_quantum_and_then_lets_the_others() {
    let mut scheduler = scheduler(3, 2);
    for n in 0..10 {
        scheduler
            .push(key(&scheduler, 1), letter(9, n), Lane::Ordinary)
            .unwrap();
    }
    scheduler
        .push(key(&scheduler, 2), letter(9, 100), Lane::Ordinary)
        .unwrap();
    let mut order = Vec::new();
    while let Some(Next::Message(agent, letter)) = scheduler.take() {
        order.push(letter.message);
        scheduler.done(agent).unwrap();
    }
    assert_eq!(order, [0, 1, 2, 100, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn waiting_agent_is_handed_nothing_until_it_is_resumed() {
    let mut scheduler = scheduler(8, 2);
    scheduler
        .push(key(&scheduler, 1), letter(2, 1), Lane::Ordinary)
        .unwrap();
    scheduler
        .push(key(&scheduler, 1), letter(2, 2), Lane::Reserved)
        .unwrap();
    assert_eq!(message(&mut scheduler), (id(1), 2));
    scheduler.wait(key(&scheduler, 1)).unwrap();
    assert!(scheduler.take().is_none() && !scheduler.has_ready());
    scheduler
        .push(key(&scheduler, 2), letter(1, 3), Lane::Ordinary)
        .unwrap();
    assert_eq!(message(&mut scheduler), (id(2), 3));
    scheduler.resume(key(&scheduler, 1)).unwrap();
    scheduler.done(key(&scheduler, 2)).unwrap();
    assert_eq!(scheduler.take(), Some(Next::Resume(key(&scheduler, 1))));
    scheduler.done(key(&scheduler, 1)).unwrap();
    assert_eq!(message(&mut scheduler), (id(1), 1));
}

#[test]
fn only_a_waiting_turn_can_be_resumed() {
    let mut scheduler = scheduler(8, 1);
    assert_eq!(
        scheduler.resume(key(&scheduler, 1)).unwrap_err().kind,
        crate::error::Kind::Conflict
    );
    assert_eq!(
        scheduler.resume(key(&scheduler, 5)).unwrap_err().kind,
        crate::error::Kind::Unknown
    );
}

#[test]
fn abandoned_turn_that_was_resumed_leaves_nothing_ready() {
    let mut scheduler = scheduler(2, 1);
    scheduler
        .push(key(&scheduler, 1), letter(1, 1), Lane::Ordinary)
        .unwrap();
    message(&mut scheduler);
    scheduler.wait(key(&scheduler, 1)).unwrap();
    assert_eq!(scheduler.take(), None);
    scheduler.resume(key(&scheduler, 1)).unwrap();
    scheduler.abandon(key(&scheduler, 1)).unwrap();
    assert!(!scheduler.has_ready());
    assert_eq!(scheduler.take(), None);
}

#[test]
fn removed_agent_gives_back_what_it_had_not_handled() {
    let mut scheduler = scheduler(8, 2);
    for n in 0..3 {
        scheduler
            .push(key(&scheduler, 1), letter(2, n), Lane::Ordinary)
            .unwrap();
    }
    scheduler
        .set_timer(key(&scheduler, 1), b"t", 5, letter(1, 9))
        .unwrap();
    let left: Vec<u64> = scheduler
        .remove(key(&scheduler, 1))
        .unwrap()
        .into_iter()
        .map(|l| l.message)
        .collect();
    assert_eq!(left, [0, 1, 2]);
    assert!(scheduler.take().is_none());
    assert_eq!(scheduler.next_due(), None);
    assert_eq!(
        scheduler.push(key(&scheduler, 1), letter(2, 7), Lane::Ordinary),
        Err(Rejected::Unknown(7))
    );
    scheduler.add(id(1)).unwrap();
    assert!(scheduler.take().is_none());
}

#[test]
fn key_of_a_removed_agent_names_nobody_when_its_place_has_another_tenant() {
    let mut scheduler = scheduler(8, 1);
    let old = key(&scheduler, 1);
    scheduler.remove(old).unwrap();
    let new = scheduler.add(id(2)).unwrap();
    assert_eq!(new.place(), old.place());
    assert_eq!(
        scheduler.push(old, letter(3, 7), Lane::Ordinary),
        Err(Rejected::Unknown(7))
    );
    assert!(scheduler.id(old).is_none() && scheduler.done(old).is_err());
    assert!(scheduler.take().is_none());
}

#[test]
fn sleeping_agent_costs_its_slot_and_no_queue() {
    assert!(size_of::<Slot>() <= 56, "{}", size_of::<Slot>());
}

#[test]
fn cell_bounds_the_bytes_of_all_mailboxes_together() {
    let limits = Limits {
        total_bytes: 10,
        ..Limits::default()
    };
    let mut scheduler = Scheduler::new(limits).unwrap();
    scheduler.add(id(1)).unwrap();
    scheduler.add(id(2)).unwrap();
    let big = |message| Letter {
        sender: id(1),
        size: 6,
        message,
    };
    scheduler
        .push(key(&scheduler, 1), big(1), Lane::Ordinary)
        .unwrap();
    assert_eq!(
        scheduler.push(key(&scheduler, 2), big(2), Lane::Ordinary),
        Err(Rejected::Full(2))
    );
    assert_eq!(scheduler.counters(key(&scheduler, 2)).unwrap().refused, 1);
    message(&mut scheduler);
    scheduler.done(key(&scheduler, 1)).unwrap();
    scheduler
        .push(key(&scheduler, 2), big(2), Lane::Ordinary)
        .unwrap();
}

#[test]
fn timers_fire_in_order_once_and_a_renewed_one_replaces_the_old() {
    let mut scheduler = scheduler(8, 1);
    scheduler
        .set_timer(key(&scheduler, 1), b"a", 20, letter(1, 1))
        .unwrap();
    scheduler
        .set_timer(key(&scheduler, 1), b"b", 10, letter(1, 2))
        .unwrap();
    scheduler
        .set_timer(key(&scheduler, 1), b"a", 30, letter(1, 3))
        .unwrap();
    scheduler
        .set_timer(key(&scheduler, 1), b"c", 10, letter(1, 4))
        .unwrap();
    assert_eq!(
        scheduler
            .cancel_timer(key(&scheduler, 1), b"c")
            .map(|l| l.message),
        Some(4)
    );
    assert!(scheduler.cancel_timer(key(&scheduler, 1), b"c").is_none());
    assert_eq!((scheduler.next_due(), scheduler.advance(9)), (Some(10), 0));
    assert_eq!(scheduler.advance(40), 2);
    assert_eq!(scheduler.advance(40), 0);
    assert_eq!(message(&mut scheduler).1, 2);
    scheduler.done(key(&scheduler, 1)).unwrap();
    assert_eq!(message(&mut scheduler).1, 3);
}

#[test]
fn timers_of_one_agent_are_bounded() {
    let mut scheduler = scheduler(8, 1);
    for n in 0..64u64 {
        scheduler
            .set_timer(key(&scheduler, 1), &n.to_be_bytes(), n, letter(1, n))
            .unwrap();
    }
    assert!(
        scheduler
            .set_timer(key(&scheduler, 1), b"one more", 1, letter(1, 1))
            .is_err()
    );
}

#[derive(Clone, Debug)]
enum Act {
    Push(u8, u8, bool),
    Step(bool),
    Resume(u8),
    Remove(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1u8..5, 1u8..5, any::<bool>()).prop_map(|(a, b, c)| Act::Push(a, b, c)),
        6 => any::<bool>().prop_map(Act::Step),
        3 => (1u8..5).prop_map(Act::Resume),
        1 => (1u8..5).prop_map(Act::Remove),
    ];
    proptest::collection::vec(act, 0..200)
}

proptest! {
    /// No message is lost or handed out twice, none comes out of order within its pair and lane, bounds hold, and
    /// nobody is passed over: a ready agent runs before any other has run twice its quantum.
    #[test]
    fn every_message_comes_out_once_in_order_and_in_turn(acts in acts(), quantum in 1u32..5) {
        let bounds = Bounds { messages: 6, bytes: 1000, reserved: 2 };
        let mut scheduler =
            Scheduler::new(Limits { quantum, mailbox: bounds, ..Limits::default() }).unwrap();
        for n in 1..5 {
            scheduler.add(id(n)).unwrap();
        }
        let mut waiting: HashSet<AgentId> = HashSet::new();
        let mut accepted: HashSet<u64> = HashSet::new();
        let mut seen: HashSet<u64> = HashSet::new();
        let mut last: HashMap<(AgentId, AgentId, bool), u64> = HashMap::new();
        let mut reserved: HashSet<u64> = HashSet::new();
        let mut runs: (Option<AgentId>, u32) = (None, 0);
        let mut serial = 0;
        for act in acts {
            match act {
                Act::Push(to, from, first) => {
                    serial += 1;
                    let lane = if first { Lane::Reserved } else { Lane::Ordinary };
                    match scheduler.push(key(&scheduler, to), letter(from, serial), lane) {
                        Ok(()) => {
                            accepted.insert(serial);
                            if first { reserved.insert(serial); }
                        }
                        Err(Rejected::Full(back) | Rejected::Unknown(back)) => prop_assert_eq!(back, serial),
                    }
                }
                Act::Step(wait) => {
                    let before: Vec<AgentId> = scheduler.ready.iter().map(|key| *scheduler.id(*key).unwrap()).collect();
                    let Some(next) = scheduler.take() else {
                        runs = (None, 0);
                        for n in 1..5 {
                            if let Some(counters) = scheduler.counters(key(&scheduler, n)) {
                                prop_assert!(counters.depth == 0 || waiting.contains(&id(n)));
                            }
                        }
                        continue;
                    };
                    let running = match &next { Next::Message(key, _) | Next::Resume(key) => *key };
                    let agent = *scheduler.id(running).unwrap();
                    let others_ready = before.iter().any(|other| *other != agent);
                    let count = if runs.0 == Some(agent) { runs.1 + 1 } else { 1 };
                    runs = (Some(agent), if others_ready { count } else { 0 });
                    prop_assert!(runs.1 <= quantum, "{agent} ran {} times while others were ready", runs.1);
                    match next {
                        Next::Message(_, letter) => {
                            prop_assert!(!waiting.contains(&agent));
                            prop_assert!(accepted.contains(&letter.message));
                            prop_assert!(seen.insert(letter.message), "handed out twice");
                            let lane = reserved.contains(&letter.message);
                            let before = last.insert((letter.sender, agent, lane), letter.message);
                            prop_assert!(before.is_none_or(|before| before < letter.message));
                        }
                        Next::Resume(_) => prop_assert!(waiting.remove(&agent)),
                    }
                    if wait {
                        scheduler.wait(running).unwrap();
                        waiting.insert(agent);
                    } else {
                        scheduler.done(running).unwrap();
                    }
                }
                Act::Resume(n) => {
                    let could = scheduler.is_waiting(key(&scheduler, n));
                    prop_assert_eq!(scheduler.resume(key(&scheduler, n)).is_ok(), could);
                }
                Act::Remove(n) => {
                    if let Ok(left) = scheduler.remove(key(&scheduler, n)) {
                        for letter in left {
                            prop_assert!(seen.insert(letter.message), "removed and handed out");
                        }
                        waiting.remove(&id(n));
                    }
                }
            }
            for n in 1..5 {
                if let Some(counters) = scheduler.counters(key(&scheduler, n)) {
                    prop_assert!(counters.depth <= bounds.messages + bounds.reserved);
                }
            }
        }
        let waits: Vec<AgentId> = waiting.iter().copied().collect();
        for agent in waits {
            let key = scheduler.find(&agent).unwrap();
            scheduler.abandon(key).unwrap();
        }
        while let Some(Next::Message(agent, letter)) = scheduler.take() {
            prop_assert!(seen.insert(letter.message));
            scheduler.done(agent).unwrap();
        }
        prop_assert_eq!(seen, accepted);
        prop_assert_eq!(scheduler.bytes, 0);
    }
}
