//! Canonical MessagePack: one value, one byte string.
//!
//! What is signed or hashed is written here, so a reader refuses whatever this writer would not have written: keys out
//! of order or twice, a number or length in a longer form than it needs, NaN and infinities, extension types, bytes
//! after the value, more than `MAX_DEPTH` containers inside each other, a length past the end of the input.
mod reader;
mod writer;

pub use reader::{Build, decode, decode_map};
pub use writer::Writer;

use crate::error::Error;

/// Arrays and maps inside each other. Deep enough for every document we sign, shallow enough for any stack.
pub const MAX_DEPTH: usize = 32;
/// Values in one document. A byte of input may become 64 of memory (an empty list): so 4 MiB of them could become 256 MiB.
/// Bulk belongs into `bytes`.
pub const MAX_VALUES: usize = 1 << 18;

fn too_many() -> Error {
    Error::malformed(format!("more than {MAX_VALUES} values in one document"))
        .hint("carry bulk as bytes")
}

fn too_deep() -> Error {
    Error::malformed(format!(
        "more than {MAX_DEPTH} containers inside each other"
    ))
}

#[cfg(test)]
mod tests;
