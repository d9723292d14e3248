//! The supervisor's grant tree and the names its rules are made of.
use std::collections::HashSet;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use queenright_core::budget::Rate;
use queenright_core::error::{Error, Result};
use queenright_core::grant::{
    Asks, Cause, Charge, Decision, Failure, Fix, GrantId, GrantTree as Tree, Outcome, Refusal,
    Request, Spent, TreeError, Use,
};
use queenright_core::pattern::{
    BadPattern, ResourcePattern, VerbPattern, check_resource, check_verb,
};
use queenright_core::rule::{Excess, Mode, Never, Rule, Spec};

use crate::error::Mapped;
use crate::shared::birth_batch::BirthBatch;

pyo3::create_exception!(
    queenright._core.host,
    GrantRefused,
    PyException,
    "Every reason against a child grant."
);

fn bad(error: BadPattern) -> Error {
    Error::malformed(format!("not a name or pattern: {error}"))
}

/// True if every verb of the pattern `inner` is one of the pattern `outer`'s.
#[pyfunction]
pub fn verb_covers(outer: &str, inner: &str) -> PyResult<bool> {
    let both = || -> Result<bool> { Ok(verb(outer)?.covers(&verb(inner)?)) };
    both().mapped()
}

/// True if some verb is in both patterns.
#[pyfunction]
pub fn verb_overlaps(one: &str, other: &str) -> PyResult<bool> {
    let both = || -> Result<bool> { Ok(verb(one)?.overlaps(&verb(other)?)) };
    both().mapped()
}

/// True if every resource of the pattern `inner` is one of the pattern `outer`'s.
#[pyfunction]
pub fn resource_covers(outer: &str, inner: &str) -> PyResult<bool> {
    let both = || -> Result<bool> { Ok(resource(outer)?.covers(&resource(inner)?)) };
    both().mapped()
}

/// True if some resource is in both patterns.
#[pyfunction]
pub fn resource_overlaps(one: &str, other: &str) -> PyResult<bool> {
    let both = || -> Result<bool> { Ok(resource(one)?.overlaps(&resource(other)?)) };
    both().mapped()
}

/// Refuses a text that is not one verb and one resource, without patterns.
#[pyfunction]
pub fn check_names(verb: &str, resource: &str) -> PyResult<()> {
    check_verb(verb)
        .and_then(|()| check_resource(resource))
        .map_err(bad)
        .mapped()
}

fn verb(text: &str) -> Result<VerbPattern> {
    VerbPattern::parse(text).map_err(bad)
}

fn resource(text: &str) -> Result<ResourcePattern> {
    ResourcePattern::parse(text).map_err(bad)
}

#[derive(FromPyObject, IntoPyObject)]
#[pyo3(from_item_all)]
pub struct RuleFields {
    verbs: Vec<String>,
    on: String,
    mode: String,
    exercise: bool,
    delegate: bool,
    max: Option<u64>,
    min_gap_ms: u64,
    rate_agent: Option<(u32, u64)>,
    rate_all: Option<(u32, u64)>,
    clause: u32,
}

#[derive(FromPyObject, IntoPyObject)]
#[pyo3(from_item_all)]
pub struct SpecFields {
    rules: Vec<RuleFields>,
    never: Vec<(Vec<String>, String)>,
    not_before_ms: u64,
    not_after_ms: u64,
    depth: u32,
    max_agents: Option<u64>,
    agents_ever: Option<u64>,
}

fn rate(pair: Option<(u32, u64)>) -> Result<Option<Rate>> {
    match pair {
        Some((0, _) | (_, 0)) => Err(Error::malformed("a rate is at least 1 in at least 1 ms")),
        Some((count, per_ms)) => Ok(Some(Rate { count, per_ms })),
        None => Ok(None),
    }
}

impl TryFrom<RuleFields> for Rule {
    type Error = Error;

