//! The sender's side: one incarnation's sealing contexts and its chain of batches.
use std::collections::HashMap;

use super::packet::{MAGIC, Packet, put_place};
use super::read::{put_head, put_kind, put_pair};
use super::{
    Head, Id, MAX_BODY, MAX_MESSAGES, OVERHEAD, SALT, SEAL_INFO, batch_digest, check_kind,
    salted_digest, seal_aad,
};
use crate::error::{Error, Result};
use crate::merkle::Hash;
use crate::seal::{KEY, SealContext};
use crate::signature::{SIGNATURE_LENGTH, SigningKey};

/// A message before it is sealed.
pub struct Draft {
    pub receiver: Id,
    pub kind: String,
    pub body: Vec<u8>,
}

impl Draft {
    /// Refuses (Malformed) what no batch can carry.
    pub fn check(&self) -> Result<()> {
        check_kind(&self.kind)?;
        if self.body.len() > MAX_BODY {
            return Err(Error::malformed(format!(
                "a message of {} bytes is over the limit of {MAX_BODY}",
                self.body.len()
            ))
            .hint("write a file instead"));
        }
        Ok(())
    }

    /// Bytes of its ciphertext: what it weighs in a mailbox elsewhere.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (self.body.len() + OVERHEAD) as u64
    }
}

struct Line {
    context: SealContext,
    enc: [u8; 32],
    generation: u64,
    /// The pair's next sequence.
    sequence: u64,
}

/// What one incarnation signs, in order. It holds no signing key: that is lent for each batch.
pub struct Sealer {
    runtime: Id,
    sender: Id,
    incarnation: u64,
    first: u64,
    previous: Hash,
    lines: HashMap<Id, Line>,
}

impl Sealer {
    #[must_use]
    pub fn new(runtime: Id, sender: Id, incarnation: u64) -> Self {
        Self {
            runtime,
            sender,
            incarnation,
            first: 0,
            previous: [0; 32],
            lines: HashMap::new(),
        }
    }

    #[must_use]
    pub fn knows(&self, receiver: &Id) -> bool {
        self.lines.contains_key(receiver)
    }

    /// Seal for this receiver from now on. `seed` is 32 fresh random bytes. The pair's sequence only rises: an answer that was
    /// under way may know less than this sealer. A context of the same generation stays as it is.
    pub fn learn(
        &mut self,
        receiver: Id,
        public_key: &[u8],
        generation: u64,
        sequence: u64,
        seed: &[u8; KEY],
    ) -> Result<()> {
        let known = self.lines.get(&receiver);
        let sequence = known.map_or(sequence, |line| line.sequence.max(sequence));
        if let Some(line) = self.lines.get_mut(&receiver)
            && line.generation == generation
        {
            line.sequence = sequence;
            return Ok(());
        }
        let (context, enc) = SealContext::new(public_key, SEAL_INFO, seed)?;
        let line = Line {
            context,
            enc,
            generation,
            sequence,
        };
        self.lines.insert(receiver, line);
        Ok(())
    }

