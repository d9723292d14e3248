//! What a row must match to be shown.
//!
//! A query is terms between spaces; a row must match all of them. A term is
//! - `text`: some column contains it,
//! - `column:text`: that column contains it,
//! - `column:>5`, `<`, `>=`, `<=`, `=`: a number compared, on columns of numbers,
//! - `/glob/` or `column:/glob/`: a whole cell is matched, `*` any run of characters and `?` any one,
//! - `!term`: rows that do not match the term.
//!
//! `"two words"` keeps spaces together. Letters match without regard to case. A word before a colon that is no column
//! is part of the text, so `svc:shop/web` needs no quotes.
use crate::error::{Error, Result};
use crate::view::{Cell, Column, Type};

/// More than a person types, and short enough to run over every row at every key.
const MAX_QUERY: usize = 512;

#[derive(Default)]
pub struct Filter {
    terms: Vec<Term>,
}

struct Term {
    negated: bool,
    column: Option<usize>,
    test: Test,
}

enum Test {
    Contains(String),
    Glob(Vec<char>),
    Compare(Comparison, f64),
}

#[derive(Clone, Copy)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    MoreOrEqual,
    More,
}

impl Filter {
    pub fn parse(query: &str, columns: &[Column]) -> Result<Self> {
        if query.len() > MAX_QUERY {
            return Err(Error::malformed(format!(
                "a filter of {} bytes, at most {MAX_QUERY}",
                query.len()
            )));
        }
        let words = split(query)?;
        let terms = words
            .iter()
            .map(|word| Term::parse(word, columns))
            .collect::<Result<_>>()?;
        Ok(Self { terms })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    #[must_use]
    pub fn matches(&self, cells: &[Cell]) -> bool {
        self.terms
            .iter()
            .all(|term| term.matches(cells) != term.negated)
    }
}

/// Words between spaces; quotes join, and are taken off.
fn split(query: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in query.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(character),
        }
    }
    if quoted {
        return Err(Error::malformed("a filter with a quote that is not closed"));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

impl Term {
    fn parse(word: &str, columns: &[Column]) -> Result<Self> {
        let (negated, rest) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let field = rest.split_once(':').and_then(|(name, value)| {
            columns
                .iter()
                .position(|column| column.name == name)
                .map(|column| (column, value))
        });
        let (column, value) = match field {
            Some((column, value)) => (Some(column), value),
            None => (None, rest),
        };
        if let Some(column) = column
            && let Some((comparison, number)) = comparison(value)
        {
            let Column { name, kind } = &columns[column];
            if *kind == Type::Text {
                return Err(Error::malformed(format!(
                    "the column {name} is text and has no order to compare by"
                )));
            }
            let number = number
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .ok_or_else(|| {
                    Error::malformed(format!("{number:?} is no number to compare {name} with"))
                })?;
            return Ok(Self {
                negated,
                column: Some(column),
                test: Test::Compare(comparison, number),
            });
        }
        let test = match value
            .strip_prefix('/')
            .and_then(|value| value.strip_suffix('/'))
        {
            Some(glob) => Test::Glob(glob.to_lowercase().chars().collect()),
            None => Test::Contains(value.to_lowercase()),
        };
        Ok(Self {
            negated,
            column,
            test,
        })
    }

    fn matches(&self, cells: &[Cell]) -> bool {
        match self.column {
            Some(column) => self.test.matches(&cells[column]),
            None => cells.iter().any(|cell| self.test.matches(cell)),
        }
    }
}

fn comparison(value: &str) -> Option<(Comparison, &str)> {
    [
        (">=", Comparison::MoreOrEqual),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
    ]
    .into_iter()
    .find_map(|(sign, comparison)| value.strip_prefix(sign).map(|number| (comparison, number)))
}

impl Test {
    fn matches(&self, cell: &Cell) -> bool {
        match (self, cell) {
            (Self::Compare(comparison, wanted), Cell::Int(number)) => {
                comparison.holds(*number as f64, *wanted)
            }
            (Self::Compare(comparison, wanted), Cell::Float(number)) => {
                comparison.holds(*number, *wanted)
            }
            (Self::Compare(..), Cell::Text(_)) => false,
            (Self::Contains(needle), Cell::Text(text)) => contains(text, needle),
            (Self::Contains(needle), number) => contains(&number.to_string(), needle),
            (Self::Glob(pattern), cell) => {
                let text: Vec<char> = cell.to_string().to_lowercase().chars().collect();
                glob(pattern, &text)
            }
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, wanted: f64) -> bool {
        match self {
            Self::Less => number < wanted,
            Self::LessOrEqual => number <= wanted,
            Self::Equal => number == wanted,
            Self::MoreOrEqual => number >= wanted,
            Self::More => number > wanted,
        }
    }
}

/// Does `text` contain `needle`, which is in lower case? ASCII, nearly all there is, is compared in place.
fn contains(text: &str, needle: &str) -> bool {
    if !text.is_ascii() || !needle.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let Some(first) = needle.first() else {
        return true;
    };
    text.windows(needle.len()).any(|window| {
        window[0].to_ascii_lowercase() == *first && window.eq_ignore_ascii_case(needle)
    })
}

/// Two pointers and one place to go back to: the time is at most the product of the lengths.
fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|character| *character == '*')
}
