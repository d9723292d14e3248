//! One message of a batch, alone: what is stored for its receiver's next life, and what proves it to an auditor.
//!
//! ```text
//! "QRL1" sender[32] incarnation:u64 first:u64 count:u32 previous[32] signature[64]
//! receiver[32] generation:u64 enc[32] length:u8 type index:u32 sequence:u64 counter:u64 salted[32]
//! n:u8 { hash[32] }*n     the path to the root
//! length:u32 ciphertext
//! ```
use super::packet::{Message, Packet};
use super::read::{Bytes, put_head, put_kind, put_pair};
use super::{Head, Id, batch_digest, ciphertext_digest, leaf};
use crate::error::{Error, Result};
use crate::merkle::{self, Hash};
use crate::signature::{self, SIGNATURE_LENGTH};

const MAGIC: &[u8; 4] = b"QRL1";
/// A path in a tree of MAX_MESSAGES leaves.
const MAX_PATH: u8 = 12;

/// Well formed, and worth nothing before `verify` or `verify_record`.
#[derive(Debug)]
pub struct Letter {
    data: Vec<u8>,
    pub head: Head,
    pub signature: [u8; SIGNATURE_LENGTH],
    pub receiver: Id,
    pub generation: u64,
    pub enc: [u8; 32],
    pub kind: String,
    pub index: u32,
    pub sequence: u64,
    pub counter: u64,
    pub salted: Hash,
    path: Vec<Hash>,
    ciphertext: (usize, usize),
}

impl Letter {
    pub fn parse(data: Vec<u8>) -> Result<Self> {
        let mut read = Bytes::new(&data, "letter");
        read.magic(MAGIC)?;
        let head = read.head()?;
        let signature = read.signature()?;
        let (receiver, generation, enc) = (read.array()?, read.u64()?, read.array()?);
        let kind = read.kind()?.to_owned();
        let index = read.u32()?;
        if index >= head.count {
            return Err(read.refuse("a message after the batch's last"));
        }
        let (sequence, counter, salted) = (read.u64()?, read.u64()?, read.array()?);
        let length = read.u8()?;
        if length > MAX_PATH {
            return Err(read.refuse("a path longer than any tree is high"));
        }
        let path = (0..length).map(|_| read.array()).collect::<Result<_>>()?;
        let ciphertext = read.ciphertext()?;
        read.end()?;
        Ok(Self {
            data,
            head,
            signature,
            receiver,
            generation,
            enc,
            kind,
            index,
            sequence,
            counter,
            salted,
            path,
            ciphertext,
        })
    }

    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.data[self.ciphertext.0..self.ciphertext.1]
    }

    fn leaf(&self) -> Hash {
        let digest = ciphertext_digest(&self.enc, self.generation, self.counter, self.ciphertext());
        leaf(
            &mut Vec::with_capacity(256),
            &self.receiver,
            self.sequence,
            &self.kind,
            &digest,
            &self.salted,
        )
    }

    fn root(&self) -> Result<Hash> {
        merkle::root_by_inclusion(
            u64::from(self.index),
            u64::from(self.head.count),
            &self.leaf(),
            &self.path,
        )
    }

    /// Check that the key signed a batch with this message in this place. The batch's digest.
    pub fn verify(&self, runtime: &Id, public_key: &[u8]) -> Result<Hash> {
        let signed = self.head.signed_bytes(runtime, &self.root()?);
        signature::verify(public_key, &signed, &self.signature)?;
        Ok(batch_digest(&signed))
    }
}

pub(super) fn put_letter(packet: &Packet, message: &Message, path: &[Hash]) -> Vec<u8> {
    let pair = &packet.pairs[message.pair];
    let ciphertext = packet.ciphertext(message);
    let mut out = Vec::with_capacity(ciphertext.len() + 32 * path.len() + 512);
    out.extend_from_slice(MAGIC);
    put_head(&mut out, &packet.head);
    out.extend_from_slice(&packet.signature);
    put_pair(&mut out, &pair.receiver, pair.generation, &pair.enc);
    put_kind(&mut out, &packet.kinds[message.kind]);
    out.extend_from_slice(&message.index.to_be_bytes());
    out.extend_from_slice(&message.sequence.to_be_bytes());
    out.extend_from_slice(&message.counter.to_be_bytes());
    out.extend_from_slice(&message.salted);
    // At most MAX_PATH: a batch has at most MAX_MESSAGES.
    out.push(path.len() as u8);
    for hash in path {
        out.extend_from_slice(hash);
    }
    // A body has at most MAX_BODY bytes.
    out.extend_from_slice(&(ciphertext.len() as u32).to_be_bytes());
    out.extend_from_slice(ciphertext);
    out
}

/// Check the letters of one record: exactly one whole batch, in its order, each with its own path, under one signature.
/// The batch's digest.
pub fn verify_record(letters: &[&Letter], runtime: &Id, public_key: &[u8]) -> Result<Hash> {
    let Some(first) = letters.first() else {
        return Err(Error::malformed(
            "a record without letters has no signature",
        ));
    };
    if letters.len() != first.head.count as usize {
        return Err(Error::malformed(format!(
            "{} letters where the batch has {} messages",
            letters.len(),
            first.head.count
        )));
    }
    let digest = first.verify(runtime, public_key)?;
    let root = first.root()?;
    for (index, letter) in letters.iter().enumerate() {
        if letter.head != first.head || letter.signature != first.signature {
            return Err(Error::malformed(
                "the letters of a record are of two batches",
            ));
        }
        if letter.index as usize != index {
            return Err(Error::malformed("the letters of a record are out of order"));
        }
        if letter.root()? != root {
            return Err(Error::invalid_signature(
                "a letter is not in the batch that was signed",
            ));
        }
    }
    Ok(digest)
}
