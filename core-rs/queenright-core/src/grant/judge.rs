//! Checking: from the acting grant to the intent, every level and every dimension.

use super::TreeError;
use super::spend::Hold;
use super::{GrantTree, Key, Line, Node};
use crate::decision::{Asks, Cause, Decision, Failure, GrantId, Outcome, Request};
use crate::rule::Mode;

impl GrantTree {
    pub fn check(&self, grant: &GrantId, request: &Request<'_>) -> Result<Decision, TreeError> {
        Ok(self.judge(self.key(grant)?, request, None))
    }

    pub(super) fn judge(
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
        let me = self.id(acting).unwrap_or([0; 32]);
        let mut rooted = false;
        for here in self.chain(acting) {
            let (level, key, node) = (here.level, here.key, here.node);
            let mut fail = |cause| {
                decision.failures.push(Failure {
                    level,
                    grant: here.id,
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
                        grant: here.id,
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
                    grant: here.id,
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
}

pub(super) fn life(node: &Node, now_ms: u64, fail: &mut impl FnMut(Cause)) {
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
