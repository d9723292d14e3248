//! The receiving cell's side: who its senders are, and the private halves that its agents' mail is sealed to.
use std::collections::HashMap;

use zeroize::Zeroizing;

use super::letter::Letter;
use super::packet::Packet;
use super::{Id, SALT, SEAL_INFO, salted_digest, seal_aad};
use crate::error::{Error, Result};
use crate::merkle::Hash;
use crate::seal::{KEY, OpenContext};
use crate::signature::PUBLIC_KEY_LENGTH;

struct Peer {
    incarnation: u64,
    public_key: [u8; PUBLIC_KEY_LENGTH],
}

struct Context {
    enc: [u8; 32],
    generation: u64,
    context: OpenContext,
}

/// A message of a packet: its place there, and its body or why it does not open.
pub struct Opened {
    pub pair: usize,
    pub kind: usize,
    pub body: Result<Vec<u8>>,
}

/// What somebody said a letter is.
pub struct Expected<'a> {
    pub receiver: Id,
    pub sender: Id,
    pub incarnation: u64,
    pub kind: &'a str,
}

/// A seal and what it was bound to.
struct Seal<'a> {
    sender: &'a Id,
    receiver: &'a Id,
    sequence: u64,
    counter: u64,
    kind: &'a str,
    salted: &'a Hash,
    ciphertext: &'a [u8],
}

/// Takes nobody's word: a sender's key comes by `introduce`, from a certificate that the caller checked.
pub struct Opener {
    runtime: Id,
    peers: HashMap<Id, Peer>,
    keys: HashMap<(Id, u64), Zeroizing<[u8; KEY]>>,
    /// One for each (receiver, sender): of the sender's life that wrote last.
    contexts: HashMap<(Id, Id), Context>,
    /// The last sequence that came in a packet, for each (receiver, sender).
    seen: HashMap<(Id, Id), u64>,
}

