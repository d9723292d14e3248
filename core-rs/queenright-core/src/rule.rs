//! What a grant says: rules, what is never allowed, times and limits; and whether one set of rules lies inside another.

use crate::budget::Rate;
use crate::pattern::{ResourcePattern, VerbPattern};

/// Most rules of one grant: a check looks at each of them at each level.
pub const MAX_RULES: usize = 256;
/// Deepest chain from an agent to its intent, both counted.
pub const MAX_CHAIN: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Allow,
    Ask,
}

/// One rule. `exercise`: the holder may do it; `delegate`: the holder may hand it down. The count, the gap and the
/// rates bind the holder and everyone below it together (`rate_agent` each of them alone).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Vec<VerbPattern>,
    pub on: ResourcePattern,
    pub mode: Mode,
    pub exercise: bool,
    pub delegate: bool,
    pub max: Option<u64>,
    pub min_gap_ms: u64,
    pub rate_agent: Option<Rate>,
    pub rate_all: Option<Rate>,
    /// The clause of the intent this rule came from: carried, never judged.
    pub clause: u32,
}

impl Rule {
    pub fn matches(&self, verb: &str, resource: &str) -> bool {
        self.verbs.iter().any(|pattern| pattern.matches(verb)) && self.on.matches(resource)
    }

    /// True if the rule names `verb` itself and not only its family: what an act without an undo needs.
    pub fn names(&self, verb: &str) -> bool {
        self.verbs
            .iter()
            .any(|pattern| pattern.is_exact() && pattern.matches(verb))
    }

    pub fn covers(&self, verb: &VerbPattern, on: &ResourcePattern) -> bool {
        self.on.covers(on) && self.verbs.iter().any(|mine| mine.covers(verb))
    }

    pub fn covers_rule(&self, other: &Self) -> bool {
        other.verbs.iter().all(|verb| self.covers(verb, &other.on))
    }

    pub fn overlaps(&self, verb: &VerbPattern, on: &ResourcePattern) -> bool {
        self.on.overlaps(on) && self.verbs.iter().any(|mine| mine.overlaps(verb))
    }

    pub fn overlaps_rule(&self, other: &Self) -> bool {
        other
            .verbs
            .iter()
            .any(|verb| self.overlaps(verb, &other.on))
    }

    pub fn has_limit(&self) -> bool {
        self.max.is_some()
            || self.min_gap_ms > 0
            || self.rate_agent.is_some()
            || self.rate_all.is_some()
    }

    /// Two rules with the same scope are the same rule across an amendment: what was spent under one carries over.
    pub fn same_scope(&self, other: &Self) -> bool {
        self.verbs == other.verbs && self.on == other.on && self.mode == other.mode
    }
}

/// Beats every rule and every approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    pub verbs: Vec<VerbPattern>,
    pub on: ResourcePattern,
}

impl Never {
    pub fn matches(&self, verb: &str, resource: &str) -> bool {
        self.verbs.iter().any(|pattern| pattern.matches(verb)) && self.on.matches(resource)
    }

    fn covers(&self, verb: &VerbPattern, on: &ResourcePattern) -> bool {
        self.on.covers(on) && self.verbs.iter().any(|mine| mine.covers(verb))
    }
}

/// Everything a grant says. Times are wall milliseconds, `not_after_ms` exclusive; `depth` is how many generations may
/// be spawned below; `max_agents` how many may live below at once and `agents_ever` in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub rules: Vec<Rule>,
    pub never: Vec<Never>,
    pub not_before_ms: u64,
    pub not_after_ms: u64,
    pub depth: u32,
    pub max_agents: Option<u64>,
    pub agents_ever: Option<u64>,
}

/// One way in which a child asked for more than its parent may hand down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excess {
    /// No delegable rule of the parent holds this verb on this resource.
    Scope {
        verb: String,
        on: String,
    },
    /// The parent may hand it down only as an ask.
    MustAsk {
        verb: String,
        on: String,
    },
    /// The parent says never.
    Never {
        verb: String,
        on: String,
    },
    /// The parent has not that many uses left to promise.
    Budget {
        verb: String,
        on: String,
        wanted: u64,
        left: u64,
    },
    NotAfter {
        wanted: u64,
        limit: u64,
    },
    NotBefore {
        wanted: u64,
        limit: u64,
    },
    Depth {
        wanted: u32,
        left: u32,
    },
    MaxAgents {
        wanted: u64,
        limit: u64,
    },
    AgentsEver {
        wanted: u64,
        limit: u64,
    },
}

/// Every way in which `child` is not inside what `parent` may delegate. Budgets are the tree's to judge.
pub fn excess(parent: &Spec, child: &Spec) -> Vec<Excess> {
    let mut found = Vec::new();
    for rule in &child.rules {
        for verb in &rule.verbs {
            let name = || (verb.to_string(), rule.on.to_string());
            let mut covering = parent
                .rules
                .iter()
                .filter(|p| p.delegate && p.covers(verb, &rule.on))
                .peekable();
            if covering.peek().is_none() {
                let (verb, on) = name();
                found.push(Excess::Scope { verb, on });
            } else if rule.mode == Mode::Allow && !keeps_asking(parent, child, rule, verb) {
                let (verb, on) = name();
                found.push(Excess::MustAsk { verb, on });
            }
            if parent
                .never
                .iter()
                .any(|never| never.covers(verb, &rule.on))
            {
                let (verb, on) = name();
                found.push(Excess::Never { verb, on });
            }
        }
    }
    if child.not_after_ms > parent.not_after_ms {
        found.push(Excess::NotAfter {
            wanted: child.not_after_ms,
            limit: parent.not_after_ms,
        });
    }
    if child.not_before_ms < parent.not_before_ms {
        found.push(Excess::NotBefore {
            wanted: child.not_before_ms,
            limit: parent.not_before_ms,
        });
    }
    if parent.depth == 0 || child.depth > parent.depth - 1 {
        found.push(Excess::Depth {
            wanted: child.depth,
            left: parent.depth,
        });
    }
    if let (Some(wanted), Some(limit)) = (child.max_agents, parent.max_agents)
        && wanted > limit
    {
        found.push(Excess::MaxAgents { wanted, limit });
    }
    if let (Some(wanted), Some(limit)) = (child.agents_ever, parent.agents_ever)
        && wanted > limit
    {
        found.push(Excess::AgentsEver { wanted, limit });
    }
    found
}

/// Where the parent must ask, an allowing child must carry an ask that covers the same ground.
fn keeps_asking(parent: &Spec, child: &Spec, rule: &Rule, verb: &VerbPattern) -> bool {
    let asks = parent
        .rules
        .iter()
        .filter(|p| p.delegate && p.mode == Mode::Ask && p.overlaps(verb, &rule.on));
    asks.into_iter().all(|ask| {
        ask.verbs.iter().filter(|v| v.overlaps(verb)).all(|theirs| {
            let narrow = if verb.covers(theirs) { theirs } else { verb };
            child.rules.iter().any(|c| {
                let whole = c.covers(narrow, &ask.on) || c.covers(narrow, &rule.on);
                c.mode == Mode::Ask && whole
            })
        })
    })
}
