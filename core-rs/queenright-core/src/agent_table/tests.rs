//! The table against a model that keeps a plain map of plain records and goes through all of them.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::birth_batch::{Args, BirthBatch, Template};

#[derive(Debug, Clone)]
enum Step {
    Single {
        parent: usize,
        intent: u8,
        under: bool,
        own_cell: bool,
    },
    Batch {
        parent: usize,
        count: u32,
        listed: bool,
    },
    Status {
        agent: usize,
        status: usize,
    },
    Host {
        agent: usize,
        cell: u32,
    },
    Unhost {
        agent: usize,
    },
    Turn {
        agent: usize,
        turn: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<usize>(), 0_u8..3, any::<bool>(), any::<bool>())
            .prop_map(|(parent, intent, under, own_cell)| Step::Single { parent, intent, under, own_cell }),
        2 => (any::<usize>(), 1_u32..9, any::<bool>())
            .prop_map(|(parent, count, listed)| Step::Batch { parent, count, listed }),
        4 => (any::<usize>(), 0_usize..7).prop_map(|(agent, status)| Step::Status { agent, status }),
        4 => (any::<usize>(), 1_u32..4).prop_map(|(agent, cell)| Step::Host { agent, cell }),
        2 => any::<usize>().prop_map(|agent| Step::Unhost { agent }),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(agent, turn)| Step::Turn { agent, turn }),
    ]
}

