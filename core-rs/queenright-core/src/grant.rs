//! The tree of authority: each grant lies inside what its parent may delegate, up to the operator's intent.
//!
//! A check walks from the agent to the intent and looks at every level: life, time, `never`, scope, and every limit.
//! Nothing is cached on the way, so a flag set at one node is seen by the next check of everyone below it.
//! Several rules may match at one level: then all their limits hold, and an ask beats an allow.
//! Judging is in `judge`, budgets in `spend`, births and amendments in `grow`.
//!
//! Children born in one batch say the same until something happens to one of them: until then each is an id and the
//! number of the shape they share, and only then a node of its own (`node_mut`).

mod grow;
mod judge;
mod shape;
mod spend;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use self::judge::life;
use self::shape::{Shape, Slot};
use self::spend::Reservation;
use crate::budget::Budget;
pub use crate::decision::{Asks, Cause, Decision, Failure, Fix, GrantId, Outcome, Request, Use};
use crate::id_index::IdIndex;
use crate::rule::{Excess, Rule, Spec};

/// A rule's id, counters and last uses.
pub type Spending = (u32, Budget, Vec<Use>);
/// What a reservation is called, and what it holds.
pub type Held = (u64, Vec<Charge>);

/// How many of the last spenders of a budget are remembered for the explanation of a denial.
pub const RECENT: usize = 4;

/// Why the tree refused a change. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeError {
    UnknownGrant,
    UnknownReservation,
    Exists,
    NotALeaf,
    TooManyRules(usize),
    ChainTooLong,
    Refused(Refusal),
}

/// Every reason against a child grant: levels (0 is the parent) that are revoked, frozen or out of their time, levels
/// that may hold no more agents, and everything it asked for beyond what the parent may hand down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    pub dead: Vec<Failure>,
    pub full: Vec<Full>,
    pub excess: Vec<Excess>,
}

/// `max_agents` (or, with `ever`, `agents_ever`) of that level is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub level: usize,
    pub grant: GrantId,
    pub limit: u64,
    pub ever: bool,
}

/// A use of one counted rule, as it must be written down with the act's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub grant: GrantId,
    pub rule: u32,
    pub cost: u64,
    pub max: Option<u64>,
    pub min_gap_ms: u64,
    pub recent: Vec<Use>,
}

/// What the store kept of one rule's counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    pub used: u64,
    pub recent: Vec<Use>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    slot: u32,
    generation: u32,
}

#[derive(Debug, Default)]
struct Counters {
    budget: Budget,
    recent: VecDeque<Use>,
    tat_all: u128,
    tat_agent: HashMap<Key, u128>,
}

#[derive(Debug)]
struct Line {
    id: u32,
    rule: Arc<Rule>,
    counters: Option<Box<Counters>>,
    /// Rules of the parent out of whose budget this rule's `max` was promised.
    promised_by: Vec<u32>,
}

impl Line {
    fn new(id: u32, rule: Arc<Rule>) -> Self {
        Self {
            id,
            rule,
            counters: None,
            promised_by: Vec::new(),
        }
    }

    /// The same rule with the same backing, and nothing spent.
    fn as_born(&self) -> Self {
        Self {
            id: self.id,
            rule: Arc::clone(&self.rule),
            counters: None,
            promised_by: self.promised_by.clone(),
        }
    }

    fn budget(&self) -> Budget {
        self.counters
            .as_ref()
            .map_or_else(Budget::default, |counters| counters.budget)
    }

    /// What of this rule's `max` is promised and neither used nor held.
    fn unspent(&self) -> u64 {
        let budget = self.budget();
        self.rule
            .max
            .unwrap_or(0)
            .saturating_sub(budget.used)
            .saturating_sub(budget.held)
    }

    fn last_ms(&self) -> Option<u64> {
        self.counters
            .as_ref()
            .and_then(|counters| counters.recent.back())
            .map(|(_, at)| *at)
    }
}

#[derive(Debug)]
struct Node {
    id: GrantId,
    parent: Option<Key>,
    children: Vec<Key>,
    /// Where it stands among its parent's children.
    position: u32,
    /// The rules live in `lines`; this holds the rest.
    spec: Spec,
    lines: Vec<Line>,
    next_rule: u32,
    agents: u64,
    ever: u64,
    revoked_ms: Option<u64>,
    frozen: bool,
}

/// One grant of a chain. `id` is the grant's own: `node` may be what it shares with others of its batch.
struct Level<'a> {
    level: usize,
    key: Key,
    id: GrantId,
    node: &'a Node,
}

/// The forest of all intents' grants.
#[derive(Debug, Default)]
pub struct GrantTree {
    slots: Vec<(u32, Slot)>,
    free: Vec<u32>,
    by_id: IdIndex,
    shapes: Vec<Shape>,
    free_shapes: Vec<u32>,
    reservations: HashMap<u64, Reservation>,
    next_reservation: u64,
}

impl GrantTree {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn key(&self, grant: &GrantId) -> Result<Key, TreeError> {
        self.place(grant)
            .and_then(|slot| self.key_at(slot))
            .ok_or(TreeError::UnknownGrant)
    }

