//! The grant tree against a naive oracle (promise A1), races (A4, A8) and its own advice (A7).
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use proptest::prelude::*;
use queenright_core::budget::Rate;
use queenright_core::grant::{
    Cause, Decision, Fix, GrantId, GrantTree, Outcome, Request, TreeError,
};
use queenright_core::pattern::{ResourcePattern, VerbPattern};
use queenright_core::rule::{Mode, Never, Rule, Spec};

const VERBS: &[&str] = &[
    "db.read",
    "db.write",
    "db.session.kill",
    "svc.restart",
    "svc.stop",
    "iam.grant",
];
const VERB_PATTERNS: &[&str] = &[
    "*",
    "db.*",
    "db.session.*",
    "svc.*",
    "db.write",
    "svc.restart",
    "db.session.kill",
];
const RESOURCES: &[&str] = &[
    "svc:a",
    "svc:a/x",
    "svc:a/y",
    "svc:a/x/1",
    "svc:b",
    "svc:b/x",
    "db:a",
    "db:a/x",
];
const PATTERNS: &[&str] = &[
    "**", "svc:**", "svc:a/**", "svc:a/*", "svc:*", "svc:*/x", "svc:a", "svc:a/x", "db:a/**",
    "db:a/x",
];

/// The oracle's own reading of patterns, character by character of the definition and not of the code.
fn verb_in(pattern: &str, verb: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => verb.starts_with(prefix),
        None => pattern == verb,
    }
}

fn resource_in(pattern: &str, resource: &str) -> bool {
    if pattern == "**" {
        return true;
    }
    let (kind, rest) = pattern.split_once(':').unwrap();
    let Some((other, names)) = resource.split_once(':') else {
        return false;
    };
    let wanted: Vec<&str> = rest.split('/').collect();
    let names: Vec<&str> = names.split('/').collect();
    let deep = wanted.last() == Some(&"**");
    let fixed = if deep {
        &wanted[..wanted.len() - 1]
    } else {
        &wanted[..]
    };
    kind == other
        && (names.len() == fixed.len() || (deep && names.len() > fixed.len()))
        && fixed
            .iter()
            .zip(&names)
            .all(|(want, name)| *want == "*" || want == name)
}

fn id(number: usize) -> GrantId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    id
}

#[derive(Debug, Clone)]
struct Plain {
    verbs: Vec<&'static str>,
    on: &'static str,
    ask: bool,
    exercise: bool,
    delegate: bool,
}

impl Plain {
    fn rule(&self) -> Rule {
        Rule {
            verbs: self
                .verbs
                .iter()
                .map(|v| VerbPattern::parse(v).unwrap())
                .collect(),
            on: ResourcePattern::parse(self.on).unwrap(),
            mode: if self.ask { Mode::Ask } else { Mode::Allow },
            exercise: self.exercise,
            delegate: self.delegate,
            max: None,
            min_gap_ms: 0,
            rate_agent: None,
            rate_all: None,
            clause: 0,
        }
    }

    fn holds(&self, verb: &str, resource: &str) -> bool {
        self.verbs.iter().any(|p| verb_in(p, verb)) && resource_in(self.on, resource)
    }
}

#[derive(Debug, Clone)]
struct PlainGrant {
    parent: usize,
    rules: Vec<Plain>,
    never: Vec<(&'static str, &'static str)>,
    from: u64,
    to: u64,
}

fn spec(grant: &PlainGrant, depth: u32) -> Spec {
    let never = |(verb, on): &(&str, &str)| Never {
        verbs: vec![VerbPattern::parse(verb).unwrap()],
        on: ResourcePattern::parse(on).unwrap(),
    };
    Spec {
        rules: grant.rules.iter().map(Plain::rule).collect(),
        never: grant.never.iter().map(never).collect(),
        not_before_ms: grant.from,
        not_after_ms: grant.to,
        depth,
        max_agents: None,
        agents_ever: None,
    }
}

fn any_rule() -> impl Strategy<Value = Plain> {
    let verbs = prop::collection::vec(prop::sample::select(VERB_PATTERNS), 1..3);
    (
        verbs,
        prop::sample::select(PATTERNS),
        prop::bool::weighted(0.25),
        any::<bool>(),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(verbs, on, ask, exercise, delegate)| Plain {
            verbs,
            on,
            ask,
            exercise,
            delegate,
        })
}