    fn try_from(fields: RuleFields) -> Result<Self> {
        let mode = match fields.mode.as_str() {
            "allow" => Mode::Allow,
            "ask" => Mode::Ask,
            _ => return Err(Error::malformed("the mode of a rule is allow or ask")),
        };
        Ok(Self {
            verbs: fields
                .verbs
                .iter()
                .map(|text| verb(text))
                .collect::<Result<_>>()?,
            on: resource(&fields.on)?,
            mode,
            exercise: fields.exercise,
            delegate: fields.delegate,
            max: fields.max,
            min_gap_ms: fields.min_gap_ms,
            rate_agent: rate(fields.rate_agent)?,
            rate_all: rate(fields.rate_all)?,
            clause: fields.clause,
        })
    }
}

impl TryFrom<SpecFields> for Spec {
    type Error = Error;

    fn try_from(fields: SpecFields) -> Result<Self> {
        let never = |(verbs, on): (Vec<String>, String)| -> Result<Never> {
            let verbs = verbs.iter().map(|text| verb(text)).collect::<Result<_>>()?;
            Ok(Never {
                verbs,
                on: resource(&on)?,
            })
        };
        Ok(Self {
            rules: fields
                .rules
                .into_iter()
                .map(Rule::try_from)
                .collect::<Result<_>>()?,
            never: fields.never.into_iter().map(never).collect::<Result<_>>()?,
            not_before_ms: fields.not_before_ms,
            not_after_ms: fields.not_after_ms,
            depth: fields.depth,
            max_agents: fields.max_agents,
            agents_ever: fields.agents_ever,
        })
    }
}

fn texts(verbs: &[VerbPattern]) -> Vec<String> {
    verbs.iter().map(ToString::to_string).collect()
}

impl From<Rule> for RuleFields {
    fn from(rule: Rule) -> Self {
        Self {
            verbs: texts(&rule.verbs),
            on: rule.on.to_string(),
            mode: if rule.mode == Mode::Ask {
                "ask"
            } else {
                "allow"
            }
            .to_owned(),
            exercise: rule.exercise,
            delegate: rule.delegate,
            max: rule.max,
            min_gap_ms: rule.min_gap_ms,
            rate_agent: rule.rate_agent.map(|rate| (rate.count, rate.per_ms)),
            rate_all: rule.rate_all.map(|rate| (rate.count, rate.per_ms)),
            clause: rule.clause,
        }
    }
}

impl From<Spec> for SpecFields {
    fn from(spec: Spec) -> Self {
        Self {
            rules: spec.rules.into_iter().map(RuleFields::from).collect(),
            never: spec
                .never
                .iter()
                .map(|never| (texts(&never.verbs), never.on.to_string()))
                .collect(),
            not_before_ms: spec.not_before_ms,
            not_after_ms: spec.not_after_ms,
            depth: spec.depth,
            max_agents: spec.max_agents,
            agents_ever: spec.agents_ever,
        }
    }
}

type Facts<'py> = Bound<'py, PyDict>;

fn failure<'py>(py: Python<'py>, failure: &Failure, now_ms: u64) -> PyResult<Facts<'py>> {
    let facts = PyDict::new(py);
    facts.set_item("level", failure.level)?;
    facts.set_item("grant", failure.grant.as_slice())?;
    let name = match &failure.cause {
        Cause::Revoked { at_ms } => {
            facts.set_item("at_ms", at_ms)?;
            "revoked"
        }
        Cause::Frozen => "frozen",
        Cause::NotYet { not_before_ms } => {
            facts.set_item("not_before_ms", not_before_ms)?;
            "not_before"
        }
        Cause::Expired { not_after_ms } => {
            facts.set_item("not_after_ms", not_after_ms)?;
            "expired"
        }
        Cause::Never { index } => {
            facts.set_item("index", index)?;
            "never"
        }
        Cause::Scope { withheld } => {
            facts.set_item("withheld", withheld)?;
            "scope"
        }
        Cause::Budget {
            rule, budget, max, ..
        } => {
            facts.set_item("rule", rule)?;
            facts.set_item("used", budget.used)?;
            facts.set_item("held", budget.held)?;
            facts.set_item("given", budget.given)?;
            facts.set_item("max", max)?;
            "budget"
        }
        Cause::Gap {
            rule,
            until_ms,
            gap_ms,
        } => {
            facts.set_item("rule", rule)?;
            facts.set_item("until_ms", until_ms)?;
            facts.set_item("gap_ms", gap_ms)?;
            "gap"
        }
        Cause::Rate {
            rule,
            until_ms,
            each,
        } => {
            facts.set_item("rule", rule)?;
            facts.set_item("until_ms", until_ms)?;
            facts.set_item("each", each)?;
            "rate"
        }
    };
    facts.set_item("name", name)?;
    match failure.fix(now_ms) {
        Fix::AddRule => facts.set_item("fix", ("add_rule", 0))?,
        Fix::DropNever { index } => facts.set_item("fix", ("drop_never", index))?,
        Fix::RaiseMax { max, .. } => facts.set_item("fix", ("raise_max", max))?,
        Fix::Wait { until_ms } => facts.set_item("fix", ("wait", until_ms))?,
        Fix::Extend { not_after_ms } => facts.set_item("fix", ("extend", not_after_ms))?,
        Fix::Unfreeze => facts.set_item("fix", ("unfreeze", 0))?,
        Fix::Nothing => facts.set_item("fix", py.None())?,
    }
    Ok(facts)
}

