//! Grants born in a batch against the same grants born one by one: nobody can tell them apart.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;

use proptest::prelude::*;
use queenright_core::grant::{GrantId, GrantTree, Outcome, Request, TreeError};
use queenright_core::pattern::{ResourcePattern, VerbPattern};
use queenright_core::rule::{Mode, Rule, Spec};

fn id(number: usize) -> GrantId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    id
}

fn spec(max: Option<u64>, depth: u32, agents: Option<u64>) -> Spec {
    Spec {
        rules: vec![Rule {
            verbs: vec![VerbPattern::parse("svc.*").unwrap()],
            on: ResourcePattern::parse("svc:a/**").unwrap(),
            mode: Mode::Allow,
            exercise: true,
            delegate: true,
            max,
            min_gap_ms: 0,
            rate_agent: None,
            rate_all: None,
            clause: 0,
        }],
        never: Vec::new(),
        not_before_ms: 0,
        not_after_ms: 1_000,
        depth,
        max_agents: agents,
        agents_ever: None,
    }
}

fn request() -> Request<'static> {
    Request {
        verb: "svc.restart",
        resource: "svc:a/x",
        irreversible: false,
        approved: false,
        cost: NonZeroU32::MIN,
        now_ms: 5,
    }
}

fn root(max: Option<u64>, agents: u64) -> GrantTree {
    let mut tree = GrantTree::new();
    tree.found(id(0), spec(max, 5, Some(agents))).unwrap();
    tree.derive(&id(0), id(1), spec(max, 4, Some(agents - 1)), 5)
        .unwrap();
    tree
}

const CHILDREN: usize = 6;

fn children() -> Vec<GrantId> {
    (2..2 + CHILDREN).map(id).collect()
}

/// Everything that can be asked of every grant.
fn all(tree: &GrantTree) -> Vec<String> {
    let mut told: Vec<String> = (0..40)
        .map(id)
        .map(|grant| {
            let mut children = tree.children(&grant);
            if let Ok(children) = &mut children {
                children.sort_unstable();
            }
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {children:?}",
                tree.spec(&grant),
                tree.spending(&grant),
                tree.state(&grant),
                tree.path(&grant),
                tree.check(&grant, &request()),
                tree.child_count(&grant),
            )
        })
        .collect();
    let mut subtree = tree.subtree(&id(0)).unwrap();
    subtree.sort_unstable();
    told.push(format!("{subtree:?} {}", tree.len()));
    told
}

proptest! {
    #[test]
    fn grants_of_a_batch_do_all_that_single_ones_do(
        max in prop::option::of(10_u64..40),
        steps in prop::collection::vec((0_u8..9, 0_usize..CHILDREN), 0..40),
    ) {
        let (mut one, mut many) = (root(max, 100), root(max, 100));
        let each = max.map(|max| max / 8);
        for child in children() {
            one.derive(&id(1), child, spec(each, 3, Some(5)), 5).unwrap();
        }
        many.derive_batch(&id(1), &children(), spec(each, 3, Some(5)), 5).unwrap();
        prop_assert_eq!(all(&one), all(&many));
        let mut held: Vec<(u64, u64)> = Vec::new();
        for (number, (step, at)) in steps.into_iter().enumerate() {
            let who = id(2 + at);
            let (left, right) = match step {
                0 | 1 => {
                    let (a, b) = (one.reserve(&who, &request()), many.reserve(&who, &request()));
                    if let (Ok((_, Some(x))), Ok((_, Some(y)))) = (&a, &b) {
                        held.push((x.0, y.0));
                    }
                    (format!("{:?}", a.map(|(d, _)| d)), format!("{:?}", b.map(|(d, _)| d)))
                }
                2 | 3 => {
                    let Some((x, y)) = held.pop() else { continue };
                    if step == 2 {
                        (format!("{:?}", one.commit(x)), format!("{:?}", many.commit(y)))
                    } else {
                        (format!("{:?}", one.release(x)), format!("{:?}", many.release(y)))
                    }
                }
                4 => (format!("{:?}", one.revoke(&who, 5)), format!("{:?}", many.revoke(&who, 5))),
                5 => (format!("{:?}", one.set_frozen(&who, number % 2 == 0)), format!("{:?}", many.set_frozen(&who, number % 2 == 0))),
                6 => (format!("{:?}", one.remove(&who, false)), format!("{:?}", many.remove(&who, false))),
                7 => {
                    let born = id(20 + number % 20);
                    let below = spec(None, 0, Some(0));
                    let below = Spec { rules: Vec::new(), ..below };
                    (format!("{:?}", one.derive(&who, born, below.clone(), 5)), format!("{:?}", many.derive(&who, born, below, 5)))
                }
                _ => {
                    let after = spec(max.map(|max| max + number as u64), 4, Some(99));
                    let both = (one.amend(&id(0), Spec { depth: 5, max_agents: Some(100), ..after.clone() }),
                        many.amend(&id(0), Spec { depth: 5, max_agents: Some(100), ..after.clone() }));
                    prop_assert_eq!(format!("{:?}", both.0), format!("{:?}", both.1));
                    (format!("{:?}", one.amend(&id(1), after.clone())), format!("{:?}", many.amend(&id(1), after)))
                }
            };
            prop_assert_eq!(left, right);
            prop_assert_eq!(all(&one), all(&many));
        }
    }
}

