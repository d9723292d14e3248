//! The table behind a screen: rows by identity, sorted, filtered, flat or as a tree, given out a window at a time.
//!
//! The order is worked out when it is next read, and only if something that decides it has changed.
mod order;

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::filter::Filter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    Int,
    Float,
}

pub struct Column {
    pub name: String,
    pub kind: Type,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Int(i64),
    Float(f64),
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Int(number) => number.fmt(out),
            Self::Float(number) => number.fmt(out),
        }
    }
}

/// One line of a window.
pub struct Line<'a> {
    pub id: &'a [u8],
    pub depth: usize,
    pub has_children: bool,
    pub is_open: bool,
    pub cells: &'a [Cell],
}

struct Row {
    id: Box<[u8]>,
    /// The number of the insertion: ties are in this order, and it tells a slot's tenants apart.
    born: u64,
    parent: Option<Box<[u8]>>,
    cells: Vec<Cell>,
    open: bool,
}

/// A place in the order. Its facts are of the moment the order was made; the cells are read live.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    born: u64,
    depth: usize,
    has_children: bool,
    is_open: bool,
}

pub struct View {
    columns: Vec<Column>,
    rows: Vec<Option<Row>>,
    free: Vec<usize>,
    slots: HashMap<Box<[u8]>, usize>,
    births: u64,
    sort: Option<(usize, bool)>,
    filter: Filter,
    tree: bool,
    held: bool,
    /// What decides the order has changed since it was made.
    stale: bool,
    /// The order is wanted anew even while held: the person at the keyboard asked.
    asked: bool,
    /// A row of the order was removed.
    holed: bool,
    order: Vec<Place>,
    /// By slot: where it stands in the order.
    positions: Vec<Option<usize>>,
}