fn any_grant() -> impl Strategy<Value = PlainGrant> {
    let never = prop::collection::vec(
        (
            prop::sample::select(VERB_PATTERNS),
            prop::sample::select(PATTERNS),
        ),
        0..2,
    );
    (
        any::<prop::sample::Index>(),
        prop::collection::vec(any_rule(), 0..5),
        never,
        0_u64..3,
        8_u64..12,
    )
        .prop_map(|(parent, rules, never, from, to)| PlainGrant {
            parent: parent.index(1 << 20),
            rules,
            never,
            from,
            to,
        })
}

fn ask(
    tree: &GrantTree,
    grant: GrantId,
    verb: &str,
    resource: &str,
    now_ms: u64,
    irreversible: bool,
) -> Decision {
    tree.check(&grant, &request(verb, resource, now_ms, irreversible))
        .unwrap()
}

fn request<'a>(verb: &'a str, resource: &'a str, now_ms: u64, irreversible: bool) -> Request<'a> {
    Request {
        verb,
        resource,
        irreversible,
        approved: false,
        cost: NonZeroU32::MIN,
        now_ms,
    }
}

/// What the sets say: the holder's exercise, met with what every ancestor delegates; never and asks from every level.
fn oracle(
    chain: &[&PlainGrant],
    verb: &str,
    resource: &str,
    now: u64,
    irreversible: bool,
) -> Outcome {
    let mut outcome = Outcome::Allow;
    for (level, grant) in chain.iter().enumerate() {
        let usable = |rule: &&Plain| {
            if level == 0 {
                rule.exercise
            } else {
                rule.delegate
            }
        };
        let found: Vec<&Plain> = grant
            .rules
            .iter()
            .filter(usable)
            .filter(|r| r.holds(verb, resource))
            .collect();
        let never = grant
            .never
            .iter()
            .any(|(v, on)| verb_in(v, verb) && resource_in(on, resource));
        if found.is_empty() || never || now < grant.from || now >= grant.to {
            return Outcome::Deny;
        }
        let named = found
            .iter()
            .any(|rule| !rule.ask && rule.verbs.contains(&verb));
        if found.iter().any(|rule| rule.ask) || (irreversible && !named) {
            outcome = Outcome::Ask;
        }
    }
    outcome
}

/// PROPTEST_CASES can ask for more, never for fewer.
fn cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig {
        cases: given.cases.max(600),
        failure_persistence: None,
        ..given
    }
}