fn single(number: u32, intent: u8, own_cell: bool) -> (Id, Class) {
    let mut id = [0xaa; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let class = Class {
        intent: [intent; 32],
        package: [9; 32],
        behaviour: "sre.Scout".into(),
        own_cell,
    };
    (id, class)
}

fn batch(parent: Id, family: &str, intent: Id, count: u32, listed: bool, seed: u8) -> BirthBatch {
    let template = Template {
        runtime: [1; 32],
        intent,
        parent,
        package: [9; 32],
        grant: [5; 32],
        family: family.into(),
        behaviour: "sre.Scout".into(),
        born_ms: 7,
        seed: [seed; 12],
    };
    let names = if listed {
        let all: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        Names::listed(all.iter().map(String::as_str)).unwrap()
    } else {
        Names::Counted {
            stem: "c".into(),
            count,
        }
    };
    BirthBatch::new(template, names, Args::Same([0; 32]), 0).unwrap()
}

fn below(model: &BTreeMap<Id, Record>, top: &Id, living: bool) -> Vec<Id> {
    let mut found: Vec<Id> = Vec::new();
    for (id, record) in model {
        let mut at = Some(*id);
        while let Some(here) = at {
            if here == *top {
                if !living || record.status != Status::Ended {
                    found.push(*id);
                }
                break;
            }
            at = model[&here].parent;
        }
    }
    found
}

fn check(
    table: &AgentTable,
    model: &BTreeMap<Id, Record>,
) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(table.len(), model.len());
    for (id, record) in model {
        let found = table.record(id);
        prop_assert_eq!(found.as_ref(), Some(record));
        let mine: Vec<_> = model
            .iter()
            .filter(|(_, other)| other.parent == Some(*id))
            .collect();
        let mut children = table.children(id, usize::MAX).unwrap();
        children.sort_unstable();
        prop_assert_eq!(
            &children,
            &mine.iter().map(|(id, _)| **id).collect::<Vec<_>>()
        );
        let live = mine
            .iter()
            .filter(|(_, child)| child.status != Status::Ended)
            .count();
        prop_assert_eq!(table.live_children(id).unwrap() as usize, live);
        for living in [false, true] {
            let found = table.subtree(id, living).unwrap();
            for (at, child) in found.iter().enumerate() {
                let above = model[child].parent;
                prop_assert!(
                    above.is_none_or(|above| !found[..at].contains(&above)),
                    "a parent before its child"
                );
            }
            let mut sorted = found;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, below(model, id, living));
        }
        let chain = table.chain(id);
        prop_assert_eq!(chain.last(), Some(id));
        prop_assert_eq!(chain.len(), table.depth(id) + 1);
        for pair in chain.windows(2) {
            prop_assert_eq!(model[&pair[1]].parent, Some(pair[0]));
        }
        let named = table.by_name(&record.name, usize::MAX);
        prop_assert_eq!(
            named.len(),
            model
                .values()
                .filter(|other| other.name == record.name)
                .count()
        );
        prop_assert!(named.contains(id));
        let digits: String = id[..3].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut begins = table.by_prefix(&digits, usize::MAX);
        begins.sort_unstable();
        prop_assert_eq!(
            begins,
            model
                .keys()
                .filter(|other| other[..3] == id[..3])
                .copied()
                .collect::<Vec<_>>()
        );
        prop_assert_eq!(table.in_cell(id, record.incarnation), record.hosted);
    }
    for status in Status::ALL {
        let all: Vec<Id> = model
            .iter()
            .filter(|(_, r)| r.status == status)
            .map(|(id, _)| *id)
            .collect();
        prop_assert_eq!(table.status_count(status) as usize, all.len());
        let mut found = table.of_status(status);
        found.sort_unstable();
        prop_assert_eq!(found, all);
    }
    for cell in 1..4 {
        let here: Vec<Id> = model
            .iter()
            .filter(|(_, r)| r.hosted && r.incarnation == cell)
            .map(|(id, _)| *id)
            .collect();
        let mut found = table.cell_members(cell, usize::MAX);
        found.sort_unstable();
        prop_assert_eq!(table.cell_count(cell) as usize, here.len());
        prop_assert_eq!(found, here);
    }
    for intent in 0..3 {
        let intent = [intent; 32];
        let all: Vec<_> = model
            .iter()
            .filter(|(_, r)| r.class.intent == intent)
            .collect();
        let live: Vec<Id> = all
            .iter()
            .filter(|(_, r)| r.status != Status::Ended)
            .map(|(id, _)| **id)
            .collect();
        prop_assert_eq!(
            table.intent_counts(&intent),
            (live.len() as u64, all.len() as u64)
        );
        let mut found = table.of_intent(&intent, true);
        found.sort_unstable();
        prop_assert_eq!(&found, &live);
        let mut paged: Vec<Id> = Vec::new();
        loop {
            let page = table.page(None, Some(&intent), paged.last(), 3);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        prop_assert_eq!(paged, live);
    }
    let by_class: usize = table
        .classes()
        .iter()
        .map(|(number, _)| table.of_class(*number, usize::MAX).len())
        .sum();
    let awake = |r: &&Record| !matches!(r.status, Status::Ended | Status::Stopping);
    prop_assert_eq!(by_class, model.values().filter(awake).count());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_table_answers_as_a_plain_map_of_records_would(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut table = AgentTable::new();
        let mut model: BTreeMap<Id, Record> = BTreeMap::new();
        let mut order: Vec<Id> = Vec::new();
        for (number, step) in (0_u32..).zip(steps) {
            let pick = |at: usize| (!order.is_empty()).then(|| order[at % order.len()]);
            match step {
                Step::Single { parent, intent, under, own_cell } => {
                    // Every other one is a swarm's first agent.
                    let parent = pick(parent).filter(|_| !number.is_multiple_of(2));
                    let intent = parent.map_or(intent, |id| model[&id].class.intent[0]);
                    let above = parent.map_or_else(String::new, |id| model[&id].name.clone());
                    let name = if under && parent.is_some() { format!("{above}/s{number}") } else { format!("s{}", number % 3) };
                    let (id, class) = single(number, intent, own_cell);
                    let born = Single { id, parent, name: &name, class: class.clone(), status: Status::Live, turn: 0 };
                    table.add(&born).unwrap();
                    prop_assert!(table.add(&born).is_err(), "born twice");
                    model.insert(id, Record { name: name.clone(), class, parent, origin: Origin::Single, status: Status::Live,
                        turn: 0, incarnation: 0, hosted: false });
                    order.push(id);
                }
                Step::Batch { parent, count, listed } => {
                    let Some(parent) = pick(parent) else { continue };
                    let above = model[&parent].clone();
                    // Names in the model are short: what is too deep for a name is nobody's child.
                    if above.name.len() > 60 { continue }
                    let members = batch(parent, &above.name, above.class.intent, count, listed, number as u8);
                    table.add_batch(&members, false).unwrap();
                    prop_assert!(table.add_batch(&members, false).is_err(), "born twice");
                    for (position, id) in (0..).zip(members.ids()) {
                        let class = Class { intent: above.class.intent, package: [9; 32], behaviour: "sre.Scout".into(), own_cell: false };
                        model.insert(*id, Record { name: members.name(position).unwrap(), class, parent: Some(parent),
                            origin: Origin::Batch(members.root(), position), status: Status::Live, turn: 0, incarnation: 0, hosted: false });
                        order.push(*id);
                    }
                }
                Step::Status { agent, status } => if let Some(id) = pick(agent) {
                    table.set_status(&id, Status::ALL[status]).unwrap();
                    model.get_mut(&id).unwrap().status = Status::ALL[status];
                },
                Step::Host { agent, cell } => if let Some(id) = pick(agent) {
                    table.host(&id, cell).unwrap();
                    let record = model.get_mut(&id).unwrap();
                    record.incarnation = cell;
                    record.hosted = true;
                },
                Step::Unhost { agent } => if let Some(id) = pick(agent) {
                    let record = model.get_mut(&id).unwrap();
                    prop_assert_eq!(table.unhost(&id).unwrap(), record.hosted);
                    record.hosted = false;
                },
                Step::Turn { agent, turn } => if let Some(id) = pick(agent) {
                    table.set_turn(&id, turn).unwrap();
                    model.get_mut(&id).unwrap().turn = turn;
                },
            }
        }
        check(&table, &model)?;
    }
}

