//! Every agent of a supervisor: who they are, their place in the spawn tree, and what must be known while they sleep.
//!
//! A row is 72 bytes and never leaves: an ended agent's id stays taken. What is not needed of a sleeping agent (its
//! certificate, its arguments, why it ended) is in the store. Rows are found by id, and walked by parent, by class and by
//! cell, so that nothing here ever goes through all of them but a search a person asked for.
mod birth;
mod change;
mod find;

use std::collections::HashMap;

pub use self::birth::Single;
use crate::birth_batch::Names;
use crate::error::{Error, Result};
use crate::id_index::{Id, IdIndex};

/// No row: the parent of a swarm's first agent, the end of a list of siblings.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Live,
    Frozen,
    Paused,
    Suspect,
    Quarantined,
    Stopping,
    Ended,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Live,
        Self::Frozen,
        Self::Paused,
        Self::Suspect,
        Self::Quarantined,
        Self::Stopping,
        Self::Ended,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Frozen => "frozen",
            Self::Paused => "paused",
            Self::Suspect => "suspect",
            Self::Quarantined => "quarantined",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }

    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| Error::malformed(format!("`{name:.32}` is no status of an agent")))
    }
}

/// What agents of one kind share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    pub intent: Id,
    pub package: Id,
    /// "package.Class"
    pub behaviour: String,
    pub own_cell: bool,
}

/// Where an agent's birth is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In its own row of the store.
    Single,
    /// In the batch of that root, at that position.
    Batch(Id, u32),
}

/// A row, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub class: Class,
    pub parent: Option<Id>,
    pub origin: Origin,
    pub status: Status,
    pub turn: u64,
    /// The cell start number of its last life; 0 if it never lived.
    pub incarnation: u32,
    /// Whether it is in that cell now.
    pub hosted: bool,
}

#[derive(Debug)]
struct Row {
    id: Id,
    turn: u64,
    parent: u32,
    first_child: u32,
    next_sibling: u32,
    live_children: u32,
    class: u32,
    incarnation: u32,
    /// A single's name in `singles`, or the batch.
    origin: u32,
    status: Status,
    batched: bool,
    hosted: bool,
}

impl Row {
    /// Born in a batch, and nothing happened to it since.
    fn asleep(&self) -> bool {
        self.batched && self.turn == 0 && self.status == Status::Live && !self.hosted
    }
}

#[derive(Debug)]
struct Batch {
    root: Id,
    first_row: u32,
    names: Names,
}

#[derive(Debug)]
struct ClassRows {
    class: Class,
    rows: Vec<u32>,
    live: u64,
}

#[derive(Debug, Default)]
struct Swarm {
    roots: Vec<u32>,
    live: u64,
    all: u64,
}

/// Rows that were put into a cell. Those that left since stay until they are half of it.
#[derive(Debug, Default)]
struct CellRows {
    rows: Vec<u32>,
    here: u32,
}

#[derive(Debug, Default)]
pub struct AgentTable {
    rows: Vec<Row>,
    by_id: IdIndex,
    singles: Vec<u8>,
    single_rows: Vec<u32>,
    batches: Vec<Batch>,
    classes: Vec<ClassRows>,
    class_of: HashMap<Class, u32>,
    swarms: HashMap<Id, Swarm>,
    by_status: [u64; 7],
    cells: HashMap<u32, CellRows>,
}

impl AgentTable {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn place(&self, id: &Id) -> Option<u32> {
        self.by_id
            .find(id, |place| Some(&self.rows.get(place as usize)?.id))
    }

    fn known(&self, id: &Id) -> Result<u32> {
        self.place(id)
            .ok_or_else(|| Error::unknown("no such agent in the table"))
    }

    fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(place as usize)
    }

    pub fn contains(&self, id: &Id) -> bool {
        self.place(id).is_some()
    }

    /// The first of these ids that is taken.
    pub fn taken<'a>(&self, ids: impl IntoIterator<Item = &'a Id>) -> Option<Id> {
        ids.into_iter().find(|id| self.contains(id)).copied()
    }

    pub fn record(&self, id: &Id) -> Option<Record> {
        let place = self.place(id)?;
        let row = self.row(place)?;
        let mut name = String::new();
        self.write_name(place, &mut name);
        Some(Record {
            name,
            class: self.classes.get(row.class as usize)?.class.clone(),
            parent: self.row(row.parent).map(|above| above.id),
            origin: self.origin(place, row),
            status: row.status,
            turn: row.turn,
            incarnation: row.incarnation,
            hosted: row.hosted,
        })
    }

    fn origin(&self, place: u32, row: &Row) -> Origin {
        let batch = self
            .batches
            .get(row.origin as usize)
            .filter(|_| row.batched);
        batch.map_or(Origin::Single, |batch| {
            Origin::Batch(batch.root, place - batch.first_row)
        })
    }

    fn write_name(&self, place: u32, out: &mut String) {
        let Some(row) = self.row(place) else { return };
        if row.batched {
            self.write_name(row.parent, out);
            out.push('/');
            if let Some(batch) = self.batches.get(row.origin as usize) {
                batch.names.write(0, place - batch.first_row, out);
            }
            return;
        }
        let (below, own) = self.single(row.origin);
        if below {
            self.write_name(row.parent, out);
            out.push('/');
        }
        out.push_str(own);
    }

    /// Whether a single's name begins with its parent's, and what it is beyond that.
    fn single(&self, origin: u32) -> (bool, &str) {
        let at = origin as usize;
        let (Some(below), Some(length)) = (self.singles.get(at), self.singles.get(at + 1)) else {
            return (false, "");
        };
        let own = self.singles.get(at + 2..at + 2 + usize::from(*length));
        (
            *below != 0,
            own.and_then(|own| std::str::from_utf8(own).ok())
                .unwrap_or(""),
        )
    }

    /// How many children have not ended.
    pub fn live_children(&self, id: &Id) -> Result<u32> {
        let place = self.known(id)?;
        Ok(self.row(place).map_or(0, |row| row.live_children))
    }

    fn children_of(&self, place: u32) -> impl Iterator<Item = (u32, &Row)> {
        let mut at = self.row(place).map_or(NONE, |row| row.first_child);
        std::iter::from_fn(move || {
            let row = self.row(at)?;
            let here = (at, row);
            at = row.next_sibling;
            Some(here)
        })
    }

    /// At most `limit` children, the last born first.
    pub fn children(&self, id: &Id, limit: usize) -> Result<Vec<Id>> {
        let place = self.known(id)?;
        Ok(self
            .children_of(place)
            .take(limit)
            .map(|(_, row)| row.id)
            .collect())
    }

    /// The agent and everything below it, children before parents. `living`: without those that ended.
    pub fn subtree(&self, id: &Id, living: bool) -> Result<Vec<Id>> {
        let mut found = Vec::new();
        self.below(self.known(id)?, living, &mut found);
        Ok(found)
    }

    fn below(&self, top: u32, living: bool, found: &mut Vec<Id>) {
        let start = found.len();
        let mut places = vec![top];
        while let Some(place) = places.pop() {
            let Some(row) = self.row(place) else { continue };
            if !living || row.status != Status::Ended {
                found.push(row.id);
            }
            places.extend(self.children_of(place).map(|(below, _)| below));
        }
        found[start..].reverse();
    }

    /// From the swarm's first agent down to this one.
    pub fn chain(&self, id: &Id) -> Vec<Id> {
        let mut at = self.place(id).unwrap_or(NONE);
        let mut found = Vec::new();
        while let Some(row) = self.row(at) {
            found.push(row.id);
            at = row.parent;
        }
        found.reverse();
        found
    }

    /// How many agents stand above this one.
    pub fn depth(&self, id: &Id) -> usize {
        let mut at = self.place(id).unwrap_or(NONE);
        let mut depth = 0;
        while let Some(above) = self
            .row(at)
            .and_then(|row| self.row(row.parent).map(|_| row.parent))
        {
            at = above;
            depth += 1;
        }
        depth
    }

    /// Everybody of an intent, children before parents. `living`: without those that ended.
    pub fn of_intent(&self, intent: &Id, living: bool) -> Vec<Id> {
        let mut found = Vec::new();
        for root in self
            .swarms
            .get(intent)
            .map_or(&[][..], |swarm| &swarm.roots)
        {
            self.below(*root, living, &mut found);
        }
        found
    }

    /// Those of an intent that have not ended and ever had a turn.
    pub fn woken(&self, intent: &Id) -> Vec<Id> {
        let mut found = Vec::new();
        for kind in self
            .classes
            .iter()
            .filter(|kind| kind.class.intent == *intent)
        {
            let rows = kind.rows.iter().filter_map(|place| self.row(*place));
            found.extend(
                rows.filter(|row| row.turn > 0 && row.status != Status::Ended)
                    .map(|row| row.id),
            );
        }
        found
    }

    /// The agents of an intent that nobody spawned.
    pub fn roots(&self, intent: &Id) -> Vec<Id> {
        let roots = self
            .swarms
            .get(intent)
            .map_or(&[][..], |swarm| &swarm.roots);
        roots
            .iter()
            .filter_map(|place| self.row(*place))
            .map(|row| row.id)
            .collect()
    }

    /// How many of an intent live, and how many were ever born.
    pub fn intent_counts(&self, intent: &Id) -> (u64, u64) {
        self.swarms
            .get(intent)
            .map_or((0, 0), |swarm| (swarm.live, swarm.all))
    }

    pub fn status_count(&self, status: Status) -> u64 {
        self.by_status[status as usize]
    }

    /// How many agents are in the cell now.
    pub fn cell_count(&self, cell: u32) -> u32 {
        self.cells.get(&cell).map_or(0, |members| members.here)
    }

    pub fn in_cell(&self, id: &Id, cell: u32) -> bool {
        let row = self.place(id).and_then(|place| self.row(place));
        row.is_some_and(|row| row.hosted && row.incarnation == cell)
    }

    /// At most `limit` of the agents that are in the cell now.
    pub fn cell_members(&self, cell: u32, limit: usize) -> Vec<Id> {
        let mut places: Vec<u32> = self
            .cells
            .get(&cell)
            .map_or_else(Vec::new, |m| m.rows.clone());
        places.sort_unstable();
        places.dedup();
        let here = places.into_iter().filter_map(|place| self.row(place));
        here.filter(|row| row.hosted && row.incarnation == cell)
            .take(limit)
            .map(|row| row.id)
            .collect()
    }
}

#[cfg(test)]
#[path = "agent_table/tests.rs"]
mod tests;
