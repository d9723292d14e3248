//! A batch on the link.
//!
//! ```text
//! "QRB1" sender[32] incarnation:u64 first:u64 count:u32 previous[32] signature[64]
//! n:u16 { receiver[32] generation:u64 enc[32] }*n        each receiver once, in the order of its first message here
//! n:u16 { length:u8 type }*n                             likewise
//! { 0x00 leaf[32] | 0x01 pair:u16 type:u16 sequence:u64 counter:u64 salted[32] length:u32 ciphertext }*count
//! ```
use std::collections::HashSet;

use super::letter::put_letter;
use super::read::{Bytes, put_head, put_kind, put_pair};
use super::{Head, Id, batch_digest, ciphertext_digest, leaf};
use crate::error::{Error, Result};
use crate::merkle::{Hash, MerkleTree};
use crate::signature::{self, SIGNATURE_LENGTH};

pub(super) const MAGIC: &[u8; 4] = b"QRB1";
const OTHER: u8 = 0;
const MESSAGE: u8 = 1;

/// A receiver in a packet, with the sealing context that its messages were made in.
#[derive(Clone, Debug)]
pub struct PairOfPacket {
    pub receiver: Id,
    pub generation: u64,
    pub enc: [u8; 32],
    pub messages: u32,
    /// Bytes of ciphertext: what the messages weigh in a mailbox.
    pub bytes: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    last_counter: u64,
}

/// A message in a packet. `pair` and `kind` are positions in its tables, `ciphertext` a range of its bytes.
#[derive(Clone, Debug)]
pub struct Message {
    pub index: u32,
    pub pair: usize,
    pub kind: usize,
    pub sequence: u64,
    pub counter: u64,
    pub salted: Hash,
    ciphertext: (usize, usize),
    entry: (usize, usize),
}

/// A batch, or what is for one cell of it. Well formed, and worth nothing before `verify`.
#[derive(Debug)]
pub struct Packet {
    data: Vec<u8>,
    pub head: Head,
    pub signature: [u8; SIGNATURE_LENGTH],
    pub pairs: Vec<PairOfPacket>,
    pub kinds: Vec<String>,
    pub messages: Vec<Message>,
    leaves: Vec<Hash>,
}

