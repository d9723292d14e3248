//! Canonical bytes: what is read is written back as exactly the same bytes, and what is written can be read.
use queenright_core::canonical::{Build, MAX_DEPTH, MAX_VALUES, Writer, decode};
use queenright_core::error::Error;

use crate::input::Input;

#[derive(Debug, PartialEq)]
enum Tree {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// Builds trees and counts what the reader made it build.
#[derive(Default)]
struct Trees {
    values: usize,
    bytes: usize,
}

impl Trees {
    fn made(&mut self, tree: Tree, bytes: usize) -> Result<Tree, Error> {
        self.values += 1;
        self.bytes += bytes;
        Ok(tree)
    }
}

impl Build for Trees {
    type Value = Tree;
    type Error = Error;

    fn nil(&mut self) -> Result<Tree, Error> {
        self.made(Tree::Nil, 0)
    }

    fn boolean(&mut self, value: bool) -> Result<Tree, Error> {
        self.made(Tree::Bool(value), 0)
    }

    fn unsigned(&mut self, value: u64) -> Result<Tree, Error> {
        self.made(Tree::Unsigned(value), 0)
    }

    fn signed(&mut self, value: i64) -> Result<Tree, Error> {
        assert!(
            value < 0,
            "a number that is not negative came as a signed one"
        );
        self.made(Tree::Signed(value), 0)
    }

    fn float(&mut self, value: f64) -> Result<Tree, Error> {
        assert!(value.is_finite(), "a float that is not finite was read");
        self.made(Tree::Float(value.to_bits()), 0)
    }

    fn text(&mut self, value: &str) -> Result<Tree, Error> {
        self.made(Tree::Text(value.to_owned()), value.len())
    }

    fn bytes(&mut self, value: &[u8]) -> Result<Tree, Error> {
        self.made(Tree::Bytes(value.to_vec()), value.len())
    }

    fn array(&mut self, items: Vec<Tree>) -> Result<Tree, Error> {
        self.made(Tree::Array(items), 0)
    }

    fn map(&mut self, items: Vec<(&str, Tree)>) -> Result<Tree, Error> {
        let keys = items.iter().map(|(key, _)| key.len()).sum();
        let items = items
            .into_iter()
            .map(|(key, tree)| (key.to_owned(), tree))
            .collect();
        self.made(Tree::Map(items), keys)
    }
}

fn put(tree: &Tree, writer: &mut Writer) -> Result<(), Error> {
    match tree {
        Tree::Nil => writer.nil(),
        Tree::Bool(value) => writer.boolean(*value),
        Tree::Unsigned(value) => writer.unsigned(*value),
        Tree::Signed(value) => writer.signed(*value),
        Tree::Float(bits) => writer.float(f64::from_bits(*bits)),
        Tree::Text(value) => writer.text(value),
        Tree::Bytes(value) => writer.bytes(value),
        Tree::Array(items) => {
            writer.open_array(items.len())?;
            items.iter().try_for_each(|item| put(item, writer))?;
            writer.close()
        }
        Tree::Map(items) => {
            writer.open_map(items.len())?;
            for (key, item) in items {
                writer.key(key)?;
                put(item, writer)?;
            }
            writer.close()
        }
    }
}

fn written(tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::new();
    put(tree, &mut writer).expect("what was read can be written");
    writer.finish().expect("a whole value was written")
}

fn depth(tree: &Tree) -> usize {
    match tree {
        Tree::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Tree::Map(items) => 1 + items.iter().map(|(_, item)| depth(item)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Bytes are refused, or are the one spelling of what was read; and no header makes the reader build more than is there.
pub fn read(data: &[u8]) {
    let mut trees = Trees::default();
    let found = decode(data, &mut trees);
    assert!(trees.values <= MAX_VALUES, "more values than the bound");
    assert!(trees.values <= data.len(), "more values than bytes");
    assert!(trees.bytes <= data.len(), "more text than bytes");
    let Ok(tree) = found else { return };
    assert!(depth(&tree) <= MAX_DEPTH, "deeper than the bound");
    assert_eq!(written(&tree), data, "two spellings of one value");
    let longer = [data, &[0]].concat();
    assert!(
        decode(&longer, &mut Trees::default()).is_err(),
        "a byte after the value was overlooked"
    );
}

/// Any calls of the writer, in any order: they are refused, or what comes out is read back as exactly itself.
pub fn write(data: &[u8]) {
    let mut input = Input::new(data);
    let mut writer = Writer::new();
    while !input.is_empty() {
        // A refused call leaves the writer as it was or incomplete; either way nothing wrong may come of going on.
        let _ = match input.byte() % 10 {
            0 => writer.nil(),
            1 => {
                let value = input.byte() & 1 == 1;
                writer.boolean(value)
            }
            2 => writer.unsigned(number(&mut input)),
            3 => writer.signed(number(&mut input).cast_signed()),
            4 => writer.float(f64::from_bits(input.number())),
            5 => writer.text(input.text()),
            6 => writer.bytes(input.part()),
            7 => writer.open_array(usize::from(input.byte() % 20)),
            8 => {
                let count = usize::from(input.byte() % 4);
                writer
                    .open_map(count)
                    .and_then(|()| writer.key(input.text()))
            }
            _ => match input.byte() & 1 {
                0 => writer.close(),
                _ => writer.key(input.text()),
            },
        };
    }
    if let Ok(bytes) = writer.finish() {
        let tree = decode(&bytes, &mut Trees::default()).expect("what was written can be read");
        assert_eq!(written(&tree), bytes, "two spellings of one value");
    }
}

/// Numbers of every width are equally likely.
fn number(input: &mut Input<'_>) -> u64 {
    let width = u32::from(input.byte() % 8);
    input.number() >> (8 * width)
}
