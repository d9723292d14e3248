//! What a grant check is asked and what it answers: every failing dimension, its level, and the way out.

use std::num::NonZeroU32;

use crate::budget::Budget;

pub type GrantId = [u8; 32];
/// Who used a rule, and when (wall milliseconds).
pub type Use = (GrantId, u64);
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
    pub(crate) fn cost(&self) -> u64 {
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
