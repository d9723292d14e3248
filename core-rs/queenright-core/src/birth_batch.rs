//! Births in batches: many certificates made from one template, and the hash tree over their ids.
//!
//! A member's certificate is what a single birth's is, the canonical map of `wire/certificate.py`, and its digest is the
//! agent's id. What members share is said once; a member adds its name, its arguments' digest and a nonce, which is the
//! batch's seed and the member's position. So whoever has the template makes the very bytes again, and nobody needs to
//! carry or keep them. The tree is RFC 9162's over the ids; `tops` are its nodes over `PART` members each, from which any
//! path is found by making one part again.
use crate::digest::digest;
use crate::error::{Error, Result};
use crate::id_index::Id;
use crate::merkle::{Hash, MerkleTree, leaf_hash, root};

/// Members of one batch. Bounds how long one call keeps a thread: about a tenth of a second.
pub const MAX_MEMBERS: usize = 131_072;
/// Members under one kept node of the tree; a power of two, so that the nodes are the tree's own.
pub const PART: usize = 256;
/// Longest whole name, the family's included.
pub const MAX_NAME: usize = 96;
pub const SEED: usize = 12;
const KIND: &str = "birth";
const BIN_32: [u8; 2] = [0xc4, 32];

/// What all members of a batch share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub runtime: Id,
    pub intent: Id,
    pub parent: Id,
    pub package: Id,
    /// Digest of the grant each is born with.
    pub grant: Id,
    /// The parent's whole name; a member's is this, `/`, and its own.
    pub family: String,
    pub behaviour: String,
    pub born_ms: u64,
    pub seed: [u8; SEED],
}

/// Members' own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// `stem-0`, `stem-1`, …: nothing is kept of each.
    Counted { stem: Box<str>, count: u32 },
    /// Laid end to end in `text`; `ends` are where each one ends.
    Listed { text: Box<str>, ends: Box<[u32]> },
}

impl Names {
    pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for name in names {
            text.push_str(name);
            ends.push(u32::try_from(text.len()).map_err(|_| too_many(usize::MAX))?);
        }
        Ok(Self::Listed {
            text: text.into(),
            ends: ends.into(),
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Counted { count, .. } => *count as usize,
            Self::Listed { ends, .. } => ends.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members whose own name a whole name could end with: at most one of those that are counted.
    pub fn might_be(&self, name: &str) -> std::ops::Range<u32> {
        match self {
            Self::Counted { count, .. } => {
                let digits = name.rsplit('-').next().unwrap_or("");
                match digits.parse::<u32>() {
                    Ok(at) if at < *count => at..at + 1,
                    _ => 0..0,
                }
            }
            Self::Listed { ends, .. } => 0..ends.len() as u32,
        }
    }

    /// Appends the name at `index` (of a part: counted from the part's `first`). False if there is none.
    pub fn write(&self, first: u32, index: u32, out: &mut String) -> bool {
        match self {
            Self::Counted { stem, count } => {
                if index >= *count {
                    return false;
                }
                out.push_str(stem);
                out.push('-');
                push_decimal(first.saturating_add(index), out);
            }
            Self::Listed { text, ends } => {
                let at = index as usize;
                let start = match at.checked_sub(1) {
                    Some(before) => ends.get(before).copied(),
                    None => Some(0),
                };
                let (Some(start), Some(end)) = (start, ends.get(at).copied()) else {
                    return false;
                };
                let Some(name) = text.get(start as usize..end as usize) else {
                    return false;
                };
                out.push_str(name);
            }
        }
        true
    }
}

fn push_decimal(mut number: u32, out: &mut String) {
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Digests of members' arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Args {
    Same(Id),
    Each(Box<[Id]>),
}

impl Args {
    fn of(&self, index: usize) -> Option<&Id> {
        match self {
            Self::Same(one) => Some(one),
            Self::Each(all) => all.get(index),
        }
    }
}

fn too_many(count: usize) -> Error {
    Error::malformed(format!(
        "a batch of {count} births: 1 to {MAX_MEMBERS} are born at once"
    ))
    .hint("spawn the rest in another step")
}

/// Whether a whole name may be an agent's: lower-case letters, digits, `.`, `_`, `-`, and `/` between parts.
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_NAME).contains(&bytes.len())
        && plain(bytes[0])
        && bytes.iter().enumerate().all(|(at, byte)| match byte {
            b'/' => bytes.get(at + 1).is_some_and(|next| plain(*next)),
            b'.' | b'_' | b'-' => true,
            other => plain(*other),
        })
}

