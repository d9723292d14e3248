//! The tree of authority: each grant lies inside what its parent may delegate, up to the operator's intent.
//!
//! A check walks from the agent to the intent and looks at every level: life, time, `never`, scope, and every limit.
//! Nothing is cached on the way, so a flag set at one node is seen by the next check of everyone below it.
//! Several rules may match at one level: then all their limits hold, and an ask beats an allow.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::budget::Budget;
use crate::rule::{Excess, MAX_CHAIN, MAX_RULES, Mode, Rule, Spec, excess};

pub type GrantId = [u8; 32];
/// Who used a rule, and when (wall milliseconds).
pub type Use = (GrantId, u64);
/// A rule's id, counters and last uses.
pub type Spending = (u32, Budget, Vec<Use>);
/// What a reservation is called, and what it holds.
pub type Held = (u64, Vec<Charge>);

/// How many of the last spenders of a budget are remembered for the explanation of a denial.
pub const RECENT: usize = 4;

/// One question. `irreversible`: the act's class is `none`. `approved`: a verdict for exactly this act is at hand.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub verb: &'a str,
    pub resource: &'a str,
    pub irreversible: bool,
    pub approved: bool,
    pub cost: NonZeroU32,
    pub now_ms: u64,
}

impl Request<'_> {
    fn cost(&self) -> u64 {
        u64::from(self.cost.get())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allow,
    Ask,
    Deny,
}

/// Why an act fails at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Revoked {
        at_ms: u64,
    },
    Frozen,
    NotYet {
        not_before_ms: u64,
    },
    Expired {
        not_after_ms: u64,
    },
    Never {
        index: usize,
    },
    /// No rule for it; `withheld` if there is one that may be handed down but not used here, or used but not handed down.
    Scope {
        withheld: bool,
    },
    Budget {
        rule: u32,
        budget: Budget,
        max: u64,
        needs: Option<u64>,
    },
    Gap {
        rule: u32,
        until_ms: u64,
        gap_ms: u64,
    },
    Rate {
        rule: u32,
        until_ms: u64,
        each: bool,
    },
}

/// The smallest change after which this cause would no longer stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Add a rule for exactly this verb and resource.
    AddRule,
    DropNever {
        index: usize,
    },
    RaiseMax {
        rule: u32,
        max: u64,
    },
    Wait {
        until_ms: u64,
    },
    Extend {
        not_after_ms: u64,
    },
    Unfreeze,
    /// Revocation is final, and a count cannot grow past its type.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// 0 is the acting agent's own grant; the last level is the intent.
    pub level: usize,
    pub grant: GrantId,
    pub cause: Cause,
}

impl Failure {
    pub fn fix(&self, now_ms: u64) -> Fix {
        match self.cause {
            Cause::Revoked { .. } => Fix::Nothing,
            Cause::Frozen => Fix::Unfreeze,
            Cause::NotYet { not_before_ms } => Fix::Wait {
                until_ms: not_before_ms,
            },
            Cause::Expired { .. } => Fix::Extend {
                not_after_ms: now_ms.saturating_add(1),
            },
            Cause::Never { index } => Fix::DropNever { index },
            Cause::Scope { .. } => Fix::AddRule,
            Cause::Budget { rule, needs, .. } => {
                needs.map_or(Fix::Nothing, |max| Fix::RaiseMax { rule, max })
            }
            Cause::Gap { until_ms, .. } | Cause::Rate { until_ms, .. } => Fix::Wait { until_ms },
        }
    }
}

/// A level that wants a person: by one of its ask rules, or because the act has no undo and no rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks {
    pub level: usize,
    pub grant: GrantId,
    pub rule: Option<u32>,
    pub clause: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub failures: Vec<Failure>,
    pub asks: Vec<Asks>,
}

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
    /// The rules live in `lines`; this holds the rest.
    spec: Spec,
    lines: Vec<Line>,
    next_rule: u32,
    agents: u64,
    ever: u64,
    revoked_ms: Option<u64>,
    frozen: bool,
}

#[derive(Debug)]
struct Hold {
    key: Key,
    rule: u32,
    /// How many rules of the level below had this use promised to them.
    promises: u64,
    below: Option<Key>,
    entry: Use,
}