proptest! {
    #![proptest_config(cases())]

    /// A1. Random trees, whatever the tree accepted of them, against every request; some grants revoked.
    #[test]
    fn no_child_allows_what_no_ancestor_delegates(
        grants in prop::collection::vec(any_grant(), 1..14),
        revoked in prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        now in 0_u64..14,
    ) {
        let mut tree = GrantTree::new();
        let mut kept: Vec<(usize, PlainGrant, u32)> = Vec::new();
        for (number, grant) in grants.iter().enumerate() {
            if kept.is_empty() {
                tree.found(id(number), spec(grant, 7)).unwrap();
                kept.push((number, grant.clone(), 7));
                continue;
            }
            let parent = grant.parent % kept.len();
            let (name, _, depth) = kept[parent].clone();
            let mut child = grant.clone();
            // Half of the children ask for what their parent has: without that few would be accepted.
            if grant.parent % 2 == 0 {
                child.rules = kept[parent].1.rules.iter().filter(|r| r.delegate).cloned().collect();
                child.from = kept[parent].1.from;
                child.to = kept[parent].1.to;
            }
            child.parent = parent;
            match tree.derive(&id(name), id(number), spec(&child, depth.saturating_sub(1)), 5) {
                Ok(()) => kept.push((number, child, depth - 1)),
                Err(TreeError::Refused(reasons)) => prop_assert!(
                    !reasons.excess.is_empty() || !reasons.dead.is_empty() || !reasons.full.is_empty()
                ),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
        let gone: HashSet<usize> = revoked.iter().map(|index| index.index(kept.len())).collect();
        for at in &gone {
            tree.revoke(&id(kept[*at].0), 1).unwrap();
        }
        for at in 0..kept.len() {
            let mut chain = vec![at];
            while *chain.last().unwrap() != 0 {
                chain.push(kept[*chain.last().unwrap()].1.parent);
            }
            let plain: Vec<&PlainGrant> = chain.iter().map(|index| &kept[*index].1).collect();
            let dead = chain.iter().any(|index| gone.contains(index));
            for verb in VERBS {
                for resource in RESOURCES {
                    for irreversible in [false, true] {
                        let expected = if dead { Outcome::Deny } else { oracle(&plain, verb, resource, now, irreversible) };
                        let found = ask(&tree, id(kept[at].0), verb, resource, now, irreversible);
                        prop_assert_eq!(found.outcome, expected, "{} {} at {:?}", verb, resource, chain);
                        prop_assert_eq!(found.failures.is_empty(), found.outcome != Outcome::Deny);
                    }
                }
            }
        }
    }

    /// Attenuation itself, not only its effect: a child that was accepted asks for nothing its parent does not delegate,
    /// and does nothing alone that its parent must ask for.
    #[test]
    fn an_accepted_child_lies_inside_its_parent(parent in any_grant(), child in any_grant()) {
        let mut tree = GrantTree::new();
        let root = PlainGrant { never: vec![], from: 0, to: 20, ..parent };
        tree.found(id(0), spec(&root, 3)).unwrap();
        let child = PlainGrant { from: 0, to: 20, ..child };
        let accepted = tree.derive(&id(0), id(1), spec(&child, 1), 5).is_ok();
        for verb in VERBS {
            for resource in RESOURCES {
                let held: Vec<&Plain> = root.rules.iter().filter(|r| r.delegate && r.holds(verb, resource)).collect();
                let mine: Vec<&Plain> = child.rules.iter().filter(|r| r.holds(verb, resource)).collect();
                if accepted && !mine.is_empty() {
                    prop_assert!(!held.is_empty(), "{} {}", verb, resource);
                    if held.iter().any(|rule| rule.ask) {
                        prop_assert!(mine.iter().any(|rule| rule.ask), "{} {} without asking", verb, resource);
                    }
                }
            }
        }
    }

    /// A7. Every failing dimension comes with a change; with all of them made, the same request passes.
    #[test]
    fn making_the_suggested_changes_lets_the_same_request_pass(
        mut rules in prop::collection::vec((any_rule(), prop::option::of(0_u64..3), 0_u64..50, prop::option::of(1_u32..3)), 1..4),
        never in prop::collection::vec((prop::sample::select(VERB_PATTERNS), prop::sample::select(PATTERNS)), 0..2),
        verb in prop::sample::select(VERBS),
        resource in prop::sample::select(RESOURCES),
        uses in 0_usize..6,
        cost in 1_u32..4,
        times in (0_u64..40, 20_u64..90),
        frozen in any::<bool>(),
    ) {
        let mut tree = GrantTree::new();
        for (rule, ..) in &mut rules {
            rule.delegate = true;
            rule.exercise = true;
        }
        let root = PlainGrant { parent: 0, rules: vec![], never, from: times.0, to: times.1, };
        let mut root = spec(&root, 3);
        root.rules = rules.iter().map(|(plain, max, gap, rate)| Rule {
            max: *max,
            min_gap_ms: *gap,
            rate_all: rate.map(|count| Rate { count: count * 3, per_ms: 30 }),
            rate_agent: rate.map(|count| Rate { count: count * 2 + 1, per_ms: 30 }),
            ..plain.rule()
        }).collect();
        let never = std::mem::take(&mut root.never);
        let mut child = root.clone();
        child.depth = 1;
        child.rules.iter_mut().for_each(|rule| rule.max = None);
        tree.found(id(0), root.clone()).unwrap();
        let born = tree.derive(&id(0), id(1), child, times.0);
        if born.is_err() {
            return Ok(()); // born outside its own times
        }
        // A never that does not stop this request is nobody's advice, but would refuse amendments of the child.
        root.never = never.into_iter().filter(|one| one.matches(verb, resource)).collect();
        tree.amend(&id(0), root).unwrap();
        tree.set_frozen(&id(1), frozen).unwrap();
        let ask = |now_ms, cost| Request { verb, resource, irreversible: false, approved: true, cost: NonZeroU32::new(cost).unwrap(), now_ms };
        for step in 0..uses {
            if let (_, Some((number, _))) = tree.reserve(&id(1), &ask(times.0 + step as u64, 1)).unwrap() {
                tree.commit(number).unwrap();
            }
        }
        let mut now = 30;
        let mut rounds = 0;
        loop {
            let decision = tree.check(&id(1), &ask(now, cost)).unwrap();
            if decision.outcome == Outcome::Allow {
                break;
            }
            // Waiting may bring the end of a grant nearer, so a second look is allowed; a third would be bad advice.
            rounds += 1;
            prop_assert!(rounds <= 3, "{:?}", decision);
            let mut wait = now;
            for failure in decision.failures.iter().rev() {
                let mut spec = tree.spec(&failure.grant).unwrap();
                match failure.fix(now) {
                    Fix::AddRule => spec.rules.push(Rule {
                        verbs: vec![VerbPattern::parse(verb).unwrap()],
                        on: ResourcePattern::parse(resource).unwrap(),
                        mode: Mode::Allow, exercise: true, delegate: true, max: None, min_gap_ms: 0,
                        rate_agent: None, rate_all: None, clause: 0,
                    }),
                    Fix::DropNever { index } => { spec.never[index].verbs.clear(); }
                    Fix::RaiseMax { rule, max } => {
                        let at = tree.spending(&failure.grant).unwrap().iter().position(|(id, ..)| *id == rule).unwrap();
                        spec.rules[at].max = Some(max);
                    }
                    Fix::Extend { not_after_ms } => spec.not_after_ms = not_after_ms,
                    Fix::Wait { until_ms } if until_ms == u64::MAX => return Ok(()), // more at once than the rate's burst
                    Fix::Wait { until_ms } => { wait = wait.max(until_ms); continue; }
                    Fix::Unfreeze => { tree.set_frozen(&failure.grant, false).unwrap(); continue; }
                    Fix::Nothing => prop_assert!(false, "{:?}", failure),
                }
                tree.amend(&failure.grant, spec).unwrap();
            }
            now = wait;
        }
    }

    /// Exact books: whatever happens, used and held never pass the maximum at any level, and what comes back comes back.
    #[test]
    fn budgets_are_conserved_at_every_level(steps in prop::collection::vec((0_usize..7, 0_usize..4, 1_u32..3), 1..60)) {
        let restart = |max| {
            let mut rule = Plain { verbs: vec!["svc.restart"], on: "svc:a/**", ask: false, exercise: true, delegate: true }.rule();
            rule.max = max;
            rule
        };
        let grant = |max, depth| Spec {
            rules: vec![restart(max)], never: vec![], not_before_ms: 0, not_after_ms: 100, depth,
            max_agents: None, agents_ever: None,
        };
        let mut tree = GrantTree::new();
        tree.found(id(0), grant(Some(9), 5)).unwrap();
        tree.derive(&id(0), id(1), grant(None, 4), 1).unwrap();
        tree.derive(&id(1), id(2), grant(Some(4), 3), 1).unwrap();
        tree.derive(&id(2), id(3), grant(Some(2), 2), 1).unwrap();
        let mut held: Vec<(u64, usize, u64)> = Vec::new();
        let mut spent: Vec<(u64, usize, u64)> = Vec::new();
        let mut settled = [0_u64; 4];
        for (act, who, cost) in steps {
            let agent = who.max(1);
            match act {
                0..=2 => {
                    let ask = Request { cost: NonZeroU32::new(cost).unwrap(), ..request("svc.restart", "svc:a/x", 2, false) };
                    if let (_, Some((number, _))) = tree.reserve(&id(agent), &ask).unwrap() {
                        held.push((number, agent, u64::from(cost)));
                    }
                }
                3 => if let Some(one) = held.pop() { tree.commit(one.0).unwrap(); spent.push(one); },
                4 => if let Some(one) = held.pop() { tree.release(one.0).unwrap(); },
                5 => if let Some(one) = spent.pop() { tree.release(one.0).unwrap(); },
                _ => if let Some(one) = spent.pop() { tree.settle(one.0).unwrap(); settled[one.1] += one.2; },
            }
            for level in 0..4 {
                let below = |list: &[(u64, usize, u64)]| list.iter().filter(|one| one.1 >= level).map(|one| one.2).sum::<u64>();
                let budget = tree.spending(&id(level)).unwrap()[0].1;
                let max = [Some(9), None, Some(4), Some(2)][level];
                if max.is_some() {
                    prop_assert_eq!(budget.held, below(&held));
                    prop_assert_eq!(budget.used, below(&spent) + settled[level..].iter().sum::<u64>());
                    prop_assert!(budget.used + budget.held + budget.given <= max.unwrap());
                }
            }
            // What grandchild 3 was promised and has not used is what its parent holds back for it.
            let (parent, child) = (tree.spending(&id(2)).unwrap()[0].1, tree.spending(&id(3)).unwrap()[0].1);
            prop_assert_eq!(parent.given, 2 - child.used - child.held);
        }
    }

    #[test]
    fn covers_is_matching_everything_and_overlaps_is_matching_something(
        one in prop::sample::select(PATTERNS), other in prop::sample::select(PATTERNS),
        verb in prop::sample::select(VERB_PATTERNS), verbs in prop::sample::select(VERB_PATTERNS),
    ) {
        let (a, b) = (ResourcePattern::parse(one).unwrap(), ResourcePattern::parse(other).unwrap());
        let in_b: Vec<&&str> = RESOURCES.iter().filter(|r| b.matches(r)).collect();
        for resource in RESOURCES {
            prop_assert_eq!(a.matches(resource), resource_in(one, resource));
        }
        if a.covers(&b) {
            prop_assert!(in_b.iter().all(|r| a.matches(r)));
        }
        if in_b.iter().any(|r| a.matches(r)) {
            prop_assert!(a.overlaps(&b) && b.overlaps(&a));
        }
        prop_assert!(a.covers(&a) && (!a.covers(&b) || a.overlaps(&b)));
        prop_assert_eq!(a.to_string(), one);
        let (v, w) = (VerbPattern::parse(verb).unwrap(), VerbPattern::parse(verbs).unwrap());
        let in_w: Vec<&&str> = VERBS.iter().filter(|x| w.matches(x)).collect();
        prop_assert!(!v.covers(&w) || in_w.iter().all(|x| v.matches(x)));
        prop_assert!(!in_w.iter().any(|x| v.matches(x)) || v.overlaps(&w));
        prop_assert_eq!(v.to_string(), verb);
    }

    #[test]
    fn hostile_names_are_refused_and_never_panic(text in "\\PC{0,40}") {
        let _ = VerbPattern::parse(&text);
        if let Ok(pattern) = ResourcePattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }
}

fn limited(max: u64) -> Spec {
    let plain = Plain {
        verbs: vec!["svc.restart"],
        on: "svc:a",
        ask: false,
        exercise: true,
        delegate: true,
    };
    Spec {
        rules: vec![Rule {
            max: Some(max),
            ..plain.rule()
        }],
        never: vec![],
        not_before_ms: 0,
        not_after_ms: u64::MAX,
        depth: 8,
        max_agents: Some(6),
        agents_ever: None,
    }
}

#[test]
fn sixty_four_threads_on_a_maximum_of_two_get_exactly_two() {
    for _ in 0..20 {
        let mut tree = GrantTree::new();
        tree.found(id(0), limited(2)).unwrap();
        let mut child = limited(2);
        child.rules[0].max = None;
        child.depth = 7;
        tree.derive(&id(0), id(1), child, 0).unwrap();
        let tree = Arc::new(Mutex::new(tree));
        let gate = Arc::new(Barrier::new(64));
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let (tree, gate) = (Arc::clone(&tree), Arc::clone(&gate));
                thread::spawn(move || {
                    gate.wait();
                    let (_, held) = tree
                        .lock()
                        .unwrap()
                        .reserve(&id(1), &request("svc.restart", "svc:a", 1, false))
                        .unwrap();
                    held.map(|(number, _)| tree.lock().unwrap().commit(number).unwrap())
                        .is_some()
                })
            })
            .collect();
        assert_eq!(
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .filter(|won| *won)
                .count(),
            2
        );
    }
}