/// The canonical bytes of a member's certificate, in the pieces between what differs.
struct Mould {
    head: Vec<u8>,
    to_name: Vec<u8>,
    to_nonce: Vec<u8>,
    tail: Vec<u8>,
}

fn key(name: &str, out: &mut Vec<u8>) {
    text(name, out);
}

/// A canonical string of at most 255 bytes: names and behaviours are checked to be shorter.
fn text(value: &str, out: &mut Vec<u8>) {
    let length = value.len() as u8;
    if length < 32 {
        out.push(0xa0 | length);
    } else {
        out.extend([0xd9, length]);
    }
    out.extend_from_slice(value.as_bytes());
}

fn id(value: &Id, out: &mut Vec<u8>) {
    out.extend(BIN_32);
    out.extend_from_slice(value);
}

fn number(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=127 => out.push(value as u8),
        128..=0xff => out.extend([0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(value.to_be_bytes());
        }
    }
}

impl Mould {
    fn new(template: &Template) -> Self {
        let (mut head, mut to_name) = (vec![0x8b], Vec::new());
        key("args", &mut head);
        head.extend(BIN_32);
        key("behaviour", &mut to_name);
        text(&template.behaviour, &mut to_name);
        key("born_ms", &mut to_name);
        number(template.born_ms, &mut to_name);
        for (name, value) in [("grant", &template.grant), ("intent", &template.intent)] {
            key(name, &mut to_name);
            id(value, &mut to_name);
        }
        key("name", &mut to_name);
        let (mut to_nonce, mut tail) = (Vec::new(), Vec::new());
        key("nonce", &mut to_nonce);
        to_nonce.extend([0xc4, (SEED + 4) as u8]);
        to_nonce.extend(template.seed);
        for (name, value) in [
            ("package", &template.package),
            ("parent", &template.parent),
            ("runtime", &template.runtime),
        ] {
            key(name, &mut tail);
            id(value, &mut tail);
        }
        key("v", &mut tail);
        tail.push(1);
        Self {
            head,
            to_name,
            to_nonce,
            tail,
        }
    }

    fn cast(&self, position: u32, name: &str, args: &Id, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.head);
        out.extend_from_slice(args);
        out.extend_from_slice(&self.to_name);
        text(name, out);
        out.extend_from_slice(&self.to_nonce);
        out.extend(position.to_be_bytes());
        out.extend_from_slice(&self.tail);
    }
}

/// A whole batch, or the part of one that begins at position `first`.
pub struct BirthBatch {
    template: Template,
    names: Names,
    args: Args,
    first: u32,
    ids: Vec<Id>,
    tops: Vec<Hash>,
}

impl BirthBatch {
    /// Makes every certificate once, for its id. Refuses names no agent may have, and counts that do not agree.
    pub fn new(template: Template, names: Names, args: Args, first: u32) -> Result<Self> {
        let count = names.len();
        let end = (first as usize).saturating_add(count);
        if count == 0 || end > MAX_MEMBERS {
            return Err(too_many(count));
        }
        if !(first as usize).is_multiple_of(PART) {
            return Err(Error::malformed(format!(
                "a part of a batch begins at a multiple of {PART}, not at {first}"
            )));
        }
        if let Args::Each(all) = &args
            && all.len() != count
        {
            return Err(Error::malformed(format!(
                "{} arguments for {count} births",
                all.len()
            )));
        }
        if !is_name(&template.family) || template.behaviour.len() > u8::MAX.into() {
            return Err(Error::malformed(
                "the parent's name or the behaviour of a batch is none that an agent may have",
            ));
        }
        let mut batch = Self {
            template,
            names,
            args,
            first,
            ids: Vec::with_capacity(count),
            tops: Vec::with_capacity(count.div_ceil(PART)),
        };
        batch.make()?;
        Ok(batch)
    }

