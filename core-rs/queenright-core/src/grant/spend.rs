//! Spending: a cost is held at every level, then committed or given back.

use std::sync::Arc;

use super::{Charge, Counters, GrantTree, Held, Key, RECENT, TreeError};
use crate::decision::{Decision, GrantId, Outcome, Request, Use};

#[derive(Debug)]
pub(super) struct Hold {
    pub(super) key: Key,
    pub(super) rule: u32,
    /// How many rules of the level below had this use promised to them.
    pub(super) promises: u64,
    pub(super) below: Option<Key>,
    pub(super) entry: Use,
}

#[derive(Debug)]
pub(super) struct Reservation {
    cost: u64,
    committed: bool,
    held: Vec<Hold>,
}

impl GrantTree {
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
}
