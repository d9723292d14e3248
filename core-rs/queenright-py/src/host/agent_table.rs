//! The supervisor's table of all agents.
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::prelude::*;
use queenright_core::agent_table::{AgentTable as Table, Class, Origin, Single, Status};

use crate::error::Mapped;
use crate::shared::birth_batch::BirthBatch;

type Id = [u8; 32];
type RecordFields = (
    String,
    String,
    Id,
    Id,
    Option<Id>,
    bool,
    &'static str,
    u64,
    u32,
    bool,
    Option<(Id, u32)>,
);

/// Every agent, by id. Ids are 32 bytes; a cell is its start number. Raises Unknown for an id that is not there.
#[pyclass(frozen, module = "queenright._core.host")]
#[derive(Default)]
pub struct AgentTable {
    // No Python code runs while this lock is held, so a thread may wait for it with the interpreter's lock.
    table: RwLock<Table>,
}

impl AgentTable {
    /// A panic in the core leaves rows that were written whole: reading on is safe, and the store is the truth.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl AgentTable {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.read().len()
    }

    fn __contains__(&self, agent: Id) -> bool {
        self.read().contains(&agent)
    }

    /// One agent. Raises Conflict if the id is there, Unknown if the parent is not.
    #[pyo3(signature = (agent, *, parent, name, intent, package, behaviour, own_cell, status, turn))]
    #[expect(clippy::too_many_arguments, reason = "a row, each column by name")]
    fn add(
        &self,
        agent: Id,
        parent: Option<Id>,
        name: &str,
        intent: Id,
        package: Id,
        behaviour: String,
        own_cell: bool,
        status: &str,
        turn: u64,
    ) -> PyResult<()> {
        let born = Single {
            id: agent,
            parent,
            name,
            class: Class {
                intent,
                package,
                behaviour,
                own_cell,
            },
            status: Status::parse(status).mapped()?,
            turn,
        };
        self.write().add(&born).mapped()
    }

    /// All members of a whole batch, or none. Raises Conflict if one of them is there.
    fn add_batch(&self, py: Python<'_>, batch: &BirthBatch, own_cell: bool) -> PyResult<()> {
        let batch = batch.core();
        py.detach(|| self.write().add_batch(batch, own_cell))
            .mapped()
    }

    /// The first member of the batch whose id is taken.
    fn taken(&self, py: Python<'_>, batch: &BirthBatch) -> Option<Id> {
        let batch = batch.core();
        py.detach(|| self.read().taken(batch.ids()))
    }

    /// (name, behaviour, package, intent, parent, own cell, status, turn, incarnation, in a cell, (batch, position)).
    fn record(&self, agent: Id) -> Option<RecordFields> {
        let found = self.read().record(&agent)?;
        let origin = match found.origin {
            Origin::Single => None,
            Origin::Batch(root, position) => Some((root, position)),
        };
        Some((
            found.name,
            found.class.behaviour,
            found.class.package,
            found.class.intent,
            found.parent,
            found.class.own_cell,
            found.status.name(),
            found.turn,
            found.incarnation,
            found.hosted,
            origin,
        ))
    }

    fn set_status(&self, agent: Id, status: &str) -> PyResult<()> {
        let status = Status::parse(status).mapped()?;
        self.write().set_status(&agent, status).mapped()
    }

    fn set_turn(&self, agent: Id, turn: u64) -> PyResult<()> {
        self.write().set_turn(&agent, turn).mapped()
    }

    /// Begins the agent's incarnation in that cell.
    fn host(&self, agent: Id, cell: u32) -> PyResult<()> {
        self.write().host(&agent, cell).mapped()
    }

    /// Takes the agent out of its cell; False if it was in none.
    fn unhost(&self, agent: Id) -> PyResult<bool> {
        self.write().unhost(&agent).mapped()
    }

    fn in_cell(&self, agent: Id, cell: u32) -> bool {
        self.read().in_cell(&agent, cell)
    }

    fn cell_count(&self, cell: u32) -> u32 {
        self.read().cell_count(cell)
    }

    fn cell_members(&self, cell: u32, limit: usize) -> Vec<Id> {
        self.read().cell_members(cell, limit)
    }

    /// Ends the members of that batch that never had a turn and are in no cell; who that was.
    fn end_sleepers(&self, py: Python<'_>, root: Id) -> Vec<Id> {
        py.detach(|| self.write().end_sleepers(&root))
    }

    /// How many `end_sleepers` would end.
    fn sleepers(&self, py: Python<'_>, root: Id) -> usize {
        py.detach(|| self.read().sleepers(&root))
    }

    /// Roots of the batches born to this agent or to one below it.
    fn batches_below(&self, agent: Id) -> Vec<Id> {
        self.read().batches_below(&agent)
    }

    fn batches_of_intent(&self, intent: Id) -> Vec<Id> {
        self.read().batches_of_intent(&intent)
    }

    /// Those of an intent that have not ended and ever had a turn.
    fn woken(&self, py: Python<'_>, intent: Id) -> Vec<Id> {
        py.detach(|| self.read().woken(&intent))
    }

    /// How many children have not ended.
    fn live_children(&self, agent: Id) -> PyResult<u32> {
        self.read().live_children(&agent).mapped()
    }

    /// At most `limit`, the last born first.
    fn children(&self, agent: Id, limit: usize) -> PyResult<Vec<Id>> {
        self.read().children(&agent, limit).mapped()
    }

    /// The agent and everything below it, children before parents; `living`: without those that ended.
    fn subtree(&self, py: Python<'_>, agent: Id, living: bool) -> PyResult<Vec<Id>> {
        py.detach(|| self.read().subtree(&agent, living)).mapped()
    }

    /// From the swarm's first agent down to this one; empty for one that is not there.
    fn chain(&self, agent: Id) -> Vec<Id> {
        self.read().chain(&agent)
    }

    fn depth(&self, agent: Id) -> usize {
        self.read().depth(&agent)
    }

    /// Children before parents; `living`: without those that ended.
    fn of_intent(&self, py: Python<'_>, intent: Id, living: bool) -> Vec<Id> {
        py.detach(|| self.read().of_intent(&intent, living))
    }

    fn roots(&self, intent: Id) -> Vec<Id> {
        self.read().roots(&intent)
    }

    /// (living, ever born).
    fn intent_counts(&self, intent: Id) -> (u64, u64) {
        self.read().intent_counts(&intent)
    }

    /// How many agents are of each status.
    fn counts(&self) -> HashMap<&'static str, u64> {
        let table = self.read();
        let each = Status::ALL.into_iter();
        each.map(|status| (status.name(), table.status_count(status)))
            .collect()
    }

    fn of_status(&self, py: Python<'_>, status: &str) -> PyResult<Vec<Id>> {
        let status = Status::parse(status).mapped()?;
        Ok(py.detach(|| self.read().of_status(status)))
    }

    /// At most `limit` living agents whose ids follow `after`, in the order of their ids. Looks at every row.
    #[pyo3(signature = (*, parent, intent, after, limit))]
    fn page(
        &self,
        py: Python<'_>,
        parent: Option<Id>,
        intent: Option<Id>,
        after: Option<Id>,
        limit: usize,
    ) -> Vec<Id> {
        py.detach(|| {
            self.read()
                .page(parent.as_ref(), intent.as_ref(), after.as_ref(), limit)
        })
    }

    /// Ids that begin with these lower-case hexadecimal digits. Looks at every row.
    fn by_prefix(&self, py: Python<'_>, digits: &str, limit: usize) -> Vec<Id> {
        py.detach(|| self.read().by_prefix(digits, limit))
    }

    /// Agents of exactly this name, living ones first. Looks at every row.
    fn by_name(&self, py: Python<'_>, name: &str, limit: usize) -> Vec<Id> {
        py.detach(|| self.read().by_name(name, limit))
    }

    /// (number, intent, behaviour, package) of each class that has living agents.
    fn classes(&self) -> Vec<(u32, Id, String, Id)> {
        let found = self.read().classes();
        let fields =
            |(number, class): (u32, Class)| (number, class.intent, class.behaviour, class.package);
        found.into_iter().map(fields).collect()
    }

    /// At most `limit` agents of a class that neither ended nor are stopping.
    fn of_class(&self, class: u32, limit: usize) -> Vec<Id> {
        self.read().of_class(class, limit)
    }
}