    fn named(&self, grant: &GrantId) -> Result<&Node, TreeError> {
        self.node(self.key(grant)?).ok_or(TreeError::UnknownGrant)
    }

    fn named_mut(&mut self, grant: &GrantId) -> Result<&mut Node, TreeError> {
        let key = self.key(grant)?;
        self.node_mut(key).ok_or(TreeError::UnknownGrant)
    }

    fn chain(&self, from: Key) -> impl Iterator<Item = Level<'_>> {
        let mut at = Some(from);
        let mut level = 0;
        std::iter::from_fn(move || {
            let key = at?;
            let (node, id) = (self.node(key)?, self.id(key)?);
            let here = Level {
                level,
                key,
                id,
                node,
            };
            at = node.parent;
            level += 1;
            Some(here)
        })
    }

    // ---- ending ----

    /// Ends a grant and everything below it, for ever. One flag: the next check of anyone below sees it.
    pub fn revoke(&mut self, grant: &GrantId, at_ms: u64) -> Result<bool, TreeError> {
        let key = self.key(grant)?;
        if self.named(grant)?.revoked_ms.is_some() {
            return Ok(false);
        }
        self.unpromise(key);
        self.named_mut(grant)?.revoked_ms = Some(at_ms);
        Ok(true)
    }

    pub fn set_frozen(&mut self, grant: &GrantId, frozen: bool) -> Result<bool, TreeError> {
        let node = self.named_mut(grant)?;
        Ok(std::mem::replace(&mut node.frozen, frozen) != frozen)
    }

    /// Forgets a grant that has no children left. `never_was`: its birth was refused by the store and is not counted.
    pub fn remove(&mut self, grant: &GrantId, never_was: bool) -> Result<(), TreeError> {
        let key = self.key(grant)?;
        if !self.named(grant)?.children.is_empty() {
            return Err(TreeError::NotALeaf);
        }
        self.unpromise(key);
        let mut at = self.named(grant)?.parent;
        let position = self.position(key);
        self.leave(at, position);
        while let Some(node) = at.and_then(|key| self.node_mut(key)) {
            node.agents = node.agents.saturating_sub(1);
            node.ever = node.ever.saturating_sub(u64::from(never_was));
            for counters in node
                .lines
                .iter_mut()
                .filter_map(|line| line.counters.as_mut())
            {
                counters.tat_agent.remove(&key);
            }
            at = node.parent;
        }
        self.vacate(grant, key);
        Ok(())
    }

    // ---- reading ----

    /// The grants from this one up to its intent.
    pub fn path(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        Ok(self.chain(self.key(grant)?).map(|level| level.id).collect())
    }

    pub fn children(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        Ok(self
            .named(grant)?
            .children
            .iter()
            .filter_map(|key| self.id(*key))
            .collect())
    }

    pub fn child_count(&self, grant: &GrantId) -> Result<usize, TreeError> {
        Ok(self.named(grant)?.children.len())
    }

    /// Every grant below this one and itself, parents first.
    pub fn subtree(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        let mut found = vec![self.key(grant)?];
        let mut next = 0;
        while let Some(node) = found.get(next).and_then(|key| self.node(*key)) {
            found.extend_from_slice(&node.children);
            next += 1;
        }
        Ok(found.into_iter().filter_map(|key| self.id(key)).collect())
    }

    pub fn spec(&self, grant: &GrantId) -> Result<Spec, TreeError> {
        Ok(whole(self.named(grant)?))
    }

    /// Each rule's id, counters and last uses, in the order of the rules.
    pub fn spending(&self, grant: &GrantId) -> Result<Vec<Spending>, TreeError> {
        let lines = self.named(grant)?.lines.iter();
        Ok(lines
            .map(|line| (line.id, line.budget(), spent(line).recent))
            .collect())
    }

    /// Agents living below, agents ever born below, when it was revoked, and whether it is frozen.
    pub fn state(&self, grant: &GrantId) -> Result<(u64, u64, Option<u64>, bool), TreeError> {
        let node = self.named(grant)?;
        Ok((node.agents, node.ever, node.revoked_ms, node.frozen))
    }

    /// Is the whole chain alive at `now_ms`? Every level at which it is not.
    pub fn alive(&self, grant: &GrantId, now_ms: u64) -> Result<Vec<Failure>, TreeError> {
        let mut dead = Vec::new();
        for here in self.chain(self.key(grant)?) {
            life(here.node, now_ms, &mut |cause| {
                dead.push(Failure {
                    level: here.level,
                    grant: here.id,
                    cause,
                })
            });
        }
        Ok(dead)
    }
}

fn whole(node: &Node) -> Spec {
    Spec {
        rules: node.lines.iter().map(|line| (*line.rule).clone()).collect(),
        ..node.spec.clone()
    }
}

fn spent(line: &Line) -> Spent {
    let recent = line
        .counters
        .as_ref()
        .map_or_else(Vec::new, |c| c.recent.iter().copied().collect());
    Spent {
        used: line.budget().used,
        recent,
    }
}
