//! Batches: what one sender's incarnation says at once to others, sealed for each and signed once.
//!
//! Every message is sealed for its receiver (`seal`), a Merkle tree (RFC 6962) stands over the messages, and one Ed25519
//! signature over the root and the batch's place in the sender's chain. A `Packet` is a whole batch on the link; forwarded to
//! a cell, it holds that cell's messages and of the others only the leaves' hashes. A `Letter` is one message with the path to
//! the root: what is stored, and what proves that message to anybody, without the rest of the batch.
//!
//! Numbers: `sequence` is of the pair (sender, receiver), rises across lives, and is what replays are refused by. `first` is
//! how many messages this incarnation signed before the batch, so that batches are a chain of (first, count, previous).
//! `counter` is the place in the sealing context and says nothing else.
//!
//! What is signed, as canonical bytes (`canonical`):
//! - the batch: `["queenright-batch/v1", runtime key, sender, incarnation, first, count, previous, root]`
//! - a leaf: `[receiver, sequence, type, digest("ciphertext", enc || generation u64 || counter u64 || ciphertext), salted]`
//! - `salted` is `digest("plaintext", salt || body)`; the salt of 16 bytes is sealed in front of the body
//! - the seal's associated data: `[sender, receiver, sequence, type]`
mod letter;
mod opener;
mod packet;
mod read;
mod sealer;

pub use letter::{Letter, verify_record};
pub use opener::{Expected, Opened, Opener};
pub use packet::{Message, Packet, PairOfPacket};
pub use sealer::{Draft, Sealer};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::merkle::{Hash, leaf_hash};

pub type Id = [u8; 32];

pub const DOMAIN: &str = "queenright-batch/v1";
/// HPKE's `info`: a seal made for anything else never opens as a message.
pub const SEAL_INFO: &[u8] = b"queenright/seal/v1";
/// Sealed in front of the body, so that the signed digest of the plaintext tells nobody a guessable plaintext.
pub const SALT: usize = 16;
/// What a message's ciphertext is longer than its body.
pub const OVERHEAD: usize = SALT + crate::seal::TAG;
pub const MAX_BODY: usize = 256 * 1024;
/// A batch is one loop turn of a cell at most; more is sent as several.
pub const MAX_MESSAGES: usize = 4096;
pub const MAX_KIND: usize = 128;

/// What a signature covers besides the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub sender: Id,
    pub incarnation: u64,
    /// Messages this incarnation signed before.
    pub first: u64,
    pub count: u32,
    /// The digest of this incarnation's batch before, zeros for its first.
    pub previous: Hash,
}

impl Head {
    /// The canonical bytes that the incarnation's key signs.
    #[must_use]
    pub fn signed_bytes(&self, runtime: &Id, root: &Hash) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.push(0x98); // a list of eight
        put_text(&mut out, DOMAIN);
        put_hash(&mut out, runtime);
        put_hash(&mut out, &self.sender);
        put_unsigned(&mut out, self.incarnation);
        put_unsigned(&mut out, self.first);
        put_unsigned(&mut out, u64::from(self.count));
        put_hash(&mut out, &self.previous);
        put_hash(&mut out, root);
        out
    }
}

/// What the next batch names as its previous.
#[must_use]
pub fn batch_digest(signed: &[u8]) -> Hash {
    labelled(b"queenright/batch/v1\0", &[signed])
}

/// Commits to a plaintext without letting anyone guess it.
#[must_use]
pub fn salted_digest(salt: &[u8], body: &[u8]) -> Hash {
    labelled(b"queenright/plaintext/v1\0", &[salt, body])
}

/// Everything of a seal: the encapsulated key, whose key it was made for, its counter, and the bytes.
fn ciphertext_digest(enc: &[u8; 32], generation: u64, counter: u64, ciphertext: &[u8]) -> Hash {
    let (generation, counter) = (generation.to_be_bytes(), counter.to_be_bytes());
    labelled(
        b"queenright/ciphertext/v1\0",
        &[enc, &generation, &counter, ciphertext],
    )
}

/// `digest::digest` for a label known here, over parts instead of one copied piece.
fn labelled(label: &[u8], parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new_with_prefix(label);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a seal is bound to besides its key: nobody can move a ciphertext to another pair, place or type.
fn seal_aad(out: &mut Vec<u8>, sender: &Id, receiver: &Id, sequence: u64, kind: &str) {
    out.clear();
    out.push(0x94); // a list of four
    put_hash(out, sender);
    put_hash(out, receiver);
    put_unsigned(out, sequence);
    put_text(out, kind);
}

/// One message's leaf. `scratch` is only there to be used again.
fn leaf(
    scratch: &mut Vec<u8>,
    receiver: &Id,
    sequence: u64,
    kind: &str,
    ciphertext: &Hash,
    salted: &Hash,
) -> Hash {
    scratch.clear();
    scratch.push(0x95); // a list of five
    put_hash(scratch, receiver);
    put_unsigned(scratch, sequence);
    put_text(scratch, kind);
    put_hash(scratch, ciphertext);
    put_hash(scratch, salted);
    leaf_hash(scratch)
}

// Canonical msgpack of three shapes, written straight: `canonical::Writer` checks nesting that cannot be wrong here, and costs
// as much as the hash. A test holds each against it.

fn put_hash(out: &mut Vec<u8>, hash: &Hash) {
    out.extend_from_slice(&[0xc4, 32]);
    out.extend_from_slice(hash);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // A kind has at most MAX_KIND bytes, and the domain fewer.
    let length = text.len().min(usize::from(u8::MAX)) as u8;
    if length < 32 {
        out.push(0xa0 | length);
    } else {
        out.extend_from_slice(&[0xd9, length]);
    }
    out.extend_from_slice(text.as_bytes());
}

fn put_unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 128 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// A type's name on the wire: 1 to MAX_KIND bytes.
fn check_kind(kind: &str) -> Result<()> {
    if kind.is_empty() || kind.len() > MAX_KIND {
        return Err(Error::malformed(format!(
            "a message type has 1 to {MAX_KIND} bytes, not {}",
            kind.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
