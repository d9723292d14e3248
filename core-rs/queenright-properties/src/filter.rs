//! The filter of a view: any query over any row, judged as the plain reading of the language says.
use queenright_core::filter::Filter;
use queenright_core::view::{Cell, Column, Type};

use crate::input::Input;

fn columns() -> Vec<Column> {
    [
        ("name", Type::Text),
        ("depth", Type::Int),
        ("load", Type::Float),
    ]
    .map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    })
    .into()
}

pub fn any_query_over_any_row(data: &[u8]) {
    let mut input = Input::new(data);
    let (query, cell) = (input.text(), input.text());
    let (depth, load) = (input.number().cast_signed(), f64::from_bits(input.number()));
    let row = [
        Cell::Text(cell.to_owned()),
        Cell::Int(depth),
        Cell::Float(load),
    ];
    let Ok(filter) = Filter::parse(query, &columns()) else {
        return;
    };
    assert!(query.len() <= 512, "a query over the bound was taken");
    let matches = filter.matches(&row);
    if filter.is_empty() {
        assert!(query.chars().all(|letter| letter == ' ' || letter == '"'));
        assert!(matches, "no filter hides a row");
    }
    // One bare word: `!` turns the answer round, and a glob of it is the slow definition of a glob.
    if query.is_empty() || query.len() > 100 || query.contains([' ', '"', '!', ':']) {
        return;
    }
    let negated = Filter::parse(&format!("!{query}"), &columns()).expect("a word may be negated");
    assert_ne!(negated.matches(&row), matches);
    if !query.contains('/') && cell.len() <= 100 {
        let globbed =
            Filter::parse(&format!("name:/{query}/"), &columns()).expect("a glob may be any word");
        let pattern: Vec<char> = query.to_lowercase().chars().collect();
        let text: Vec<char> = cell.to_lowercase().chars().collect();
        assert_eq!(
            globbed.matches(&row),
            glob(&pattern, &text),
            "{query:?} over {cell:?}"
        );
    }
}

/// Row by row over the pattern: which ends of the text each prefix of it reaches.
fn glob(pattern: &[char], text: &[char]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            next[end] = match wanted {
                '*' => reached[end] || (end > 0 && next[end - 1]),
                '?' => end > 0 && reached[end - 1],
                letter => end > 0 && reached[end - 1] && text[end - 1] == *letter,
            };
        }
        reached = next;
    }
    reached[text.len()]
}