#[test]
fn sixty_four_threads_spawning_never_pass_the_bound() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(2)).unwrap();
    let tree = Arc::new(Mutex::new(tree));
    let gate = Arc::new(Barrier::new(64));
    let threads: Vec<_> = (1..65)
        .map(|number| {
            let (tree, gate) = (Arc::clone(&tree), Arc::clone(&gate));
            thread::spawn(move || {
                let empty = Spec {
                    rules: vec![],
                    depth: 0,
                    max_agents: None,
                    ..limited(0)
                };
                gate.wait();
                tree.lock()
                    .unwrap()
                    .derive(&id(0), id(number), empty, 0)
                    .is_ok()
            })
        })
        .collect();
    assert_eq!(
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|born| *born)
            .count(),
        6
    );
}

#[test]
fn revoking_a_root_is_seen_by_ten_thousand_below() {
    let mut tree = GrantTree::new();
    let wide = Spec {
        max_agents: None,
        ..limited(2)
    };
    tree.found(id(0), wide.clone()).unwrap();
    for number in 1..10_001 {
        let mut child = wide.clone();
        child.rules[0].max = None;
        child.depth = 7 - (number > 100) as u32;
        let parent = if number > 100 { number % 100 + 1 } else { 0 };
        tree.derive(&id(parent), id(number), child, 0).unwrap();
    }
    assert_eq!(tree.subtree(&id(0)).unwrap().len(), 10_001);
    assert!(tree.revoke(&id(0), 3).unwrap());
    assert!(!tree.revoke(&id(0), 4).unwrap());
    for number in 1..10_001 {
        let found = ask(&tree, id(number), "svc.restart", "svc:a", 5, false);
        assert!(
            found
                .failures
                .iter()
                .any(|f| f.cause == Cause::Revoked { at_ms: 3 })
        );
    }
}

