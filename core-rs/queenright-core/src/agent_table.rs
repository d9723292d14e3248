//! Every agent of a supervisor: who they are, their place in the spawn tree, and what must be known while they sleep.
//!
//! A row is 72 bytes and never leaves: an ended agent's id stays taken. What is not needed of a sleeping agent (its
//! certificate, its arguments, why it ended) is in the store. Rows are found by id, and walked by parent, by class and by
//! cell, so that nothing here ever goes through all of them but a search a person asked for.
mod find;

use std::collections::HashMap;

use crate::birth_batch::{BirthBatch, Names};
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

/// A birth that is not one of a batch.
#[derive(Debug, Clone)]
pub struct Single<'a> {
    pub id: Id,
    pub parent: Option<Id>,
    pub name: &'a str,
    pub class: Class,
    pub status: Status,
    pub turn: u64,
}

fn full() -> Error {
    Error::conflict("the agent table is full: 2^32 agents were born here")
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

    // ---- births ----

    /// Adds one agent. Its parent, if it has one, is there before it.
    pub fn add(&mut self, born: &Single<'_>) -> Result<()> {
        if self.contains(&born.id) {
            return Err(Error::conflict(
                "an agent of this id is in the table already",
            ));
        }
        let parent = born.parent.as_ref().map_or(Ok(NONE), |id| self.known(id))?;
        let text = u8::try_from(born.name.len())
            .map_err(|_| Error::malformed("a name of more than 255 bytes"))?;
        let origin = u32::try_from(self.singles.len()).map_err(|_| full())?;
        let class = self.class(&born.class)?;
        // Where the parent's name and `/` begin it, only the rest is kept.
        let own = self.own_part(parent, born.name);
        self.singles.push(u8::from(own.len() != born.name.len()));
        self.singles.push(u8::try_from(own.len()).unwrap_or(text));
        self.singles.extend_from_slice(own.as_bytes());
        self.push(born.id, parent, class, origin, false)?;
        let place = (self.rows.len() - 1) as u32;
        self.single_rows.push(place);
        self.change_status(place, born.status);
        if let Some(row) = self.rows.last_mut() {
            row.turn = born.turn;
        }
        Ok(())
    }

    fn own_part<'a>(&self, parent: u32, name: &'a str) -> &'a str {
        if parent == NONE {
            return name;
        }
        let mut family = String::new();
        self.write_name(parent, &mut family);
        family.push('/');
        name.strip_prefix(&family).unwrap_or(name)
    }

    /// Adds every member of a whole batch, alive and asleep. Nothing is added if one of them is here already.
    pub fn add_batch(&mut self, batch: &BirthBatch, own_cell: bool) -> Result<()> {
        if batch.first() != 0 {
            return Err(Error::malformed("only a whole batch is added to the table"));
        }
        if self.taken(batch.ids()).is_some() {
            return Err(Error::conflict(
                "a member of this batch is in the table already",
            ));
        }
        let said = batch.template();
        let parent = self.known(&said.parent)?;
        let (number, first_row) = (self.batches.len(), self.rows.len());
        let last = first_row.saturating_add(batch.len());
        if last >= NONE as usize {
            return Err(full());
        }
        let class = self.class(&Class {
            intent: said.intent,
            package: said.package,
            behaviour: said.behaviour.clone(),
            own_cell,
        })?;
        let number = u32::try_from(number).map_err(|_| full())?;
        let rows = &self.rows;
        self.by_id
            .reserve(batch.len(), |place| Some(&rows.get(place as usize)?.id));
        for id in batch.ids() {
            self.push(*id, parent, class, number, true)?;
        }
        self.batches.push(Batch {
            root: batch.root(),
            first_row: first_row as u32,
            names: batch.names().clone(),
        });
        Ok(())
    }

    fn push(&mut self, id: Id, parent: u32, class: u32, origin: u32, batched: bool) -> Result<()> {
        let place = u32::try_from(self.rows.len())
            .ok()
            .filter(|place| *place != NONE);
        let place = place.ok_or_else(full)?;
        let mut next_sibling = NONE;
        if let Some(above) = self.rows.get_mut(parent as usize) {
            next_sibling = std::mem::replace(&mut above.first_child, place);
            above.live_children = above.live_children.saturating_add(1);
        }
        self.rows.push(Row {
            id,
            turn: 0,
            parent,
            first_child: NONE,
            next_sibling,
            live_children: 0,
            class,
            incarnation: 0,
            origin,
            status: Status::Live,
            batched,
            hosted: false,
        });
        let rows = &self.rows;
        self.by_id
            .insert(&id, place, |place| Some(&rows.get(place as usize)?.id));
        self.by_status[Status::Live as usize] += 1;
        if let Some(kind) = self.classes.get_mut(class as usize) {
            kind.rows.push(place);
            kind.live += 1;
            let swarm = self.swarms.entry(kind.class.intent).or_default();
            swarm.live += 1;
            swarm.all += 1;
            if parent == NONE {
                swarm.roots.push(place);
            }
        }
        Ok(())
    }

    fn class(&mut self, class: &Class) -> Result<u32> {
        if let Some(found) = self.class_of.get(class) {
            return Ok(*found);
        }
        let number = u32::try_from(self.classes.len()).map_err(|_| full())?;
        self.classes.push(ClassRows {
            class: class.clone(),
            rows: Vec::new(),
            live: 0,
        });
        self.class_of.insert(class.clone(), number);
        Ok(number)
    }

    // ---- what changes ----

    pub fn set_status(&mut self, id: &Id, status: Status) -> Result<()> {
        let place = self.known(id)?;
        self.change_status(place, status);
        Ok(())
    }

    fn change_status(&mut self, place: u32, status: Status) {
        let Some(row) = self.rows.get_mut(place as usize) else {
            return;
        };
        let before = std::mem::replace(&mut row.status, status);
        self.by_status[before as usize] -= 1;
        self.by_status[status as usize] += 1;
        let (ended, was) = (status == Status::Ended, before == Status::Ended);
        if ended == was {
            return;
        }
        let (parent, class) = (row.parent, row.class);
        let step = |count: u64| {
            if ended {
                count.saturating_sub(1)
            } else {
                count + 1
            }
        };
        if let Some(above) = self.rows.get_mut(parent as usize) {
            above.live_children = if ended {
                above.live_children.saturating_sub(1)
            } else {
                above.live_children.saturating_add(1)
            };
        }
        if let Some(kind) = self.classes.get_mut(class as usize) {
            kind.live = step(kind.live);
            if let Some(swarm) = self.swarms.get_mut(&kind.class.intent) {
                swarm.live = step(swarm.live);
            }
        }
    }

    pub fn set_turn(&mut self, id: &Id, turn: u64) -> Result<()> {
        let place = self.known(id)?;
        if let Some(row) = self.rows.get_mut(place as usize) {
            row.turn = turn;
        }
        Ok(())
    }

    /// Puts the agent into the cell of that start number: its next incarnation.
    pub fn host(&mut self, id: &Id, cell: u32) -> Result<()> {
        let place = self.known(id)?;
        self.unhost(id)?;
        if let Some(row) = self.rows.get_mut(place as usize) {
            row.incarnation = cell;
            row.hosted = true;
        }
        let members = self.cells.entry(cell).or_default();
        members.rows.push(place);
        members.here += 1;
        Ok(())
    }

    /// Takes the agent out of its cell. False if it was in none.
    pub fn unhost(&mut self, id: &Id) -> Result<bool> {
        let place = self.known(id)?;
        let Some(row) = self.rows.get_mut(place as usize).filter(|row| row.hosted) else {
            return Ok(false);
        };
        row.hosted = false;
        let cell = row.incarnation;
        if let Some(members) = self.cells.get_mut(&cell) {
            members.here = members.here.saturating_sub(1);
            if members.here == 0 {
                self.cells.remove(&cell);
            } else if members.rows.len() > 64 && members.rows.len() / 2 > members.here as usize {
                let rows = &self.rows;
                members.rows.sort_unstable();
                members.rows.dedup();
                members.rows.retain(|place| {
                    rows.get(*place as usize)
                        .is_some_and(|row| row.hosted && row.incarnation == cell)
                });
            }
        }
        Ok(true)
    }

    // ---- ends of whole batches ----

    /// Ends the members of a batch that live, were never given a turn and are in no cell; who that was.
    pub fn end_sleepers(&mut self, root: &Id) -> Vec<Id> {
        let mut ended = Vec::new();
        for place in self.batch_rows(root) {
            if let Some(id) = self.row(place).filter(|row| row.asleep()).map(|row| row.id) {
                self.change_status(place, Status::Ended);
                ended.push(id);
            }
        }
        ended
    }

    /// How many `end_sleepers` would end.
    pub fn sleepers(&self, root: &Id) -> usize {
        self.batch_rows(root)
            .filter(|place| self.row(*place).is_some_and(Row::asleep))
            .count()
    }

    fn batch_rows(&self, root: &Id) -> std::ops::Range<u32> {
        let batch = self.batches.iter().find(|batch| batch.root == *root);
        batch.map_or(0..0, |batch| {
            batch.first_row..batch.first_row + batch.names.len() as u32
        })
    }

    /// The batches born to this agent or to one below it.
    pub fn batches_below(&self, id: &Id) -> Vec<Id> {
        let top = self.place(id).unwrap_or(NONE);
        self.batches_where(|first| {
            let mut at = first.parent;
            while at != top {
                let Some(row) = self.row(at) else {
                    return false;
                };
                at = row.parent;
            }
            at != NONE
        })
    }

    pub fn batches_of_intent(&self, intent: &Id) -> Vec<Id> {
        self.batches_where(|first| self.intent_of(first) == Some(intent))
    }

    fn batches_where(&self, wanted: impl Fn(&Row) -> bool) -> Vec<Id> {
        let those = self
            .batches
            .iter()
            .filter(|batch| self.row(batch.first_row).is_some_and(&wanted));
        those.map(|batch| batch.root).collect()
    }

    // ---- reading ----

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