fn failures<'py>(py: Python<'py>, all: &[Failure], now_ms: u64) -> PyResult<Vec<Facts<'py>>> {
    all.iter().map(|one| failure(py, one, now_ms)).collect()
}

fn reasons<'py>(py: Python<'py>, refusal: &Refusal, now_ms: u64) -> PyResult<Vec<Facts<'py>>> {
    let mut found = failures(py, &refusal.dead, now_ms)?;
    for full in &refusal.full {
        let facts = PyDict::new(py);
        facts.set_item(
            "name",
            if full.ever {
                "agents_ever"
            } else {
                "max_agents"
            },
        )?;
        facts.set_item("level", full.level)?;
        facts.set_item("grant", full.grant.as_slice())?;
        facts.set_item("limit", full.limit)?;
        found.push(facts);
    }
    for excess in &refusal.excess {
        let facts = PyDict::new(py);
        facts.set_item("level", 0)?;
        let (name, wanted, limit, place) = match excess {
            Excess::Scope { verb, on } => ("scope", 0, 0, Some((verb, on))),
            Excess::MustAsk { verb, on } => ("must_ask", 0, 0, Some((verb, on))),
            Excess::Never { verb, on } => ("never", 0, 0, Some((verb, on))),
            Excess::Budget {
                verb,
                on,
                wanted,
                left,
            } => ("budget", *wanted, *left, Some((verb, on))),
            Excess::NotAfter { wanted, limit } => ("not_after", *wanted, *limit, None),
            Excess::NotBefore { wanted, limit } => ("not_before", *wanted, *limit, None),
            Excess::Depth { wanted, left } => ("depth", u64::from(*wanted), u64::from(*left), None),
            Excess::MaxAgents { wanted, limit } => ("agents", *wanted, *limit, None),
            Excess::AgentsEver { wanted, limit } => ("agents_ever", *wanted, *limit, None),
        };
        facts.set_item("name", name)?;
        facts.set_item("wanted", wanted)?;
        facts.set_item("limit", limit)?;
        if let Some((verb, on)) = place {
            facts.set_item("verb", verb)?;
            facts.set_item("on", on)?;
        }
        found.push(facts);
    }
    Ok(found)
}

fn tree_error(py: Python<'_>, error: TreeError, now_ms: u64) -> PyErr {
    let message = match error {
        TreeError::Refused(refusal) => {
            let raised = GrantRefused::new_err("the parent's grant does not allow this child");
            return match reasons(py, &refusal, now_ms)
                .and_then(|all| raised.value(py).setattr("reasons", all))
            {
                Ok(()) => raised,
                Err(broken) => broken,
            };
        }
        TreeError::UnknownGrant => Error::unknown("no such grant in the tree"),
        TreeError::UnknownReservation => Error::unknown("no such open reservation"),
        TreeError::Exists => Error::conflict("this grant is in the tree already"),
        TreeError::NotALeaf => Error::conflict("this grant has children"),
        TreeError::TooManyRules(count) => {
            Error::malformed(format!("{count} rules in one grant: at most 256"))
        }
        TreeError::ChainTooLong => {
            Error::conflict("the chain from agent to intent would be longer than 10")
        }
    };
    let Err(raised) = Err::<Infallible, Error>(message).mapped();
    raised
}