    fn make(&mut self) -> Result<()> {
        let mould = Mould::new(&self.template);
        let (mut name, mut certificate) = (String::new(), Vec::new());
        let family = format!("{}/", self.template.family);
        let mut part = Vec::with_capacity(PART);
        for index in 0..self.names.len() {
            name.clear();
            name.push_str(&family);
            // An own name that begins with `/` would not be refused by the whole name's form alone.
            let known = self.names.write(self.first, index as u32, &mut name);
            if !known || name.as_bytes().get(family.len()) == Some(&b'/') || !is_name(&name) {
                let shown: String = name.chars().take(MAX_NAME).collect();
                return Err(Error::malformed(format!("`{shown}` is no agent name")).hint(
                    "lower-case letters, digits, `.`, `_`, `-` and `/`, at most 96 with the parent's",
                ));
            }
            let args = self
                .args
                .of(index)
                .ok_or_else(|| Error::malformed("a birth without arguments"))?;
            mould.cast(self.first + index as u32, &name, args, &mut certificate);
            let id = digest(KIND, &certificate)?;
            part.push(leaf_hash(&id));
            if part.len() == PART {
                self.tops.push(root(&part));
                part.clear();
            }
            self.ids.push(id);
        }
        if !part.is_empty() {
            self.tops.push(root(&part));
        }
        Ok(())
    }

    pub fn template(&self) -> &Template {
        &self.template
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn first(&self) -> u32 {
        self.first
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The tree's nodes over `PART` members each.
    pub fn tops(&self) -> &[Hash] {
        &self.tops
    }

    pub fn root(&self) -> Hash {
        root(&self.tops)
    }

    fn index(&self, position: u32) -> Result<usize> {
        position
            .checked_sub(self.first)
            .map(|index| index as usize)
            .filter(|index| *index < self.ids.len())
            .ok_or_else(|| Error::unknown(format!("no birth at position {position} here")))
    }

    pub fn id(&self, position: u32) -> Result<Id> {
        Ok(self.ids[self.index(position)?])
    }

    /// A member's whole name.
    pub fn name(&self, position: u32) -> Result<String> {
        let index = self.index(position)?;
        let mut name = format!("{}/", self.template.family);
        self.names.write(self.first, index as u32, &mut name);
        Ok(name)
    }

    /// The canonical bytes whose digest is the member's id.
    pub fn certificate(&self, position: u32) -> Result<Vec<u8>> {
        let index = self.index(position)?;
        let args = self
            .args
            .of(index)
            .ok_or_else(|| Error::malformed("a birth without arguments"))?;
        let mut out = Vec::new();
        Mould::new(&self.template).cast(position, &self.name(position)?, args, &mut out);
        Ok(out)
    }

    /// The path from a member's id to the batch's root. `tops`: those of the whole batch, whose member this part's are.
    pub fn path(&self, position: u32, tops: &[Hash]) -> Result<Vec<Hash>> {
        let index = self.index(position)?;
        let (part, within) = (position as usize / PART, index % PART);
        let start = index - within;
        let end = self.ids.len().min(start + PART);
        let mut tree = MerkleTree::new();
        for id in &self.ids[start..end] {
            tree.append(leaf_hash(id));
        }
        let size = (end - start) as u64;
        if tops.get(part) != Some(&tree.root(size)?) {
            return Err(Error::malformed("the tops given are another batch's"));
        }
        let mut path = tree.inclusion(within as u64, size)?;
        let mut above = MerkleTree::new();
        for top in tops {
            above.append(*top);
        }
        path.extend(above.inclusion(part as u64, tops.len() as u64)?);
        Ok(path)
    }
}

#[cfg(test)]
#[path = "birth_batch_tests.rs"]
mod tests;