impl Packet {
    /// Refuses (Malformed) whatever `Sealer::seal` and `only` would not have written: one batch has one form.
    pub fn parse(data: Vec<u8>) -> Result<Self> {
        let mut read = Bytes::new(&data, "batch");
        read.magic(MAGIC)?;
        let head = read.head()?;
        let signature = read.signature()?;
        let mut pairs = Vec::new();
        let mut known = HashSet::new();
        for _ in 0..read.table(&head)? {
            let pair = PairOfPacket::new(read.array()?, read.u64()?, read.array()?);
            if !known.insert(pair.receiver) {
                return Err(read.refuse("a receiver twice"));
            }
            pairs.push(pair);
        }
        let mut kinds: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        for _ in 0..read.table(&head)? {
            let kind = read.kind()?;
            if !known.insert(kind) {
                return Err(read.refuse("a message type twice"));
            }
            kinds.push(kind.to_owned());
        }
        let (mut pairs_seen, mut kinds_seen) = (0, 0);
        let mut messages = Vec::new();
        let mut leaves = Vec::with_capacity(head.count as usize);
        let mut scratch = Vec::with_capacity(256);
        for index in 0..head.count {
            let start = read.at();
            match read.u8()? {
                OTHER => leaves.push(read.array()?),
                MESSAGE => {
                    let (pair, kind) = (usize::from(read.u16()?), usize::from(read.u16()?));
                    seen(pair, pairs.len(), &mut pairs_seen).map_err(|why| read.refuse(why))?;
                    seen(kind, kinds.len(), &mut kinds_seen).map_err(|why| read.refuse(why))?;
                    let (sequence, counter, salted) = (read.u64()?, read.u64()?, read.array()?);
                    let ciphertext = read.ciphertext()?;
                    let bytes = &data[ciphertext.0..ciphertext.1];
                    let of = &mut pairs[pair];
                    of.add(sequence, counter, bytes.len())
                        .map_err(|why| read.refuse(why))?;
                    let digest = ciphertext_digest(&of.enc, of.generation, counter, bytes);
                    leaves.push(leaf(
                        &mut scratch,
                        &of.receiver,
                        sequence,
                        &kinds[kind],
                        &digest,
                        &salted,
                    ));
                    messages.push(Message {
                        index,
                        pair,
                        kind,
                        sequence,
                        counter,
                        salted,
                        ciphertext,
                        entry: (start, read.at()),
                    });
                }
                _ => return Err(read.refuse("an entry of another kind")),
            }
        }
        read.end()?;
        if messages.is_empty() || pairs_seen != pairs.len() || kinds_seen != kinds.len() {
            return Err(read.refuse("a table entry, or a batch, without a message"));
        }
        Ok(Self {
            data,
            head,
            signature,
            pairs,
            kinds,
            messages,
            leaves,
        })
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    #[must_use]
    pub fn ciphertext(&self, message: &Message) -> &[u8] {
        &self.data[message.ciphertext.0..message.ciphertext.1]
    }

    /// The leaves' hashes, of all messages of the batch.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    #[must_use]
    pub fn receiver(&self, message: &Message) -> &Id {
        &self.pairs[message.pair].receiver
    }

    fn signed(&self, runtime: &Id) -> Vec<u8> {
        self.head
            .signed_bytes(runtime, &crate::merkle::root(&self.leaves))
    }

    /// Sign what stands here; the signature goes to its place in the bytes. What was signed.
    pub(super) fn sign(&mut self, runtime: &Id, at: usize, key: &signature::SigningKey) -> Vec<u8> {
        let signed = self.signed(runtime);
        self.signature = key.sign(&signed);
        self.data[at..at + SIGNATURE_LENGTH].copy_from_slice(&self.signature);
        signed
    }

    /// Check the one signature over the root of what is here. The batch's digest, which the next one names.
    pub fn verify(&self, runtime: &Id, public_key: &[u8]) -> Result<Hash> {
        let signed = self.signed(runtime);
        signature::verify(public_key, &signed, &self.signature)?;
        Ok(batch_digest(&signed))
    }

    /// The packet with the messages of some receivers only; of the others their leaves stand, so that the root does.
    pub fn only(&self, wanted: impl Fn(&Id) -> bool) -> Result<Vec<u8>> {
        let keep: Vec<bool> = self
            .pairs
            .iter()
            .map(|pair| wanted(&pair.receiver))
            .collect();
        let mut new = Tables::new(self.pairs.len(), self.kinds.len());
        let mut entries = Vec::with_capacity(self.data.len());
        let mut next = 0;
        for message in self.messages.iter().filter(|message| keep[message.pair]) {
            for leaf in &self.leaves[next..message.index as usize] {
                put_other(&mut entries, leaf);
            }
            next = message.index as usize + 1;
            let pair = new.pairs.place(message.pair)?;
            let kind = new.kinds.place(message.kind)?;
            put_place(&mut entries, pair, kind);
            let (start, end) = message.entry;
            entries.extend_from_slice(&self.data[start + 5..end]);
        }
        if new.pairs.order.is_empty() {
            return Err(Error::unknown("no message of this batch is for them"));
        }
        for leaf in &self.leaves[next..] {
            put_other(&mut entries, leaf);
        }
        let mut out = Vec::with_capacity(entries.len() + 512);
        out.extend_from_slice(MAGIC);
        put_head(&mut out, &self.head);
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(&(new.pairs.order.len() as u16).to_be_bytes());
        for at in &new.pairs.order {
            let pair = &self.pairs[*at];
            put_pair(&mut out, &pair.receiver, pair.generation, &pair.enc);
        }
        out.extend_from_slice(&(new.kinds.order.len() as u16).to_be_bytes());
        for at in &new.kinds.order {
            put_kind(&mut out, &self.kinds[*at]);
        }
        out.extend_from_slice(&entries);
        Ok(out)
    }

    /// Messages as letters: each proven alone, by its path to the root.
    pub fn letters(&self) -> Result<Vec<Vec<u8>>> {
        let mut tree = MerkleTree::new();
        for leaf in &self.leaves {
            tree.append(*leaf);
        }
        self.messages
            .iter()
            .map(|message| {
                let path = tree.inclusion(u64::from(message.index), tree.size())?;
                Ok(put_letter(self, message, &path))
            })
            .collect()
    }
}

impl PairOfPacket {
    pub(super) fn new(receiver: Id, generation: u64, enc: [u8; 32]) -> Self {
        Self {
            receiver,
            generation,
            enc,
            messages: 0,
            bytes: 0,
            first_sequence: 0,
            last_sequence: 0,
            last_counter: 0,
        }
    }

    fn add(
        &mut self,
        sequence: u64,
        counter: u64,
        bytes: usize,
    ) -> std::result::Result<(), &'static str> {
        if self.messages == 0 {
            self.first_sequence = sequence;
        } else if sequence <= self.last_sequence {
            return Err("a pair's sequence does not rise");
        } else if counter <= self.last_counter {
            return Err("a sealing context's counter does not rise");
        }
        (self.last_sequence, self.last_counter) = (sequence, counter);
        self.messages += 1;
        self.bytes += bytes as u64;
        Ok(())
    }
}

/// A position in a table: one that came before, or the next.
fn seen(at: usize, length: usize, seen: &mut usize) -> std::result::Result<(), &'static str> {
    if at >= length || at > *seen {
        return Err("a position in a table that is not there, or out of order");
    }
    *seen = (*seen).max(at + 1);
    Ok(())
}

fn put_other(out: &mut Vec<u8>, leaf: &Hash) {
    out.push(OTHER);
    out.extend_from_slice(leaf);
}

pub(super) fn put_place(out: &mut Vec<u8>, pair: u16, kind: u16) {
    out.push(MESSAGE);
    out.extend_from_slice(&pair.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
}

struct Tables {
    pairs: Table,
    kinds: Table,
}

impl Tables {
    fn new(pairs: usize, kinds: usize) -> Self {
        Self {
            pairs: Table::new(pairs),
            kinds: Table::new(kinds),
        }
    }
}

/// Old positions in the order of their first use.
struct Table {
    order: Vec<usize>,
    new: Vec<Option<u16>>,
}

impl Table {
    fn new(length: usize) -> Self {
        Self {
            order: Vec::new(),
            new: vec![None; length],
        }
    }

    fn place(&mut self, old: usize) -> Result<u16> {
        if let Some(at) = self.new[old] {
            return Ok(at);
        }
        let at = u16::try_from(self.order.len())
            .map_err(|_| Error::malformed("too many receivers in one batch"))?;
        self.order.push(old);
        self.new[old] = Some(at);
        Ok(at)
    }
}