type Verdict<'py> = (
    &'static str,
    Vec<Facts<'py>>,
    Vec<(usize, GrantId, Option<u32>, Option<u32>)>,
);

fn decision<'py>(py: Python<'py>, decision: &Decision, now_ms: u64) -> PyResult<Verdict<'py>> {
    let outcome = match decision.outcome {
        Outcome::Allow => "allow",
        Outcome::Ask => "ask",
        Outcome::Deny => "deny",
    };
    let asks = decision.asks.iter().map(
        |Asks {
             level,
             grant,
             rule,
             clause,
         }| (*level, *grant, *rule, *clause),
    );
    Ok((
        outcome,
        failures(py, &decision.failures, now_ms)?,
        asks.collect(),
    ))
}

type ChargeFields = (GrantId, u32, u64, Option<u64>, u64, Vec<Use>);

type HeldFields = (u64, Vec<ChargeFields>);
type SpendingFields = (u32, u64, u64, u64, Vec<Use>);

fn charges(all: Vec<Charge>) -> Vec<ChargeFields> {
    all.into_iter()
        .map(|charge| {
            (
                charge.grant,
                charge.rule,
                charge.cost,
                charge.max,
                charge.min_gap_ms,
                charge.recent,
            )
        })
        .collect()
}

/// The grants of all intents. Safe to use from several threads; every answer is of one moment.
#[pyclass(frozen, module = "queenright._core.host")]
#[derive(Default)]
pub struct GrantTree {
    // No Python code runs while this lock is held, so a thread may wait for it with the interpreter's lock.
    tree: RwLock<Tree>,
}

impl GrantTree {
    /// A poisoned lock means a panic in the core, which leaves counters only higher than they should be: fail closed, go on.
    fn read(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request<'a>(
    names: (&'a str, &'a str),
    flags: (bool, bool),
    cost: u32,
    now_ms: u64,
) -> Result<Request<'a>> {
    let (verb, resource) = names;
    check_verb(verb)
        .and_then(|()| check_resource(resource))
        .map_err(bad)?;
    let cost = NonZeroU32::new(cost).ok_or_else(|| Error::malformed("an act costs at least 1"))?;
    Ok(Request {
        verb,
        resource,
        irreversible: flags.0,
        approved: flags.1,
        cost,
        now_ms,
    })
}

