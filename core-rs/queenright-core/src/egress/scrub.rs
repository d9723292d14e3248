//! Takes a secret out of a stream of bytes. A net, not a boundary: an upstream that disguises it wins.
use zeroize::Zeroizing;

const MARK: u8 = b'*';

/// Puts as many `*` in place of each shape of a secret, so that no length changes. Letters match in either case. Feed it
/// pieces of any size: bytes that may be the beginning of a shape are held back until that is known.
pub struct Scrub {
    shapes: Vec<Zeroizing<Vec<u8>>>,
    /// Which bytes a shape begins with.
    begins: [bool; 256],
    held: Zeroizing<Vec<u8>>,
    /// How many of the held bytes are already known to belong to a shape.
    marked: usize,
}

impl Scrub {
    /// Empty shapes are none.
    pub fn new(shapes: &[Zeroizing<Vec<u8>>]) -> Self {
        let shapes: Vec<_> = shapes
            .iter()
            .filter(|shape| !shape.is_empty())
            .cloned()
            .collect();
        let mut begins = [false; 256];
        for first in shapes.iter().filter_map(|shape| shape.first()) {
            begins[usize::from(first.to_ascii_lowercase())] = true;
            begins[usize::from(first.to_ascii_uppercase())] = true;
        }
        Self {
            shapes,
            begins,
            held: Zeroizing::default(),
            marked: 0,
        }
    }

    /// Appends to `out` what of the stream is certain.
    pub fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(data);
        self.advance(false, out);
    }

    /// The stream has ended: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(true, out);
    }

    fn advance(&mut self, ended: bool, out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(&byte) = self.held.get(at) {
            if self.begins[usize::from(byte)] {
                let rest = &self.held[at..];
                if !ended && self.shapes.iter().any(|shape| may_become(rest, shape)) {
                    break;
                }
                // Every place is looked at, also within a shape that was found: shapes may overlap.
                for shape in self.shapes.iter().filter(|shape| begins_with(rest, shape)) {
                    self.marked = self.marked.max(at + shape.len());
                }
            }
            out.push(if at < self.marked { MARK } else { byte });
            at += 1;
        }
        self.held.drain(..at);
        self.marked = self.marked.saturating_sub(at);
    }
}

fn begins_with(bytes: &[u8], shape: &[u8]) -> bool {
    bytes
        .get(..shape.len())
        .is_some_and(|first| first.eq_ignore_ascii_case(shape))
}

fn may_become(bytes: &[u8], shape: &[u8]) -> bool {
    bytes.len() < shape.len() && bytes.eq_ignore_ascii_case(&shape[..bytes.len()])
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod scrub_tests;