#[derive(Debug)]
struct Reservation {
    cost: u64,
    committed: bool,
    held: Vec<Hold>,
}

/// The forest of all intents' grants.
#[derive(Debug, Default)]
pub struct GrantTree {
    slots: Vec<(u32, Option<Node>)>,
    free: Vec<u32>,
    by_id: HashMap<GrantId, Key>,
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
        self.by_id
            .get(grant)
            .copied()
            .ok_or(TreeError::UnknownGrant)
    }

    fn node(&self, key: Key) -> Option<&Node> {
        let (generation, node) = self.slots.get(key.slot as usize)?;
        node.as_ref().filter(|_| *generation == key.generation)
    }

    fn node_mut(&mut self, key: Key) -> Option<&mut Node> {
        let (generation, node) = self.slots.get_mut(key.slot as usize)?;
        node.as_mut().filter(|_| *generation == key.generation)
    }

    fn named(&self, grant: &GrantId) -> Result<&Node, TreeError> {
        self.node(self.key(grant)?).ok_or(TreeError::UnknownGrant)
    }

    fn named_mut(&mut self, grant: &GrantId) -> Result<&mut Node, TreeError> {
        let key = self.key(grant)?;
        self.node_mut(key).ok_or(TreeError::UnknownGrant)
    }

    fn chain(&self, from: Key) -> impl Iterator<Item = (usize, Key, &Node)> {
        let mut at = Some(from);
        let mut level = 0;
        std::iter::from_fn(move || {
            let key = at?;
            let node = self.node(key)?;
            let here = (level, key, node);
            at = node.parent;
            level += 1;
            Some(here)
        })
    }

    // ---- judging ----

    pub fn check(&self, grant: &GrantId, request: &Request<'_>) -> Result<Decision, TreeError> {
        Ok(self.judge(self.key(grant)?, request, None))
    }

    fn judge(
        &self,
        acting: Key,
        request: &Request<'_>,
        mut held: Option<&mut Vec<Hold>>,
    ) -> Decision {
        let mut decision = Decision {
            outcome: Outcome::Allow,
            failures: Vec::new(),
            asks: Vec::new(),
        };
        let mut promised: Vec<u32> = Vec::new();
        let mut below = None;
        let me = self.node(acting).map_or([0; 32], |node| node.id);
        let mut rooted = false;
        for (level, key, node) in self.chain(acting) {
            let mut fail = |cause| {
                decision.failures.push(Failure {
                    level,
                    grant: node.id,
                    cause,
                })
            };
            life(node, request.now_ms, &mut fail);
            for (index, never) in node.spec.never.iter().enumerate() {
                if never.matches(request.verb, request.resource) {
                    fail(Cause::Never { index });
                }
            }
            let mut promises = Vec::new();
            let (mut found, mut withheld, mut named, mut asked) = (false, false, false, false);
            for line in &node.lines {
                let rule = &*line.rule;
                if !rule.matches(request.verb, request.resource) {
                    continue;
                }
                if !(if level == 0 {
                    rule.exercise
                } else {
                    rule.delegate
                }) {
                    withheld = true;
                    continue;
                }
                found = true;
                if rule.mode == Mode::Ask {
                    asked = true;
                    decision.asks.push(Asks {
                        level,
                        grant: node.id,
                        rule: Some(line.id),
                        clause: Some(rule.clause),
                    });
                } else {
                    named |= rule.names(request.verb);
                }
                let mine = promised.iter().filter(|id| **id == line.id).count() as u64;
                if rule.has_limit() {
                    limits(line, request, acting, mine > 0, &mut fail);
                }
                // The intent counts every use, so that a maximum set by a later amendment is exact from the start.
                if let Some(held) = held.as_deref_mut()
                    && (rule.has_limit() || node.parent.is_none())
                {
                    held.push(Hold {
                        key,
                        rule: line.id,
                        promises: mine,
                        below,
                        entry: (me, request.now_ms),
                    });
                }
                promises.extend_from_slice(&line.promised_by);
            }
            if !found {
                fail(Cause::Scope { withheld });
            } else if request.irreversible && !named && !asked {
                decision.asks.push(Asks {
                    level,
                    grant: node.id,
                    rule: None,
                    clause: None,
                });
            }
            promised = promises;
            below = Some(key);
            rooted = node.parent.is_none();
        }
        if !rooted {
            // A chain that does not end at an intent proves nothing.
            decision.failures.push(Failure {
                level: 0,
                grant: me,
                cause: Cause::Scope { withheld: false },
            });
        }
        decision.outcome = if !decision.failures.is_empty() {
            Outcome::Deny
        } else if !decision.asks.is_empty() && !request.approved {
            Outcome::Ask
        } else {
            Outcome::Allow
        };
        decision
    }

    // ---- spending ----

    /// Checks and, if allowed, holds the cost at every level. The act must then end in `commit` or `release`.
    pub fn reserve(
        &mut self,
        grant: &GrantId,
        request: &Request<'_>,
    ) -> Result<(Decision, Option<Held>), TreeError> {
        let acting = self.key(grant)?;
        let mut held = Vec::new();
        let decision = self.judge(acting, request, Some(&mut held));
        if decision.outcome != Outcome::Allow {
            return Ok((decision, None));
        }
        let mut charges = Vec::with_capacity(held.len());
        for hold in &held {
            let Some(node) = self.node_mut(hold.key) else {
                continue;
            };
            let grant = node.id;
            let Some(line) = node.lines.iter_mut().find(|line| line.id == hold.rule) else {
                continue;
            };
            let rule = Arc::clone(&line.rule);
            let counters = line.counters.get_or_insert_default();
            counters.budget.held = counters.budget.held.saturating_add(request.cost());
            counters.budget.given = counters
                .budget
                .given
                .saturating_sub(hold.promises.saturating_mul(request.cost()));
            if let Some(rate) = rule.rate_all {
                counters.tat_all = rate
                    .take(counters.tat_all, request.now_ms, request.cost())
                    .unwrap_or(u128::MAX);
            }
            if let Some(rate) = rule.rate_agent {
                let tat = counters.tat_agent.entry(acting).or_default();
                *tat = rate
                    .take(*tat, request.now_ms, request.cost())
                    .unwrap_or(u128::MAX);
            }
            counters.recent.push_back(hold.entry);
            if counters.recent.len() > RECENT {
                counters.recent.pop_front();
            }
            let recent = counters.recent.iter().copied().collect();
            charges.push(Charge {
                grant,
                rule: hold.rule,
                cost: request.cost(),
                max: rule.max,
                min_gap_ms: rule.min_gap_ms,
                recent,
            });
        }
        self.next_reservation += 1;
        let id = self.next_reservation;
        self.reservations.insert(
            id,
            Reservation {
                cost: request.cost(),
                committed: false,
                held,
            },
        );
        Ok((decision, Some((id, charges))))
    }

    /// The start of the act is durable: what was held is spent, and a crash from here on does not give it back.
    pub fn commit(&mut self, reservation: u64) -> Result<(), TreeError> {
        let Some(mut open) = self.reservations.remove(&reservation) else {
            return Err(TreeError::UnknownReservation);
        };
        if open.committed {
            self.reservations.insert(reservation, open);
            return Err(TreeError::UnknownReservation);
        }
        for hold in &open.held {
            if let Some(counters) = self.counters(hold) {
                counters.budget.held = counters.budget.held.saturating_sub(open.cost);
                counters.budget.used = counters.budget.used.saturating_add(open.cost);
            }
        }
        open.committed = true;
        self.reservations.insert(reservation, open);
        Ok(())
    }

    /// The act did not start, or failed before it had an effect: what it cost comes back at every level.
    /// Rates are not given back: they bound work, and a try is work.
    pub fn release(&mut self, reservation: u64) -> Result<Vec<Charge>, TreeError> {
        let open = self
            .reservations
            .remove(&reservation)
            .ok_or(TreeError::UnknownReservation)?;
        let mut charges = Vec::new();
        for hold in &open.held {
            let keeps_promise = hold
                .below
                .and_then(|key| self.node(key))
                .is_some_and(|node| node.revoked_ms.is_none());
            let Some(node) = self.node_mut(hold.key) else {
                continue;
            };
            let grant = node.id;
            let Some(line) = node.lines.iter_mut().find(|line| line.id == hold.rule) else {
                continue;
            };
            let (max, min_gap_ms) = (line.rule.max, line.rule.min_gap_ms);
            let Some(counters) = line.counters.as_mut() else {
                continue;
            };
            let spent = if open.committed {
                &mut counters.budget.used
            } else {
                &mut counters.budget.held
            };
            *spent = spent.saturating_sub(open.cost);
            if keeps_promise {
                let back = hold.promises.saturating_mul(open.cost);
                counters.budget.given = counters.budget.given.saturating_add(back);
            }
            if let Some(at) = counters
                .recent
                .iter()
                .rposition(|entry| *entry == hold.entry)
            {
                counters.recent.remove(at);
            }
            let recent = counters.recent.iter().copied().collect();
            charges.push(Charge {
                grant,
                rule: hold.rule,
                cost: open.cost,
                max,
                min_gap_ms,
                recent,
            });
        }
        Ok(charges)
    }

    /// The act has ended with an effect: there is nothing left to give back.
    pub fn settle(&mut self, reservation: u64) -> Result<(), TreeError> {
        match self.reservations.remove(&reservation) {
            Some(open) if open.committed => Ok(()),
            Some(open) => {
                self.reservations.insert(reservation, open);
                Err(TreeError::UnknownReservation)
            }
            None => Err(TreeError::UnknownReservation),
        }
    }

    fn counters(&mut self, hold: &Hold) -> Option<&mut Counters> {
        let node = self.node_mut(hold.key)?;
        node.lines
            .iter_mut()
            .find(|line| line.id == hold.rule)?
            .counters
            .as_deref_mut()
    }

    // ---- growing ----

    /// Founds a tree: the grant of an intent.
    pub fn found(&mut self, grant: GrantId, spec: Spec) -> Result<(), TreeError> {
        self.fresh(&grant, &spec)?;
        self.insert(grant, None, spec);
        Ok(())
    }

    /// Adds `grant` under `parent`, or refuses with every reason.
    pub fn derive(
        &mut self,
        parent: &GrantId,
        grant: GrantId,
        spec: Spec,
        now_ms: u64,
    ) -> Result<(), TreeError> {
        let above = self.key(parent)?;
        self.fresh(&grant, &spec)?;
        let mut refusal = Refusal::default();
        let mut length = 1;
        for (level, _, node) in self.chain(above) {
            life(node, now_ms, &mut |cause| {
                refusal.dead.push(Failure {
                    level,
                    grant: node.id,
                    cause,
                })
            });
            for (count, limit, ever) in [
                (node.agents, node.spec.max_agents, false),
                (node.ever, node.spec.agents_ever, true),
            ] {
                if let Some(limit) = limit
                    && count >= limit
                {
                    refusal.full.push(Full {
                        level,
                        grant: node.id,
                        limit,
                        ever,
                    });
                }
            }
            length += 1;
        }
        if length > MAX_CHAIN {
            return Err(TreeError::ChainTooLong);
        }
        let holder = self.named(parent)?;
        refusal.excess = excess(&whole(holder), &spec);
        refusal.excess.extend(overdrawn(holder, &spec.rules));
        if refusal != Refusal::default() {
            return Err(TreeError::Refused(refusal));
        }
        let key = self.insert(grant, Some(above), spec);
        self.count_birth(above, true);
        self.promise(key);
        Ok(())
    }

    fn fresh(&self, grant: &GrantId, spec: &Spec) -> Result<(), TreeError> {
        if self.by_id.contains_key(grant) {
            return Err(TreeError::Exists);
        }
        if spec.rules.len() > MAX_RULES || spec.never.len() > MAX_RULES {
            return Err(TreeError::TooManyRules(
                spec.rules.len().max(spec.never.len()),
            ));
        }
        Ok(())
    }

    fn insert(&mut self, grant: GrantId, parent: Option<Key>, mut spec: Spec) -> Key {
        let rules = std::mem::take(&mut spec.rules);
        let next_rule = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        // A swarm's children mostly say what their parent says: equal rules are kept once.
        let known = parent
            .and_then(|above| self.node(above))
            .map_or(&[][..], |above| &above.lines);
        let share = |rule| {
            known
                .iter()
                .find(|line| *line.rule == rule)
                .map_or_else(|| Arc::new(rule), |l| Arc::clone(&l.rule))
        };
        let lines = (0..)
            .zip(rules)
            .map(|(id, rule)| Line::new(id, share(rule)))
            .collect();
        let node = Node {
            id: grant,
            parent,
            children: Vec::new(),
            spec,
            lines,
            next_rule,
            agents: 0,
            ever: 0,
            revoked_ms: None,
            frozen: false,
        };
        let key = if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.1 = Some(node);
            Key {
                slot,
                generation: entry.0,
            }
        } else {
            let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.slots.push((0, Some(node)));
            Key {
                slot,
                generation: 0,
            }
        };
        self.by_id.insert(grant, key);
        if let Some(above) = parent.and_then(|above| self.node_mut(above)) {
            above.children.push(key);
        }
        key
    }

    fn count_birth(&mut self, from: Key, ever: bool) {
        let mut at = Some(from);
        while let Some(node) = at.and_then(|key| self.node_mut(key)) {
            node.agents = node.agents.saturating_add(1);
            if ever {
                node.ever = node.ever.saturating_add(1);
            }
            at = node.parent;
        }
    }

    /// Links a child's limited rules to the parent's limited rules that cover them, and promises what is unspent.
    fn promise(&mut self, child: Key) {
        let Some(node) = self.node(child) else { return };
        let Some((above, holder)) = node.parent.and_then(|key| Some((key, self.node(key)?))) else {
            return;
        };
        let links: Vec<Vec<u32>> = node
            .lines
            .iter()
            .map(|line| promisers(holder, &line.rule))
            .collect();
        let alive = node.revoked_ms.is_none();
        let unspent: Vec<u64> = node
            .lines
            .iter()
            .map(|line| if alive { line.unspent() } else { 0 })
            .collect();
        for (ids, amount) in links.iter().zip(unspent) {
            for id in ids {
                if let Some(line) = self
                    .node_mut(above)
                    .and_then(|node| node.lines.iter_mut().find(|l| l.id == *id))
                {
                    let budget = &mut line.counters.get_or_insert_default().budget;
                    budget.given = budget.given.saturating_add(amount);
                }
            }
        }
        if let Some(node) = self.node_mut(child) {
            for (line, ids) in node.lines.iter_mut().zip(links) {
                line.promised_by = ids;
            }
        }
    }

    /// Gives what a child was promised and has not used back to its parent.
    fn unpromise(&mut self, child: Key) {
        let Some(node) = self.node_mut(child) else {
            return;
        };
        let Some(above) = node.parent else { return };
        let alive = node.revoked_ms.is_none();
        let back: Vec<(Vec<u32>, u64)> = node
            .lines
            .iter_mut()
            .map(|line| (std::mem::take(&mut line.promised_by), line.unspent()))
            .collect();
        if !alive {
            return;
        }
        for (ids, amount) in back {
            for id in ids {
                let line = self
                    .node_mut(above)
                    .and_then(|node| node.lines.iter_mut().find(|line| line.id == id));
                if let Some(counters) = line.and_then(|line| line.counters.as_mut()) {
                    counters.budget.given = counters.budget.given.saturating_sub(amount);
                }
            }
        }
    }

    /// Puts back a grant the store kept, with its rule ids and counters. Parents first; no judgement is repeated.
    pub fn load(
        &mut self,
        grant: GrantId,
        parent: Option<GrantId>,
        spec: Spec,
        rules: &[(u32, Spent)],
        ever: u64,
        state: (Option<u64>, bool),
    ) -> Result<(), TreeError> {
        self.fresh(&grant, &spec)?;
        let above = parent.map(|id| self.key(&id)).transpose()?;
        if rules.len() != spec.rules.len() {
            return Err(TreeError::TooManyRules(rules.len()));
        }
        let key = self.insert(grant, above, spec);
        if let Some(node) = self.node_mut(key) {
            node.ever = ever;
            node.revoked_ms = state.0;
            node.frozen = state.1;
            for (line, (id, spent)) in node.lines.iter_mut().zip(rules) {
                line.id = *id;
                node.next_rule = node.next_rule.max(id.saturating_add(1));
                if *spent != Spent::default() {
                    let counters = line.counters.get_or_insert_default();
                    counters.budget.used = spent.used;
                    counters.recent = spent.recent.iter().copied().collect();
                }
            }
        }
        if let Some(above) = above {
            self.count_birth(above, false);
            self.promise(key);
        }
        Ok(())
    }

    /// Replaces what a grant says. Rules of the same scope keep their counters; a rule of a new scope starts with all
    /// that overlapping old rules had spent, so rewording a rule never refills it. Returns the rules' ids and spending.
    pub fn amend(&mut self, grant: &GrantId, spec: Spec) -> Result<Vec<(u32, Spent)>, TreeError> {
        let key = self.key(grant)?;
        if spec.rules.len() > MAX_RULES || spec.never.len() > MAX_RULES {
            return Err(TreeError::TooManyRules(
                spec.rules.len().max(spec.never.len()),
            ));
        }
        let parent = self.named(grant)?.parent;
        self.unpromise(key);
        if let Some(holder) = parent.and_then(|key| self.node(key)) {
            let mut found = excess(&whole(holder), &spec);
            found.extend(overdrawn(holder, &spec.rules));
            if !found.is_empty() {
                self.promise(key);
                return Err(TreeError::Refused(Refusal {
                    excess: found,
                    ..Refusal::default()
                }));
            }
        }
        let children = self.named(grant)?.children.clone();
        for child in &children {
            self.unpromise(*child);
        }
        let node = self.named_mut(grant)?;
        let mut spec = spec;
        let rules = std::mem::take(&mut spec.rules);
        let mut old = std::mem::take(&mut node.lines);
        for rule in rules {
            if let Some(at) = old.iter().position(|line| line.rule.same_scope(&rule)) {
                let line = old.swap_remove(at);
                node.lines.push(Line {
                    rule: Arc::new(rule),
                    ..line
                });
                continue;
            }
            node.lines.push(Line::new(node.next_rule, Arc::new(rule)));
            node.next_rule = node.next_rule.saturating_add(1);
        }
        carry(&mut node.lines, &old);
        node.spec = spec;
        let kept = node
            .lines
            .iter()
            .map(|line| (line.id, spent(line)))
            .collect();
        self.promise(key);
        for child in children {
            self.promise(child);
        }
        Ok(kept)
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
        if let Some(above) = at.and_then(|key| self.node_mut(key)) {
            above.children.retain(|child| *child != key);
        }
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
        self.by_id.remove(grant);
        let entry = &mut self.slots[key.slot as usize];
        entry.1 = None;
        // A slot whose generations are used up is left empty: a stale key must never find a new grant.
        if let Some(next) = entry.0.checked_add(1) {
            entry.0 = next;
            self.free.push(key.slot);
        }
        Ok(())
    }

    // ---- reading ----

    /// The grants from this one up to its intent.
    pub fn path(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        Ok(self
            .chain(self.key(grant)?)
            .map(|(_, _, node)| node.id)
            .collect())
    }

    pub fn children(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        Ok(self
            .named(grant)?
            .children
            .iter()
            .filter_map(|key| self.node(*key))
            .map(|node| node.id)
            .collect())
    }

    /// Every grant below this one and itself, parents first.
    pub fn subtree(&self, grant: &GrantId) -> Result<Vec<GrantId>, TreeError> {
        let mut found = vec![self.key(grant)?];
        let mut next = 0;
        while let Some(node) = found.get(next).and_then(|key| self.node(*key)) {
            found.extend_from_slice(&node.children);
            next += 1;
        }
        Ok(found
            .into_iter()
            .filter_map(|key| self.node(key))
            .map(|node| node.id)
            .collect())
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
        for (level, _, node) in self.chain(self.key(grant)?) {
            life(node, now_ms, &mut |cause| {
                dead.push(Failure {
                    level,
                    grant: node.id,
                    cause,
                })
            });
        }
        Ok(dead)
    }
}