    /// Seal all drafts as the next batch and sign it. `salts` are SALT random bytes for each. Nothing is taken from the chain
    /// or a context if a draft is refused: Unknown for a receiver that was not learned, Malformed for a size.
    pub fn seal(&mut self, drafts: &[Draft], salts: &[u8], key: &SigningKey) -> Result<Packet> {
        let places = self.places(drafts, salts)?;
        let count = u32::try_from(drafts.len())
            .map_err(|_| Error::malformed("too many messages in one batch"))?;
        let next = self
            .first
            .checked_add(u64::from(count))
            .ok_or_else(|| Error::malformed("this incarnation's chain is used up"))?;
        let head = Head {
            sender: self.sender,
            incarnation: self.incarnation,
            first: self.first,
            count,
            previous: self.previous,
        };
        let body_bytes: usize = drafts.iter().map(|draft| draft.body.len() + 128).sum();
        let mut out = Vec::with_capacity(body_bytes + 512);
        out.extend_from_slice(MAGIC);
        put_head(&mut out, &head);
        let signature_at = out.len();
        out.extend_from_slice(&[0; SIGNATURE_LENGTH]);
        self.put_tables(&mut out, &places)?;
        let mut aad = Vec::with_capacity(256);
        for ((draft, salt), (pair, kind)) in
            drafts.iter().zip(salts.chunks_exact(SALT)).zip(&places.of)
        {
            let line = self
                .lines
                .get_mut(&draft.receiver)
                .ok_or_else(|| unknown(&draft.receiver))?;
            let sequence = line.sequence;
            line.sequence = sequence
                .checked_add(1)
                .ok_or_else(|| Error::malformed("this pair's sequence is used up"))?;
            put_place(&mut out, *pair, *kind);
            out.extend_from_slice(&sequence.to_be_bytes());
            let counter_at = out.len();
            out.extend_from_slice(&[0; 8]);
            out.extend_from_slice(&salted_digest(salt, &draft.body));
            let length = draft.body.len() + OVERHEAD;
            out.extend_from_slice(&(length as u32).to_be_bytes());
            seal_aad(
                &mut aad,
                &self.sender,
                &draft.receiver,
                sequence,
                &draft.kind,
            );
            let counter = line.context.seal(&aad, &[salt, &draft.body], &mut out)?;
            out[counter_at..counter_at + 8].copy_from_slice(&counter.to_be_bytes());
        }
        // Read back by the one reader, which computes the leaves: what is signed is what everybody else will see.
        let mut packet = Packet::parse(out)?;
        let signed = packet.sign(&self.runtime, signature_at, key);
        self.previous = batch_digest(&signed);
        self.first = next;
        Ok(packet)
    }

    /// Check every draft before anything is used up, and number the tables.
    fn places<'a>(&self, drafts: &'a [Draft], salts: &[u8]) -> Result<Places<'a>> {
        if drafts.is_empty() || drafts.len() > MAX_MESSAGES {
            return Err(Error::malformed(format!(
                "a batch has 1 to {MAX_MESSAGES} messages, not {}",
                drafts.len()
            )));
        }
        if salts.len() != drafts.len() * SALT {
            return Err(Error::malformed(format!(
                "{} bytes of salt for {} messages",
                salts.len(),
                drafts.len()
            )));
        }
        let mut places = Places::default();
        let mut pair_at: HashMap<&Id, u16> = HashMap::new();
        let mut kind_at: HashMap<&str, u16> = HashMap::new();
        for draft in drafts {
            draft.check()?;
            if !self.lines.contains_key(&draft.receiver) {
                return Err(unknown(&draft.receiver));
            }
            // Neither table is longer than MAX_MESSAGES.
            let pair = *pair_at.entry(&draft.receiver).or_insert_with(|| {
                places.pairs.push(&draft.receiver);
                (places.pairs.len() - 1) as u16
            });
            let kind = *kind_at.entry(&draft.kind).or_insert_with(|| {
                places.kinds.push(&draft.kind);
                (places.kinds.len() - 1) as u16
            });
            places.of.push((pair, kind));
        }
        Ok(places)
    }

    fn put_tables(&self, out: &mut Vec<u8>, places: &Places<'_>) -> Result<()> {
        out.extend_from_slice(&(places.pairs.len() as u16).to_be_bytes());
        for receiver in &places.pairs {
            let line = self.lines.get(*receiver).ok_or_else(|| unknown(receiver))?;
            put_pair(out, receiver, line.generation, &line.enc);
        }
        out.extend_from_slice(&(places.kinds.len() as u16).to_be_bytes());
        for kind in &places.kinds {
            put_kind(out, kind);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Places<'a> {
    pairs: Vec<&'a Id>,
    kinds: Vec<&'a str>,
    of: Vec<(u16, u16)>,
}

fn unknown(receiver: &Id) -> Error {
    let short: String = receiver[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Error::unknown(format!("no sealing key of agent-{short} is here"))
}
