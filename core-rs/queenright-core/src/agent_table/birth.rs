//! Births: one agent, or every member of a batch.
use super::{AgentTable, Batch, Class, ClassRows, NONE, Row, Status};
use crate::birth_batch::BirthBatch;
use crate::error::{Error, Result};
use crate::id_index::Id;

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
}