#[pymethods]
impl GrantTree {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.read().len()
    }

    fn __contains__(&self, grant: GrantId) -> bool {
        self.read().spec(&grant).is_ok()
    }

    /// Founds a tree. Raises Conflict if `grant` is there already, Malformed for a bad pattern.
    fn found(&self, py: Python<'_>, grant: GrantId, spec: SpecFields) -> PyResult<()> {
        let spec = Spec::try_from(spec).mapped()?;
        let done = self.write().found(grant, spec);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Adds a child. Raises GrantRefused with every reason in `reasons`.
    fn derive(
        &self,
        py: Python<'_>,
        parent: GrantId,
        grant: GrantId,
        spec: SpecFields,
        now_ms: u64,
    ) -> PyResult<()> {
        let spec = Spec::try_from(spec).mapped()?;
        let done = py.detach(|| self.write().derive(&parent, grant, spec, now_ms));
        done.map_err(|error| tree_error(py, error, now_ms))
    }

    /// Adds a child for every member of the batch, each with this spec, or none. Raises GrantRefused with every reason.
    fn derive_batch(
        &self,
        py: Python<'_>,
        parent: GrantId,
        batch: &BirthBatch,
        spec: SpecFields,
        now_ms: u64,
    ) -> PyResult<()> {
        let spec = Spec::try_from(spec).mapped()?;
        let grants = batch.core().ids();
        let done = py.detach(|| self.write().derive_batch(&parent, grants, spec, now_ms));
        done.map_err(|error| tree_error(py, error, now_ms))
    }

    /// Forgets every member of a batch whose birth was refused by the store. None of them has children yet.
    fn batch_never_was(&self, py: Python<'_>, batch: &BirthBatch) -> PyResult<()> {
        let grants = batch.core().ids();
        let done = py.detach(|| {
            let mut tree = self.write();
            grants
                .iter()
                .rev()
                .try_for_each(|grant| tree.remove(grant, true))
        });
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Forgets these members of batches, none of whom has children, as `remove` does.
    fn remove_many(&self, py: Python<'_>, grants: Vec<GrantId>) -> PyResult<()> {
        let done = py.detach(|| {
            let mut tree = self.write();
            grants
                .iter()
                .rev()
                .try_for_each(|grant| tree.remove(grant, false))
        });
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Puts back the batch's members but `without` those the store tells more of; which of the batch those were.
    fn load_batch(
        &self,
        py: Python<'_>,
        parent: GrantId,
        batch: &BirthBatch,
        spec: SpecFields,
        without: HashSet<GrantId>,
    ) -> PyResult<Vec<GrantId>> {
        let spec = Spec::try_from(spec).mapped()?;
        let all = batch.core().ids();
        let done = py.detach(|| {
            let (told, left): (Vec<GrantId>, Vec<GrantId>) =
                all.iter().partition(|id| without.contains(*id));
            self.write().load_batch(&parent, &left, spec).map(|()| told)
        });
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Puts back what the store kept: `rules` are (rule id, used, recent uses) in the order of the spec's rules.
    #[expect(
        clippy::too_many_arguments,
        reason = "one row of the store, each column by name"
    )]
    #[pyo3(signature = (grant, parent, spec, rules, ever, revoked_ms, frozen))]
    fn load(
        &self,
        py: Python<'_>,
        grant: GrantId,
        parent: Option<GrantId>,
        spec: SpecFields,
        rules: Vec<(u32, u64, Vec<Use>)>,
        ever: u64,
        revoked_ms: Option<u64>,
        frozen: bool,
    ) -> PyResult<()> {
        let spec = Spec::try_from(spec).mapped()?;
        let rules: Vec<(u32, Spent)> = rules
            .into_iter()
            .map(|(id, used, recent)| (id, Spent { used, recent }))
            .collect();
        let done = self
            .write()
            .load(grant, parent, spec, &rules, ever, (revoked_ms, frozen));
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Replaces what a grant says; returns each rule's (id, used, recent uses) after carrying over what was spent.
    fn amend(
        &self,
        py: Python<'_>,
        grant: GrantId,
        spec: SpecFields,
    ) -> PyResult<Vec<(u32, u64, Vec<Use>)>> {
        let spec = Spec::try_from(spec).mapped()?;
        let kept = self
            .write()
            .amend(&grant, spec)
            .map_err(|error| tree_error(py, error, 0))?;
        Ok(kept
            .into_iter()
            .map(|(id, spent)| (id, spent.used, spent.recent))
            .collect())
    }

    /// ("allow" | "ask" | "deny", every failing dimension, every level that asks). Changes nothing.
    #[pyo3(signature = (grant, verb, resource, *, now_ms, irreversible=false, approved=false, cost=1))]
    #[expect(clippy::too_many_arguments, reason = "one question, each part by name")]
    fn check<'py>(
        &self,
        py: Python<'py>,
        grant: GrantId,
        verb: &str,
        resource: &str,
        now_ms: u64,
        irreversible: bool,
        approved: bool,
        cost: u32,
    ) -> PyResult<Verdict<'py>> {
        let asked = request((verb, resource), (irreversible, approved), cost, now_ms).mapped()?;
        let found = self
            .read()
            .check(&grant, &asked)
            .map_err(|error| tree_error(py, error, now_ms))?;
        decision(py, &found, now_ms)
    }

    /// As `check`; if allowed, holds the cost at every level and returns (reservation, charges) beside the decision.
    #[pyo3(signature = (grant, verb, resource, *, now_ms, irreversible=false, approved=false, cost=1))]
    #[expect(clippy::too_many_arguments, reason = "one question, each part by name")]
    fn reserve<'py>(
        &self,
        py: Python<'py>,
        grant: GrantId,
        verb: &str,
        resource: &str,
        now_ms: u64,
        irreversible: bool,
        approved: bool,
        cost: u32,
    ) -> PyResult<(Verdict<'py>, Option<HeldFields>)> {
        let asked = request((verb, resource), (irreversible, approved), cost, now_ms).mapped()?;
        let (found, held) = self
            .write()
            .reserve(&grant, &asked)
            .map_err(|error| tree_error(py, error, now_ms))?;
        Ok((
            decision(py, &found, now_ms)?,
            held.map(|(id, all)| (id, charges(all))),
        ))
    }

    /// What was held is spent: call once the act's start is durable.
    fn commit(&self, py: Python<'_>, reservation: u64) -> PyResult<()> {
        let done = self.write().commit(reservation);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Gives a reservation back at every level, before its start or after a failure without an effect.
    fn release(&self, py: Python<'_>, reservation: u64) -> PyResult<Vec<ChargeFields>> {
        let done = self.write().release(reservation);
        done.map(charges).map_err(|error| tree_error(py, error, 0))
    }

    /// Forgets a committed reservation whose act had its effect.
    fn settle(&self, py: Python<'_>, reservation: u64) -> PyResult<()> {
        let done = self.write().settle(reservation);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Ends a grant and all below it; False if it was revoked before.
    fn revoke(&self, py: Python<'_>, grant: GrantId, at_ms: u64) -> PyResult<bool> {
        let done = self.write().revoke(&grant, at_ms);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Freezes or thaws a grant and all below it; False if it was so before.
    fn set_frozen(&self, py: Python<'_>, grant: GrantId, frozen: bool) -> PyResult<bool> {
        let done = self.write().set_frozen(&grant, frozen);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// Forgets a grant without children. `never_was`: its birth was refused by the store.
    #[pyo3(signature = (grant, *, never_was=false))]
    fn remove(&self, py: Python<'_>, grant: GrantId, never_was: bool) -> PyResult<()> {
        let done = self.write().remove(&grant, never_was);
        done.map_err(|error| tree_error(py, error, 0))
    }

    /// The grants from this one up to its intent.
    fn path(&self, py: Python<'_>, grant: GrantId) -> PyResult<Vec<GrantId>> {
        let found = self.read().path(&grant);
        found.map_err(|error| tree_error(py, error, 0))
    }

    fn child_count(&self, py: Python<'_>, grant: GrantId) -> PyResult<usize> {
        let found = self.read().child_count(&grant);
        found.map_err(|error| tree_error(py, error, 0))
    }

    fn children(&self, py: Python<'_>, grant: GrantId) -> PyResult<Vec<GrantId>> {
        let found = self.read().children(&grant);
        found.map_err(|error| tree_error(py, error, 0))
    }

    /// This grant and every one below it, parents first.
    fn subtree(&self, py: Python<'_>, grant: GrantId) -> PyResult<Vec<GrantId>> {
        let found = py.detach(|| self.read().subtree(&grant));
        found.map_err(|error| tree_error(py, error, 0))
    }

    fn spec(&self, py: Python<'_>, grant: GrantId) -> PyResult<SpecFields> {
        let found = self.read().spec(&grant);
        found
            .map(SpecFields::from)
            .map_err(|error| tree_error(py, error, 0))
    }

    /// Each rule's (id, used, held, given, recent uses), in the order of the rules.
    fn spending(&self, py: Python<'_>, grant: GrantId) -> PyResult<Vec<SpendingFields>> {
        let found = self
            .read()
            .spending(&grant)
            .map_err(|error| tree_error(py, error, 0))?;
        let row = |(id, budget, recent): (u32, queenright_core::budget::Budget, Vec<Use>)| {
            (id, budget.used, budget.held, budget.given, recent)
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// (agents living below, agents ever born below, revoked at ms or None, frozen).
    fn state(&self, py: Python<'_>, grant: GrantId) -> PyResult<(u64, u64, Option<u64>, bool)> {
        let found = self.read().state(&grant);
        found.map_err(|error| tree_error(py, error, 0))
    }

    /// Every level of the chain that is revoked, frozen or out of its time; empty if it lives.
    fn dead<'py>(&self, py: Python<'py>, grant: GrantId, now_ms: u64) -> PyResult<Vec<Facts<'py>>> {
        let found = self
            .read()
            .alive(&grant, now_ms)
            .map_err(|error| tree_error(py, error, now_ms))?;
        failures(py, &found, now_ms)
    }
}
