//! Births and amendments: attenuation, bounds, and what a parent has promised its children.

use std::collections::HashMap;
use std::sync::Arc;

use super::judge::life;
use super::shape::Slot;
use super::{Full, GrantTree, Key, Line, Node, RECENT, Refusal, Spent, TreeError, spent, whole};
use crate::decision::{Failure, GrantId};
use crate::rule::{Excess, MAX_CHAIN, MAX_RULES, Rule, Spec, excess};

impl GrantTree {
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
        self.fresh(&grant, &spec)?;
        let above = self.may_derive(parent, &spec, 1, now_ms)?;
        let key = self.insert(grant, Some(above), spec);
        self.count_births(above, 1, true);
        self.promise(key);
        Ok(())
    }

    /// Adds all of `grants` under `parent`, each with this spec, or none of them and says every reason.
    pub fn derive_batch(
        &mut self,
        parent: &GrantId,
        grants: &[GrantId],
        spec: Spec,
        now_ms: u64,
    ) -> Result<(), TreeError> {
        self.all_fresh(grants, &spec)?;
        let above = self.may_derive(parent, &spec, grants.len() as u64, now_ms)?;
        self.insert_members(grants, above, spec);
        self.count_births(above, grants.len() as u64, true);
        Ok(())
    }

    /// Puts back the members of a batch that are as they were born; no judgement is repeated.
    pub fn load_batch(
        &mut self,
        parent: &GrantId,
        grants: &[GrantId],
        spec: Spec,
    ) -> Result<(), TreeError> {
        self.all_fresh(grants, &spec)?;
        let above = self.key(parent)?;
        self.insert_members(grants, above, spec);
        self.count_births(above, grants.len() as u64, false);
        Ok(())
    }

    fn all_fresh(&self, grants: &[GrantId], spec: &Spec) -> Result<(), TreeError> {
        for grant in grants {
            self.fresh(grant, spec)?;
        }
        let mut sorted: Vec<&GrantId> = grants.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(TreeError::Exists);
        }
        Ok(())
    }

    /// Whether `count` children of this spec may be born under `parent` now; every reason why not.
    fn may_derive(
        &self,
        parent: &GrantId,
        spec: &Spec,
        count: u64,
        now_ms: u64,
    ) -> Result<Key, TreeError> {
        let above = self.key(parent)?;
        let mut refusal = Refusal::default();
        let mut length = 1;
        for here in self.chain(above) {
            life(here.node, now_ms, &mut |cause| {
                refusal.dead.push(Failure {
                    level: here.level,
                    grant: here.id,
                    cause,
                })
            });
            for (living, limit, ever) in [
                (here.node.agents, here.node.spec.max_agents, false),
                (here.node.ever, here.node.spec.agents_ever, true),
            ] {
                if let Some(limit) = limit
                    && living.saturating_add(count) > limit
                {
                    refusal.full.push(Full {
                        level: here.level,
                        grant: here.id,
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
        refusal.excess = excess(&whole(holder), spec);
        refusal.excess.extend(overdrawn(holder, &spec.rules, count));
        if refusal != Refusal::default() {
            return Err(TreeError::Refused(refusal));
        }
        Ok(above)
    }

    fn fresh(&self, grant: &GrantId, spec: &Spec) -> Result<(), TreeError> {
        if self.place(grant).is_some() {
            return Err(TreeError::Exists);
        }
        if spec.rules.len() > MAX_RULES || spec.never.len() > MAX_RULES {
            return Err(TreeError::TooManyRules(
                spec.rules.len().max(spec.never.len()),
            ));
        }
        Ok(())
    }

    fn insert(&mut self, grant: GrantId, parent: Option<Key>, spec: Spec) -> Key {
        let node = self.make(grant, parent, spec);
        let key = self.occupy(&grant, Slot::Full(Box::new(node)));
        self.join(parent, key);
        key
    }

    pub(super) fn make(&self, grant: GrantId, parent: Option<Key>, mut spec: Spec) -> Node {
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
        Node {
            id: grant,
            parent,
            children: Vec::new(),
            position: 0,
            spec,
            lines,
            next_rule,
            agents: 0,
            ever: 0,
            revoked_ms: None,
            frozen: false,
        }
    }

    fn count_births(&mut self, from: Key, count: u64, ever: bool) {
        let mut at = Some(from);
        while let Some(node) = at.and_then(|key| self.node_mut(key)) {
            node.agents = node.agents.saturating_add(count);
            if ever {
                node.ever = node.ever.saturating_add(count);
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
    pub(super) fn unpromise(&mut self, child: Key) {
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
            self.count_births(above, 1, false);
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
            found.extend(overdrawn(holder, &spec.rules, 1));
            if !found.is_empty() {
                self.promise(key);
                return Err(TreeError::Refused(Refusal {
                    excess: found,
                    ..Refusal::default()
                }));
            }
        }
        let (children, shapes) = self.brood(key);
        for child in &children {
            self.unpromise(*child);
        }
        for shape in &shapes {
            self.unpromise_shape(*shape);
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
        for shape in shapes {
            self.promise_shape(shape);
        }
        Ok(kept)
    }
}

/// The parent's limited rules out of which a child's limited rule is promised its `max`.
pub(super) fn promisers(holder: &Node, rule: &Rule) -> Vec<u32> {
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

/// The promises of `count` such children never exceed what the parent has left: each rule that would.
fn overdrawn(holder: &Node, rules: &[Rule], count: u64) -> Vec<Excess> {
    let mut wanted: HashMap<u32, u64> = HashMap::new();
    let mut found = Vec::new();
    for rule in rules {
        for id in promisers(holder, rule) {
            let Some(line) = holder.lines.iter().find(|line| line.id == id) else {
                continue;
            };
            let sum = wanted.entry(id).or_default();
            *sum = sum.saturating_add(rule.max.unwrap_or(0).saturating_mul(count));
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
