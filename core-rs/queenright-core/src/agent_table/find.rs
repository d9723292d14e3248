//! Searches: what a person or a discovering agent asks for. Only these may look at every row.
use std::collections::BinaryHeap;

use super::{AgentTable, Class, NONE, Row, Status};
use crate::id_index::Id;

impl AgentTable {
    /// At most `limit` living agents whose ids follow `after`, in the order of their ids.
    pub fn page(
        &self,
        parent: Option<&Id>,
        intent: Option<&Id>,
        after: Option<&Id>,
        limit: usize,
    ) -> Vec<Id> {
        let mut smallest: BinaryHeap<Id> = BinaryHeap::new();
        let mut offer = |row: &Row| {
            if row.status == Status::Ended || after.is_some_and(|after| row.id <= *after) {
                return;
            }
            if intent.is_some_and(|intent| self.intent_of(row) != Some(intent)) {
                return;
            }
            if smallest.len() < limit {
                smallest.push(row.id);
            } else if smallest.peek().is_some_and(|largest| row.id < *largest) {
                smallest.pop();
                smallest.push(row.id);
            }
        };
        match parent {
            None => self.rows.iter().for_each(&mut offer),
            Some(parent) => {
                let place = self.place(parent).unwrap_or(NONE);
                self.children_of(place).for_each(|(_, row)| offer(row));
            }
        }
        smallest.into_sorted_vec()
    }

    pub(super) fn intent_of(&self, row: &Row) -> Option<&Id> {
        self.classes
            .get(row.class as usize)
            .map(|kind| &kind.class.intent)
    }

    /// At most `limit` ids that begin with these hexadecimal digits.
    pub fn by_prefix(&self, digits: &str, limit: usize) -> Vec<Id> {
        if let Some(id) = whole_id(digits) {
            return self
                .contains(&id)
                .then_some(id)
                .into_iter()
                .take(limit)
                .collect();
        }
        let digits = digits.as_bytes();
        let begins = |id: &Id| {
            digits.len() <= 64
                && digits.iter().enumerate().all(|(at, digit)| {
                    let nibble = (id[at / 2] >> (4 * (1 - at % 2))) & 15;
                    char::from_digit(nibble.into(), 16) == Some(char::from(*digit))
                })
        };
        let found = self.rows.iter().filter(|row| begins(&row.id));
        found.take(limit).map(|row| row.id).collect()
    }

    /// At most `limit` agents of exactly this name. Living ones first.
    pub fn by_name(&self, name: &str, limit: usize) -> Vec<Id> {
        let mut own = String::new();
        let mut places = self.single_rows.clone();
        for batch in &self.batches {
            places.extend(batch.names.might_be(name).map(|at| batch.first_row + at));
        }
        places.retain(|place| self.is_named(*place, name, &mut own));
        let mut found: Vec<&Row> = places
            .into_iter()
            .filter_map(|place| self.row(place))
            .collect();
        found.sort_by_key(|row| row.status == Status::Ended);
        found.into_iter().take(limit).map(|row| row.id).collect()
    }

    /// Compares from the end, so that most rows are told apart by their own part.
    fn is_named(&self, place: u32, name: &str, own: &mut String) -> bool {
        let Some(row) = self.row(place) else {
            return false;
        };
        own.clear();
        let mut below = true;
        if row.batched {
            let Some(batch) = self.batches.get(row.origin as usize) else {
                return false;
            };
            batch.names.write(0, place - batch.first_row, own);
        } else {
            let (under, text) = self.single(row.origin);
            below = under;
            own.push_str(text);
        }
        let Some(rest) = name.strip_suffix(own.as_str()) else {
            return false;
        };
        if !below {
            return rest.is_empty();
        }
        let family = rest.strip_suffix('/');
        family.is_some_and(|family| self.is_named(row.parent, family, own))
    }

    pub fn of_status(&self, status: Status) -> Vec<Id> {
        let found = self.rows.iter().filter(|row| row.status == status);
        found.map(|row| row.id).collect()
    }

    /// Every class that has living agents, with its number.
    pub fn classes(&self) -> Vec<(u32, Class)> {
        let living = (0..).zip(&self.classes).filter(|(_, kind)| kind.live > 0);
        living
            .map(|(number, kind)| (number, kind.class.clone()))
            .collect()
    }

    /// At most `limit` agents of a class that neither ended nor are stopping.
    pub fn of_class(&self, class: u32, limit: usize) -> Vec<Id> {
        let rows = self
            .classes
            .get(class as usize)
            .map_or(&[][..], |kind| &kind.rows);
        let here = rows.iter().filter_map(|place| self.row(*place));
        here.filter(|row| !matches!(row.status, Status::Ended | Status::Stopping))
            .take(limit)
            .map(|row| row.id)
            .collect()
    }
}

/// The id that these hexadecimal digits are, if they are all of it.
fn whole_id(digits: &str) -> Option<Id> {
    let mut id = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let nibble = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(id)
}
