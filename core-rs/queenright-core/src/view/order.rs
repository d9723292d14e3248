//! Which rows of a view are shown, and in what order: filter, sort, and the walk over the tree.
use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Cell, Place, Row, Type, View};

impl View {
    pub(super) fn make_order(&self) -> Vec<Place> {
        let parents = if self.tree {
            self.parent_slots()
        } else {
            Vec::new()
        };
        let mut sorted = self.shown(&parents);
        self.sort_slots(&mut sorted);
        if self.tree {
            return self.flatten(&sorted, &parents);
        }
        let flat = |slot: usize| {
            let born = self.rows[slot].as_ref()?.born;
            Some(Place {
                slot,
                born,
                depth: 0,
                has_children: false,
                is_open: false,
            })
        };
        sorted.into_iter().filter_map(flat).collect()
    }

    fn parent_slots(&self) -> Vec<Option<usize>> {
        let slot_of = |row: &Option<Row>| self.slots.get(row.as_ref()?.parent.as_ref()?).copied();
        self.rows.iter().map(slot_of).collect()
    }

    /// The slots that match, and in a tree all above them.
    fn shown(&self, parents: &[Option<usize>]) -> Vec<usize> {
        let mut shown = vec![false; self.rows.len()];
        for (slot, row) in self.rows.iter().enumerate() {
            if !row
                .as_ref()
                .is_some_and(|row| self.filter.matches(&row.cells))
            {
                continue;
            }
            let mut next = Some(slot);
            while let Some(slot) = next.filter(|slot| !shown[*slot]) {
                shown[slot] = true;
                next = parents.get(slot).copied().flatten();
            }
        }
        (0..self.rows.len()).filter(|slot| shown[*slot]).collect()
    }

    /// In the wanted order. The sorts are stable and begin from the order in which the rows came, which so breaks ties.
    fn sort_slots(&self, slots: &mut [usize]) {
        let born = |slot: &usize| self.rows[*slot].as_ref().map_or(0, |row| row.born);
        if !slots.is_sorted_by_key(born) {
            slots.sort_unstable_by_key(born);
        }
        let Some((column, descending)) = self.sort else {
            return;
        };
        match self.columns[column].kind {
            Type::Text => self.sort_by_text(slots, column, descending),
            Type::Int | Type::Float => self.sort_by_number(slots, column, descending),
        }
    }

    fn sort_by_number(&self, slots: &mut [usize], column: usize, descending: bool) {
        let direction = if descending { u64::MAX } else { 0 };
        let key = |slot: &usize| match self.cell(*slot, column) {
            Some(Cell::Int(number)) => rank_int(*number) ^ direction,
            Some(Cell::Float(number)) => rank_float(*number) ^ direction,
            Some(Cell::Text(_)) | None => 0,
        };
        let mut keyed: Vec<(u64, usize)> = slots.iter().map(|slot| (key(slot), *slot)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        for (place, (_, slot)) in slots.iter_mut().zip(keyed) {
            *place = slot;
        }
    }

    fn sort_by_text(&self, slots: &mut [usize], column: usize, descending: bool) {
        let shared = self.shared_prefix(slots, column);
        let mut keyed: Vec<(u128, usize)> = slots
            .iter()
            .map(|slot| (rank_text(self.text(*slot, column), shared), *slot))
            .collect();
        keyed.sort_by(|(left, left_slot), (right, right_slot)| {
            let by_rest = || {
                if *left as u8 != LONGER {
                    return Ordering::Equal;
                }
                folded(self.text(*left_slot, column)).cmp(&folded(self.text(*right_slot, column)))
            };
            let order = left.cmp(right).then_with(by_rest);
            if descending { order.reverse() } else { order }
        });
        for (place, (_, slot)) in slots.iter_mut().zip(keyed) {
            *place = slot;
        }
    }

    /// How many bytes all folded texts begin with alike: names of one swarm differ only at their ends.
    fn shared_prefix(&self, slots: &[usize], column: usize) -> usize {
        let Some((first, others)) = slots.split_first() else {
            return 0;
        };
        let first = folded(self.text(*first, column));
        others.iter().fold(first.len(), |shared, slot| {
            let other = folded(self.text(*slot, column));
            let alike = first[..shared].iter().zip(other.iter());
            alike.take_while(|(left, right)| left == right).count()
        })
    }

    fn cell(&self, slot: usize, column: usize) -> Option<&Cell> {
        self.rows[slot].as_ref().map(|row| &row.cells[column])
    }

    fn text(&self, slot: usize, column: usize) -> &str {
        match self.cell(slot, column) {
            Some(Cell::Text(text)) => text,
            _ => "",
        }
    }

    /// Walk the tree in sorted order without recursion: a chain of agents may be as long as there are rows.
    fn flatten(&self, sorted: &[usize], parents: &[Option<usize>]) -> Vec<Place> {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.rows.len()];
        let mut stack: Vec<(usize, usize)> = Vec::new();
        // Backwards, so that the last pushed, first taken, is the first in order.
        for slot in sorted.iter().rev() {
            match parents[*slot] {
                Some(parent) => children[parent].push(*slot),
                None => stack.push((*slot, 0)),
            }
        }
        let mut order = Vec::with_capacity(sorted.len());
        while let Some((slot, depth)) = stack.pop() {
            let Some(row) = self.rows[slot].as_ref() else {
                continue;
            };
            let has_children = !children[slot].is_empty();
            let is_open = has_children && (row.open || !self.filter.is_empty());
            order.push(Place {
                slot,
                born: row.born,
                depth,
                has_children,
                is_open,
            });
            if is_open {
                stack.extend(children[slot].iter().map(|child| (*child, depth + 1)));
            }
        }
        order
    }
}

/// Bytes of text in a rank; the last byte says how many there are, or `LONGER`.
const RANK_TEXT: usize = 15;
const LONGER: u8 = 16;

const SIGN: u64 = 1 << 63;

/// A number without sign that orders as `number` does.
fn rank_int(number: i64) -> u64 {
    number.cast_unsigned() ^ SIGN
}

/// IEEE 754's total order: a negative number's bits fall as it rises.
fn rank_float(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// A number that orders as the `RANK_TEXT` folded bytes after the `shared` ones do.
fn rank_text(text: &str, shared: usize) -> u128 {
    let text = folded(text);
    let rest = &text[shared.min(text.len())..];
    let shown = rest.len().min(RANK_TEXT);
    let mut key = [0; RANK_TEXT + 1];
    key[..shown].copy_from_slice(&rest[..shown]);
    key[RANK_TEXT] = if rest.len() > RANK_TEXT {
        LONGER
    } else {
        shown as u8
    };
    u128::from_be_bytes(key)
}

/// The text in lower case, as UTF-8 bytes: their order is the order of the characters. ASCII is folded in place.
fn folded(text: &str) -> Cow<'_, [u8]> {
    if !text.is_ascii() {
        Cow::Owned(text.to_lowercase().into_bytes())
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase().into_bytes())
    } else {
        Cow::Borrowed(text.as_bytes())
    }
}