impl Opener {
    #[must_use]
    pub fn new(runtime: Id) -> Self {
        Self {
            runtime,
            peers: HashMap::new(),
            keys: HashMap::new(),
            contexts: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// A sender's key in its present life. Lives only rise; one life has one key.
    pub fn introduce(
        &mut self,
        sender: Id,
        incarnation: u64,
        public_key: [u8; PUBLIC_KEY_LENGTH],
    ) -> Result<()> {
        if let Some(known) = self.peers.get(&sender)
            && (incarnation < known.incarnation
                || incarnation == known.incarnation && public_key != known.public_key)
        {
            return Err(Error::conflict(format!(
                "a certificate of life {incarnation} after one of life {}",
                known.incarnation
            )));
        }
        let peer = Peer {
            incarnation,
            public_key,
        };
        self.peers.insert(sender, peer);
        Ok(())
    }

    pub fn give_key(&mut self, agent: Id, generation: u64, private_key: Zeroizing<[u8; KEY]>) {
        self.keys.insert((agent, generation), private_key);
    }

    /// The agent has left this cell: nothing of its mail opens here any more.
    pub fn forget(&mut self, agent: &Id) {
        self.keys.retain(|(of, _), _| of != agent);
        self.contexts.retain(|(receiver, _), _| receiver != agent);
        self.seen.retain(|(receiver, _), _| receiver != agent);
    }

    /// Check a packet as a whole, then open each message. Refuses the packet for an unknown sender, another life, a signature
    /// that does not hold, or a sequence that came before.
    pub fn open_packet(&mut self, packet: &Packet) -> Result<Vec<Opened>> {
        let sender = packet.head.sender;
        let peer = self
            .peers
            .get(&sender)
            .ok_or_else(|| Error::unknown("a batch of a sender whose certificate has not come"))?;
        if peer.incarnation != packet.head.incarnation {
            return Err(Error::invalid_signature(format!(
                "a batch of life {} of a sender in life {}",
                packet.head.incarnation, peer.incarnation
            )));
        }
        packet.verify(&self.runtime, &peer.public_key)?;
        for pair in &packet.pairs {
            let last = self.seen.get(&(pair.receiver, sender)).copied();
            if last.is_some_and(|last| pair.first_sequence <= last) {
                return Err(Error::conflict(format!(
                    "sequence {} of this pair came before",
                    pair.first_sequence
                )));
            }
        }
        for pair in &packet.pairs {
            self.seen
                .insert((pair.receiver, sender), pair.last_sequence);
        }
        let ready: Vec<Result<()>> = packet
            .pairs
            .iter()
            .map(|pair| self.prepare(&pair.receiver, &sender, pair.generation, &pair.enc))
            .collect();
        let contexts: Vec<Result<&OpenContext>> = packet
            .pairs
            .iter()
            .zip(ready)
            .map(|(pair, ready)| ready.and_then(|()| self.context(&pair.receiver, &sender)))
            .collect();
        let mut aad = Vec::with_capacity(256);
        let opened = packet
            .messages
            .iter()
            .map(|message| {
                let body = contexts[message.pair].clone().and_then(|context| {
                    let seal = Seal {
                        sender: &sender,
                        receiver: &packet.pairs[message.pair].receiver,
                        sequence: message.sequence,
                        counter: message.counter,
                        kind: &packet.kinds[message.kind],
                        salted: &message.salted,
                        ciphertext: packet.ciphertext(message),
                    };
                    seal.open(context, &mut aad)
                });
                Opened {
                    pair: message.pair,
                    kind: message.kind,
                    body,
                }
            })
            .collect();
        Ok(opened)
    }

    /// Check a letter alone and open it. `public_key` is of the sender's life that is expected: it may be over by now.
    pub fn open_letter(
        &mut self,
        letter: &Letter,
        expected: &Expected<'_>,
        public_key: &[u8],
    ) -> Result<Vec<u8>> {
        let head = &letter.head;
        if (
            letter.receiver,
            head.sender,
            head.incarnation,
            &*letter.kind,
        ) != (
            expected.receiver,
            expected.sender,
            expected.incarnation,
            expected.kind,
        ) {
            return Err(Error::invalid_signature(
                "a letter of another sender, life or type, or for another receiver",
            ));
        }
        letter.verify(&self.runtime, public_key)?;
        self.prepare(
            &letter.receiver,
            &head.sender,
            letter.generation,
            &letter.enc,
        )?;
        let seal = Seal {
            sender: &head.sender,
            receiver: &letter.receiver,
            sequence: letter.sequence,
            counter: letter.counter,
            kind: &letter.kind,
            salted: &letter.salted,
            ciphertext: letter.ciphertext(),
        };
        let context = self.context(&letter.receiver, &head.sender)?;
        seal.open(context, &mut Vec::with_capacity(256))
    }

    /// Have the context that this encapsulated key belongs to.
    fn prepare(
        &mut self,
        receiver: &Id,
        sender: &Id,
        generation: u64,
        enc: &[u8; 32],
    ) -> Result<()> {
        let place = (*receiver, *sender);
        let known = self
            .contexts
            .get(&place)
            .is_some_and(|known| known.enc == *enc && known.generation == generation);
        if known {
            return Ok(());
        }
        let private_key = self.keys.get(&(*receiver, generation)).ok_or_else(|| {
            Error::unknown(format!(
                "this cell was not given the sealing key of generation {generation}"
            ))
        })?;
        let context = Context {
            enc: *enc,
            generation,
            context: OpenContext::new(&private_key[..], enc, SEAL_INFO)?,
        };
        self.contexts.insert(place, context);
        Ok(())
    }

    fn context(&self, receiver: &Id, sender: &Id) -> Result<&OpenContext> {
        self.contexts
            .get(&(*receiver, *sender))
            .map(|found| &found.context)
            .ok_or_else(|| Error::unknown("no sealing context"))
    }
}

impl Seal<'_> {
    fn open(&self, context: &OpenContext, aad: &mut Vec<u8>) -> Result<Vec<u8>> {
        seal_aad(aad, self.sender, self.receiver, self.sequence, self.kind);
        let mut plaintext = context.open(self.counter, aad, self.ciphertext)?;
        if plaintext.len() < SALT {
            return Err(Error::malformed("a sealed message without its salt"));
        }
        let (salt, body) = plaintext.split_at(SALT);
        if salted_digest(salt, body) != *self.salted {
            return Err(Error::invalid_signature(
                "the signed digest is not of this plaintext",
            ));
        }
        plaintext.drain(..SALT);
        Ok(plaintext)
    }
}