fn life(node: &Node, now_ms: u64, fail: &mut impl FnMut(Cause)) {
    if let Some(at_ms) = node.revoked_ms {
        fail(Cause::Revoked { at_ms });
    }
    if node.frozen {
        fail(Cause::Frozen);
    }
    if now_ms < node.spec.not_before_ms {
        fail(Cause::NotYet {
            not_before_ms: node.spec.not_before_ms,
        });
    }
    if now_ms >= node.spec.not_after_ms {
        fail(Cause::Expired {
            not_after_ms: node.spec.not_after_ms,
        });
    }
}

fn limits(
    line: &Line,
    request: &Request<'_>,
    acting: Key,
    promised: bool,
    fail: &mut impl FnMut(Cause),
) {
    let rule = &*line.rule;
    let budget = line.budget();
    if let Some(max) = rule.max
        && !budget.fits(request.cost(), Some(max), promised)
    {
        fail(Cause::Budget {
            rule: line.id,
            budget,
            max,
            needs: budget.needs(request.cost(), promised),
        });
    }
    if let Some(last) = line.last_ms().filter(|_| rule.min_gap_ms > 0) {
        let until_ms = last.saturating_add(rule.min_gap_ms);
        if request.now_ms < until_ms {
            fail(Cause::Gap {
                rule: line.id,
                until_ms,
                gap_ms: rule.min_gap_ms,
            });
        }
    }
    let counters = line.counters.as_deref();
    if let Some(rate) = rule.rate_all
        && let Err(until_ms) = rate.take(
            counters.map_or(0, |c| c.tat_all),
            request.now_ms,
            request.cost(),
        )
    {
        fail(Cause::Rate {
            rule: line.id,
            until_ms,
            each: false,
        });
    }
    if let Some(rate) = rule.rate_agent {
        let tat = counters
            .and_then(|c| c.tat_agent.get(&acting))
            .copied()
            .unwrap_or(0);
        if let Err(until_ms) = rate.take(tat, request.now_ms, request.cost()) {
            fail(Cause::Rate {
                rule: line.id,
                until_ms,
                each: true,
            });
        }
    }
}