impl View {
    /// Columns by name and type; a name is what filters and sorts use.
    pub fn new(columns: Vec<Column>) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::malformed("a view without columns"));
        }
        for (index, column) in columns.iter().enumerate() {
            if columns[..index]
                .iter()
                .any(|other| other.name == column.name)
            {
                return Err(Error::malformed(format!(
                    "the column {:?} twice",
                    column.name
                )));
            }
        }
        Ok(Self {
            columns,
            rows: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            births: 0,
            sort: None,
            filter: Filter::default(),
            tree: false,
            held: false,
            stale: false,
            asked: false,
            holed: false,
            order: Vec::new(),
            positions: Vec::new(),
        })
    }

    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Add a row, or give it new cells and a new parent. A parent that is not there yet may come later; until then the
    /// row stands at the top.
    pub fn upsert(&mut self, id: &[u8], cells: Vec<Cell>, parent: Option<&[u8]>) -> Result<()> {
        self.check_cells(&cells)?;
        self.check_parent(id, parent)?;
        let Some(slot) = self.slots.get(id).copied() else {
            self.insert(id, cells, parent);
            return Ok(());
        };
        let Some(row) = self.rows[slot].as_mut() else {
            return Err(unknown_row());
        };
        let moved = row.parent.as_deref() != parent;
        let resorted = self
            .sort
            .is_some_and(|(column, _)| row.cells[column] != cells[column]);
        let refiltered = !self.filter.is_empty()
            && self.filter.matches(&row.cells) != self.filter.matches(&cells);
        if moved {
            row.parent = parent.map(Into::into);
        }
        row.cells = cells;
        self.stale |= (moved && self.tree) || resorted || refiltered;
        Ok(())
    }

    fn insert(&mut self, id: &[u8], cells: Vec<Cell>, parent: Option<&[u8]>) {
        self.births += 1;
        let row = Row {
            id: id.into(),
            born: self.births,
            parent: parent.map(Into::into),
            cells,
            open: true,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.rows[slot] = Some(row);
                slot
            }
            None => {
                self.rows.push(Some(row));
                self.rows.len() - 1
            }
        };
        self.slots.insert(id.into(), slot);
        self.stale = true;
    }

    /// Take a row out; its children stand at the top until they are given another parent.
    pub fn remove(&mut self, id: &[u8]) -> Result<()> {
        let slot = self.slots.remove(id).ok_or_else(unknown_row)?;
        self.rows[slot] = None;
        self.free.push(slot);
        self.holed = true;
        // Flat, the others keep their order; in a tree, a parent may have lost its last child or its place.
        self.stale |= self.tree;
        Ok(())
    }

    /// Sort by a column; equal cells stay in the order in which the rows came. Text sorts without regard to case.
    pub fn set_sort(&mut self, column: &str, descending: bool) -> Result<()> {
        let names = || {
            self.columns
                .iter()
                .map(|column| column.name.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let index = self
            .columns
            .iter()
            .position(|known| known.name == column)
            .ok_or_else(|| {
                Error::unknown(format!("no column {column:?} to sort by"))
                    .hint(format!("one of {}", names()))
            })?;
        self.sort = Some((index, descending));
        self.asked = true;
        Ok(())
    }

    /// Show what matches (see `filter`); in a tree also what it hangs under, opened.
    pub fn set_filter(&mut self, query: &str) -> Result<()> {
        self.filter = Filter::parse(query, &self.columns)?;
        self.asked = true;
        Ok(())
    }

    pub fn set_tree(&mut self, tree: bool) {
        self.tree = tree;
        self.asked = true;
    }

    /// Open or close a row's children.
    pub fn toggle(&mut self, id: &[u8]) -> Result<()> {
        let slot = self.slots.get(id).ok_or_else(unknown_row)?;
        if let Some(row) = self.rows[*slot].as_mut() {
            row.open = !row.open;
        }
        self.asked = true;
        Ok(())
    }

    /// While held, cells change and removed rows go, but no row moves and none is added.
    pub fn hold(&mut self, held: bool) {
        if held {
            self.refresh();
        }
        self.held = held;
    }

    /// Rows in all, shown or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.slots.len()
    }

    /// Bring the order up to date. The other readers need it done; it is the only slow step.
    pub fn refresh(&mut self) {
        if self.asked || (self.stale && !self.held) {
            self.order = self.make_order();
            self.asked = false;
            self.stale = false;
        } else if self.holed {
            let rows = &self.rows;
            self.order.retain(|place| {
                rows[place.slot]
                    .as_ref()
                    .is_some_and(|row| row.born == place.born)
            });
        } else {
            return;
        }
        self.holed = false;
        self.positions.clear();
        self.positions.resize(self.rows.len(), None);
        for (position, place) in self.order.iter().enumerate() {
            self.positions[place.slot] = Some(position);
        }
    }

    /// Rows shown, as of the last `refresh`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Where a row stands, as of the last `refresh`; None if it is hidden or not there.
    #[must_use]
    pub fn index_of(&self, id: &[u8]) -> Option<usize> {
        let slot = *self.slots.get(id)?;
        let position = (*self.positions.get(slot)?)?;
        let born = self.rows[slot].as_ref()?.born;
        (self.order[position].born == born).then_some(position)
    }

    /// The rows from `offset`, at most `count`, as of the last `refresh`.
    pub fn window(&self, offset: usize, count: usize) -> impl Iterator<Item = Line<'_>> {
        self.order
            .iter()
            .skip(offset)
            .take(count)
            .filter_map(|place| {
                let row = self.rows[place.slot].as_ref()?;
                Some(Line {
                    id: &row.id,
                    depth: place.depth,
                    has_children: place.has_children,
                    is_open: place.is_open,
                    cells: &row.cells,
                })
            })
    }

    fn check_cells(&self, cells: &[Cell]) -> Result<()> {
        if cells.len() != self.columns.len() {
            return Err(Error::malformed(format!(
                "{} cells for {} columns",
                cells.len(),
                self.columns.len()
            )));
        }
        for (cell, column) in cells.iter().zip(&self.columns) {
            let fits = matches!(
                (cell, column.kind),
                (Cell::Text(_), Type::Text)
                    | (Cell::Int(_), Type::Int)
                    | (Cell::Float(_), Type::Float)
            );
            if !fits {
                return Err(Error::malformed(format!(
                    "the column {} is {:?}",
                    column.name, column.kind
                )));
            }
        }
        Ok(())
    }

    /// A row under itself would vanish from the tree.
    fn check_parent(&self, id: &[u8], parent: Option<&[u8]>) -> Result<()> {
        let mut next = parent;
        while let Some(above) = next {
            if above == id {
                return Err(Error::malformed("a row cannot stand under itself"));
            }
            let slot = self.slots.get(above);
            next = slot
                .and_then(|slot| self.rows[*slot].as_ref())
                .and_then(|row| row.parent.as_deref());
        }
        Ok(())
    }
}

fn unknown_row() -> Error {
    Error::unknown("no such row")
}

#[cfg(test)]
mod tests;
