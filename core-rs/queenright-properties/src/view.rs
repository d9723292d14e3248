//! The table behind a screen: whatever happens to its rows, each is shown once, in order, and none that is gone.
use std::collections::{BTreeMap, BTreeSet};

use queenright_core::view::{Cell, Column, Type, View};

use crate::input::Input;

const QUERIES: &[&str] = &["", "a", "!a", "n:>3", "t:/a*/", "\"a b\"", "n:=0 !t:b"];

/// A row as the model knows it: cells, parent.
type Row = (String, i64, Option<u8>);

pub fn any_story(data: &[u8]) {
    let mut input = Input::new(data);
    let columns = [("t", Type::Text), ("n", Type::Int)].map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    });
    let mut view = View::new(columns.into()).expect("two columns are a view");
    let mut rows: BTreeMap<u8, Row> = BTreeMap::new();
    let (mut tree, mut filtered, mut held) = (false, false, false);
    while !input.is_empty() {
        match input.byte() % 8 {
            0..=2 => {
                let (id, text) = (input.byte() % 32, input.text().to_owned());
                let number = i64::from(input.byte());
                let parent = Some(input.byte() % 33).filter(|parent| *parent < 32);
                let cells = vec![Cell::Text(text.clone()), Cell::Int(number)];
                let under = parent.map(|parent| [parent]);
                let taken = view
                    .upsert(&[id], cells, under.as_ref().map(|id| &id[..]))
                    .is_ok();
                assert_eq!(
                    taken,
                    !is_above(&rows, id, parent),
                    "a row under itself, or one refused"
                );
                if taken {
                    rows.insert(id, (text, number, parent));
                }
            }
            3 => {
                let id = input.byte() % 32;
                assert_eq!(view.remove(&[id]).is_ok(), rows.remove(&id).is_some());
            }
            4 => {
                let (column, descending) = (input.byte(), input.byte() & 1 == 1);
                let column = ["t", "n"][usize::from(column % 2)];
                view.set_sort(column, descending).expect("a column it has");
            }
            5 => {
                let query = QUERIES[usize::from(input.byte()) % QUERIES.len()];
                view.set_filter(query).expect("a query of the language");
                filtered = !query.is_empty();
            }
            6 => {
                tree = input.byte() & 1 == 1;
                view.set_tree(tree);
            }
            _ => match input.byte() % 3 {
                0 => {
                    held = !held;
                    view.hold(held);
                }
                _ => {
                    let id = input.byte() % 32;
                    assert_eq!(view.toggle(&[id]).is_ok(), rows.contains_key(&id));
                }
            },
        }
        check(&mut view, &rows, tree || filtered || held);
    }
}

fn is_above(rows: &BTreeMap<u8, Row>, id: u8, parent: Option<u8>) -> bool {
    let mut next = parent;
    while let Some(above) = next {
        if above == id {
            return true;
        }
        next = rows.get(&above).and_then(|(_, _, parent)| *parent);
    }
    false
}

fn check(view: &mut View, rows: &BTreeMap<u8, Row>, may_hide: bool) {
    view.refresh();
    assert_eq!(view.total(), rows.len());
    let lines: Vec<_> = view.window(0, usize::MAX).collect();
    assert_eq!(lines.len(), view.len(), "a place without a row");
    assert!(may_hide || lines.len() == rows.len(), "a row is missing");
    let mut shown = BTreeSet::new();
    for (position, line) in lines.iter().enumerate() {
        assert!(shown.insert(line.id.to_vec()), "a row is shown twice");
        assert_eq!(view.index_of(line.id), Some(position));
        let (text, number, _) = &rows[&line.id[0]];
        assert_eq!(
            line.cells,
            [Cell::Text(text.clone()), Cell::Int(*number)],
            "old cells"
        );
    }
}