#[test]
fn a_batch_beyond_a_bound_or_a_budget_is_refused_whole() {
    let mut tree = root(Some(12), 4);
    let before = all(&tree);
    // Room for 3 more agents, and 12 uses to hand down.
    for (count, each) in [(4, 1), (3, 5)] {
        let refused = tree.derive_batch(
            &id(1),
            &children()[..count],
            spec(Some(each), 3, Some(0)),
            5,
        );
        assert!(matches!(refused, Err(TreeError::Refused(_))), "{refused:?}");
        assert_eq!(all(&tree), before);
    }
    tree.derive_batch(&id(1), &children()[..3], spec(Some(4), 3, Some(0)), 5)
        .unwrap();
    assert_eq!(tree.state(&id(0)).unwrap().0, 4);
    assert!(
        tree.derive(&id(1), id(30), spec(Some(1), 3, Some(0)), 5)
            .is_err()
    );
}

#[test]
fn a_batch_that_names_a_grant_twice_or_again_is_refused_whole() {
    let mut tree = root(None, 100);
    let before = all(&tree);
    let twice = [id(2), id(3), id(2)];
    assert_eq!(
        tree.derive_batch(&id(1), &twice, spec(None, 3, Some(5)), 5),
        Err(TreeError::Exists)
    );
    let again = [id(2), id(1)];
    assert_eq!(
        tree.derive_batch(&id(1), &again, spec(None, 3, Some(5)), 5),
        Err(TreeError::Exists)
    );
    assert_eq!(all(&tree), before);
}

#[test]
fn what_the_store_refused_never_was() {
    let mut tree = root(Some(12), 100);
    let before = all(&tree);
    tree.derive_batch(&id(1), &children(), spec(Some(2), 3, Some(5)), 5)
        .unwrap();
    for child in children() {
        tree.remove(&child, true).unwrap();
    }
    assert_eq!(all(&tree), before);
}

#[test]
fn revoking_the_parent_ends_a_hundred_thousand_of_a_batch_with_one_flag() {
    let mut tree = root(None, 200_000);
    let many: Vec<GrantId> = (10..100_010).map(id).collect();
    tree.derive_batch(&id(1), &many, spec(None, 3, Some(5)), 5)
        .unwrap();
    assert_eq!(
        tree.check(&many[77_777], &request()).unwrap().outcome,
        Outcome::Allow
    );
    tree.revoke(&id(1), 5).unwrap();
    assert_eq!(
        tree.check(&many[77_777], &request()).unwrap().outcome,
        Outcome::Deny
    );
    assert_eq!(tree.len(), 100_002);
}