#[test]
fn a_count_at_its_last_value_denies_and_offers_no_amendment() {
    let mut tree = GrantTree::new();
    let spent = queenright_core::grant::Spent {
        used: u64::MAX,
        recent: vec![],
    };
    tree.load(
        id(0),
        None,
        limited(u64::MAX),
        &[(0, spent)],
        0,
        (None, false),
    )
    .unwrap();
    let found = ask(&tree, id(0), "svc.restart", "svc:a", 5, false);
    assert_eq!(found.outcome, Outcome::Deny);
    assert_eq!(found.failures[0].fix(5), Fix::Nothing);
}

#[test]
fn removing_a_grant_leaves_no_trace_in_its_ancestors() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(2)).unwrap();
    for round in 0..100 {
        let mut child = limited(2);
        child.depth = 7;
        tree.derive(&id(0), id(round + 1), child, 0).unwrap();
        assert_eq!(tree.spending(&id(0)).unwrap()[0].1.given, 2);
        assert_eq!(tree.remove(&id(0), false), Err(TreeError::NotALeaf));
        tree.remove(&id(round + 1), false).unwrap();
        assert_eq!(tree.spending(&id(0)).unwrap()[0].1.given, 0);
    }
    assert_eq!(tree.state(&id(0)).unwrap(), (0, 100, None, false));
    assert_eq!(tree.len(), 1);
}