#[test]
fn nobody_is_known_who_was_not_born() {
    let mut table = AgentTable::new();
    assert!(table.record(&[1; 32]).is_none());
    assert!(table.set_status(&[1; 32], Status::Live).is_err());
    assert!(table.host(&[1; 32], 1).is_err());
    let members = batch([3; 32], "sre", [2; 32], 3, false, 0);
    assert!(
        table.add_batch(&members, false).is_err(),
        "a batch without its parent"
    );
    assert!(table.is_empty());
}

#[test]
fn a_row_stays_small() {
    assert!(size_of::<Row>() <= 72, "{} bytes", size_of::<Row>());
}

#[test]
fn sleepers_end_with_their_batch_and_nobody_beside_them() {
    let mut table = AgentTable::new();
    let (root, class) = single(1, 2, false);
    let born = Single {
        id: root,
        parent: None,
        name: "sre",
        class,
        status: Status::Live,
        turn: 3,
    };
    table.add(&born).unwrap();
    let (one, two) = (
        batch(root, "sre", [2; 32], 5, false, 1),
        batch(root, "sre", [2; 32], 3, true, 2),
    );
    table.add_batch(&one, false).unwrap();
    table.add_batch(&two, false).unwrap();
    let below = batch(one.ids()[0], "sre/c-0", [2; 32], 2, false, 3);
    table.add_batch(&below, false).unwrap();
    table.set_turn(&one.ids()[0], 1).unwrap();
    table.host(&one.ids()[1], 1).unwrap();
    table.set_status(&one.ids()[2], Status::Paused).unwrap();

    assert_eq!(
        table.batches_of_intent(&[2; 32]),
        [one.root(), two.root(), below.root()]
    );
    assert!(table.batches_of_intent(&[3; 32]).is_empty());
    assert_eq!(table.batches_below(&root).len(), 3);
    assert_eq!(table.batches_below(&one.ids()[0]), [below.root()]);
    assert!(
        table.batches_below(&one.ids()[1]).is_empty() && table.batches_below(&[0; 32]).is_empty()
    );
    assert_eq!(table.woken(&[2; 32]), [root, one.ids()[0]]);

    assert_eq!(table.sleepers(&one.root()), 2);
    assert_eq!(table.end_sleepers(&one.root()), one.ids()[3..]);
    assert_eq!(
        (
            table.sleepers(&one.root()),
            table.end_sleepers(&one.root()).len()
        ),
        (0, 0)
    );
    assert_eq!(table.sleepers(&two.root()), 3);
    assert_eq!(table.intent_counts(&[2; 32]), (9, 11));
    assert_eq!(table.live_children(&root).unwrap(), 6);
    assert!(table.end_sleepers(&[0; 32]).is_empty());
}
