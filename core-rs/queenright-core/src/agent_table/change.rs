//! What changes of an agent: its status, its turn, its cell, and the end of those that slept with their batch.
use super::{AgentTable, NONE, Row, Status};
use crate::error::Result;
use crate::id_index::Id;

impl AgentTable {
    pub fn set_status(&mut self, id: &Id, status: Status) -> Result<()> {
        let place = self.known(id)?;
        self.change_status(place, status);
        Ok(())
    }

    pub(super) fn change_status(&mut self, place: u32, status: Status) {
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
}