#[test]
fn an_open_reservation_outlives_its_agent_and_still_balances() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(2)).unwrap();
    let mut child = limited(2);
    child.depth = 7;
    tree.derive(&id(0), id(1), child, 0).unwrap();
    let (_, held) = tree
        .reserve(&id(1), &request("svc.restart", "svc:a", 1, false))
        .unwrap();
    tree.remove(&id(1), false).unwrap();
    assert_eq!(tree.spending(&id(0)).unwrap()[0].1.held, 1);
    tree.release(held.unwrap().0).unwrap();
    let left = tree.spending(&id(0)).unwrap()[0].1;
    assert_eq!((left.used, left.held, left.given), (0, 0, 0));
}

#[test]
fn a_reservation_is_committed_once_and_ends_once() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(2)).unwrap();
    let (_, held) = tree
        .reserve(&id(0), &request("svc.restart", "svc:a", 1, false))
        .unwrap();
    let number = held.unwrap().0;
    assert_eq!(tree.settle(number), Err(TreeError::UnknownReservation));
    tree.commit(number).unwrap();
    assert_eq!(tree.commit(number), Err(TreeError::UnknownReservation));
    tree.settle(number).unwrap();
    assert_eq!(tree.release(number), Err(TreeError::UnknownReservation));
    assert_eq!(tree.spending(&id(0)).unwrap()[0].1.used, 1);
}