fn whole(node: &Node) -> Spec {
    Spec {
        rules: node.lines.iter().map(|line| (*line.rule).clone()).collect(),
        ..node.spec.clone()
    }
}

/// The parent's limited rules out of which a child's limited rule is promised its `max`.
fn promisers(holder: &Node, rule: &Rule) -> Vec<u32> {
    if rule.max.is_none() {
        return Vec::new();
    }
    let covering = holder
        .lines
        .iter()
        .filter(|line| line.rule.max.is_some() && line.rule.delegate);
    covering
        .filter(|line| line.rule.covers_rule(rule))
        .map(|line| line.id)
        .collect()
}

/// Children's promises never exceed what the parent has left: each rule that would.
fn overdrawn(holder: &Node, rules: &[Rule]) -> Vec<Excess> {
    let mut wanted: HashMap<u32, u64> = HashMap::new();
    let mut found = Vec::new();
    for rule in rules {
        for id in promisers(holder, rule) {
            let Some(line) = holder.lines.iter().find(|line| line.id == id) else {
                continue;
            };
            let sum = wanted.entry(id).or_default();
            *sum = sum.saturating_add(rule.max.unwrap_or(0));
            let budget = line.budget();
            let left = line.unspent().saturating_sub(budget.given);
            if *sum > left {
                let verb = rule
                    .verbs
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                found.push(Excess::Budget {
                    verb,
                    on: rule.on.to_string(),
                    wanted: *sum,
                    left,
                });
            }
        }
    }
    found
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

fn carry(lines: &mut [Line], old: &[Line]) {
    for line in lines.iter_mut().filter(|line| line.counters.is_none()) {
        for gone in old
            .iter()
            .filter(|gone| gone.rule.overlaps_rule(&line.rule))
        {
            let before = spent(gone);
            let held = gone.budget().held;
            if before == Spent::default() && held == 0 {
                continue;
            }
            let counters = line.counters.get_or_insert_default();
            counters.budget.used = counters
                .budget
                .used
                .saturating_add(before.used)
                .saturating_add(held);
            counters.recent.extend(before.recent);
            counters.recent.make_contiguous().sort_by_key(|(_, at)| *at);
            while counters.recent.len() > RECENT {
                counters.recent.pop_front();
            }
        }
    }
}