#[test]
fn a_child_one_generation_or_one_millisecond_beyond_its_parent_is_refused() {
    let root = Spec {
        not_after_ms: 100,
        not_before_ms: 10,
        depth: 3,
        max_agents: Some(4),
        agents_ever: Some(9),
        ..limited(2)
    };
    let inside = Spec {
        depth: 2,
        ..root.clone()
    };
    let beyond = [
        Spec {
            depth: 3,
            ..inside.clone()
        },
        Spec {
            not_after_ms: 101,
            ..inside.clone()
        },
        Spec {
            not_before_ms: 9,
            ..inside.clone()
        },
        Spec {
            max_agents: Some(5),
            ..inside.clone()
        },
        Spec {
            agents_ever: Some(10),
            ..inside.clone()
        },
        limited_to(&inside, Some(3)),
    ];
    for child in beyond {
        let mut tree = GrantTree::new();
        tree.found(id(0), root.clone()).unwrap();
        let Err(TreeError::Refused(refusal)) = tree.derive(&id(0), id(1), child, 50) else {
            panic!("accepted")
        };
        assert_eq!(refusal.excess.len(), 1, "{refusal:?}");
        tree.derive(&id(0), id(1), inside.clone(), 50).unwrap();
        assert_eq!(
            tree.derive(&id(0), id(1), limited_to(&inside, None), 50),
            Err(TreeError::Exists)
        );
        let leaf = Spec {
            depth: 0,
            ..limited_to(&inside, None)
        };
        tree.derive(&id(1), id(2), leaf.clone(), 50).unwrap();
        assert!(matches!(
            tree.derive(&id(2), id(3), leaf, 50),
            Err(TreeError::Refused(_))
        ));
    }
}

fn limited_to(spec: &Spec, max: Option<u64>) -> Spec {
    let mut spec = spec.clone();
    spec.rules[0].max = max;
    spec
}

#[test]
fn a_freeze_denies_all_below_until_it_is_lifted_and_stops_births() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(2)).unwrap();
    let child = Spec {
        depth: 7,
        ..limited_to(&limited(2), None)
    };
    tree.derive(&id(0), id(1), child.clone(), 0).unwrap();
    assert!(tree.set_frozen(&id(0), true).unwrap());
    let found = ask(&tree, id(1), "svc.restart", "svc:a", 5, false);
    assert_eq!(
        found
            .failures
            .iter()
            .map(|f| (f.level, f.cause.clone()))
            .collect::<Vec<_>>(),
        [(1, Cause::Frozen)]
    );
    assert!(tree.derive(&id(0), id(2), child, 0).is_err());
    assert!(tree.set_frozen(&id(0), false).unwrap());
    assert_eq!(
        ask(&tree, id(1), "svc.restart", "svc:a", 5, false).outcome,
        Outcome::Allow
    );
}

#[test]
fn rewording_a_rule_never_refills_it() {
    let mut tree = GrantTree::new();
    tree.found(id(0), limited(3)).unwrap();
    let mut open = Vec::new();
    for _ in 0..2 {
        let (_, held) = tree
            .reserve(&id(0), &request("svc.restart", "svc:a", 1, false))
            .unwrap();
        open.push(held.unwrap().0);
    }
    tree.commit(open[0]).unwrap(); // one spent, one in progress
    let mut wider = limited(3);
    wider.rules[0].on = ResourcePattern::parse("svc:a/**").unwrap();
    let kept = tree.amend(&id(0), wider.clone()).unwrap();
    assert_eq!((kept[0].0, kept[0].1.used), (1, 2)); // a rule of its own, with all that the old one had spent
    let kept = tree
        .amend(
            &id(0),
            Spec {
                rules: vec![Rule {
                    max: Some(2),
                    ..wider.rules[0].clone()
                }],
                ..wider.clone()
            },
        )
        .unwrap();
    assert_eq!((kept[0].0, kept[0].1.used), (1, 2)); // the same scope, the same rule
    assert_eq!(
        ask(&tree, id(0), "svc.restart", "svc:a", 5, false).outcome,
        Outcome::Deny
    );
    tree.release(open[1]).unwrap(); // its rule is gone: what it held stays spent
    assert_eq!(
        ask(&tree, id(0), "svc.restart", "svc:a", 5, false).outcome,
        Outcome::Deny
    );
}
