//! Sealing a message for one receiver: HPKE (RFC 9180) base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//!
//! One context a sender's life and receiver: X25519 is paid once, a message costs one AEAD. The KEM is the `hpke` crate's; the
//! key schedule is here, because a receiver's next life must open a stored message alone, by its counter, which the crate's
//! receiver does not offer. The AEAD is `ring`'s (docs/decisions). Randomness is handed in as 32 bytes.
use std::convert::Infallible;

use hkdf::{Hkdf, HkdfExtract};
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, Serializable};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub const KEY: usize = 32;
/// What a ciphertext is longer than its plaintext: the GCM tag.
pub const TAG: usize = 16;

const VERSION: &[u8] = b"HPKE-v1";
/// "HPKE", then the numbers of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x02";

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Hands out the caller's 32 bytes, and past them (which no version of the crate asks for) a hash chain of them.
struct Seed {
    bytes: Zeroizing<[u8; KEY]>,
    used: usize,
}

impl TryRng for Seed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        for byte in out {
            if self.used == KEY {
                self.bytes = Zeroizing::new(Sha256::digest(self.bytes.as_slice()).into());
                self.used = 0;
            }
            *byte = self.bytes[self.used];
            self.used += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Seed {}

/// One AEAD key with its base nonce: what RFC 9180 section 5.2 calls a context, without its counter.
struct Schedule {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
}

impl Schedule {
    /// RFC 9180 section 5.1, `KeySchedule` in base mode.
    fn new(shared_secret: &[u8], info: &[u8]) -> Result<Self> {
        let (psk_id_hash, _) = extract(&[], b"psk_id_hash", &[]);
        let (info_hash, _) = extract(&[], b"info_hash", info);
        let mut context = [0; 65]; // the mode's byte, 0 for base, then both hashes
        context[1..33].copy_from_slice(&psk_id_hash[..]);
        context[33..].copy_from_slice(&info_hash[..]);
        let (_, secret) = extract(shared_secret, b"secret", &[]);
        let mut key = Zeroizing::new([0; KEY]);
        expand(&secret, b"key", &context, &mut key[..])?;
        let mut base_nonce = [0; NONCE_LEN];
        expand(&secret, b"base_nonce", &context, &mut base_nonce)?;
        let key = UnboundKey::new(&AES_256_GCM, &key[..])
            .map_err(|_| Error::malformed("the sealing key cannot be made"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            base_nonce,
        })
    }

    /// `ComputeNonce` of RFC 9180 section 5.2: the counter, big-endian, over the end of the base nonce.
    fn nonce(&self, counter: u64) -> Nonce {
        let mut nonce = self.base_nonce;
        for (byte, of_counter) in nonce[NONCE_LEN - 8..].iter_mut().zip(counter.to_be_bytes()) {
            *byte ^= of_counter;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

fn extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> (Zeroizing<[u8; KEY]>, Hkdf<Sha256>) {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in [VERSION, SUITE, label, ikm] {
        extract.input_ikm(part);
    }
    let (prk, hkdf) = extract.finalize();
    (Zeroizing::new(prk.into()), hkdf)
}

fn expand(secret: &Hkdf<Sha256>, label: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    let length = u16::try_from(out.len()).map_err(|_| Error::malformed("a key is too long"))?;
    let parts = [&length.to_be_bytes()[..], VERSION, SUITE, label, info];
    secret
        .expand_multi_info(&parts, out)
        .map_err(|_| Error::malformed("the sealing key cannot be derived"))
}

/// Seals any number of messages for one receiver. The counter is the nonce, so it only rises and lives nowhere else.
pub struct SealContext {
    schedule: Schedule,
    counter: u64,
}

impl SealContext {
    /// The context and its encapsulated key (32 bytes). `seed` must be fresh and random: the same seed twice to the same
    /// receiver is the same key and nonces twice.
    pub fn new(receiver: &[u8], info: &[u8], seed: &[u8; KEY]) -> Result<(Self, [u8; KEY])> {
        let receiver = PublicKey::from_bytes(receiver).map_err(|_| {
            Error::malformed(format!(
                "a sealing key has 32 bytes, not {}",
                receiver.len()
            ))
        })?;
        let mut rng = Seed {
            bytes: Zeroizing::new(*seed),
            used: 0,
        };
        let (shared_secret, encapsulated) =
            X25519HkdfSha256::encap_with_rng(&receiver, None, &mut rng).map_err(|_| {
                Error::malformed(
                    "nothing can be sealed for this key: it is not a point of full order",
                )
            })?;
        let context = Self {
            schedule: Schedule::new(&shared_secret.0, info)?,
            counter: 0,
        };
        Ok((context, encapsulated.to_bytes().into()))
    }

    /// Append the ciphertext of `parts`, one after the other, to `out`. The counter that opens it.
    pub fn seal(&mut self, aad: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) -> Result<u64> {
        let counter = self.counter;
        // Taken before it is used: whatever happens below, no nonce comes twice.
        self.counter = counter
            .checked_add(1)
            .ok_or_else(|| Error::malformed("this sealing context is used up"))?;
        let start = out.len();
        for part in parts {
            out.extend_from_slice(part);
        }
        let nonce = self.schedule.nonce(counter);
        let tag = self
            .schedule
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[start..])
            .map_err(|_| Error::malformed("the message is too long to be sealed"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(counter)
    }
}

/// Opens what one `SealContext` sealed, each message alone, in any order.
pub struct OpenContext(Schedule);

impl OpenContext {
    pub fn new(private_key: &[u8], encapsulated: &[u8], info: &[u8]) -> Result<Self> {
        let private_key = PrivateKey::from_bytes(private_key).map_err(|_| {
            Error::malformed(format!(
                "a sealing key has 32 bytes, not {}",
                private_key.len()
            ))
        })?;
        let encapsulated = Encapsulated::from_bytes(encapsulated).map_err(|_| {
            Error::malformed(format!(
                "an encapsulated key has 32 bytes, not {}",
                encapsulated.len()
            ))
        })?;
        let shared_secret =
            X25519HkdfSha256::decap(&private_key, None, &encapsulated).map_err(|_| not_opened())?;
        Schedule::new(&shared_secret.0, info).map(Self)
    }

    /// The plaintext. Refuses (InvalidSignature) whatever was not sealed under this key, `counter` and `aad`.
    pub fn open(&self, counter: u64, aad: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>> {
        let mut out = ciphertext.to_vec();
        let length = self
            .0
            .key
            .open_in_place(self.0.nonce(counter), Aad::from(aad), &mut out)
            .map_err(|_| not_opened())?
            .len();
        out.truncate(length);
        Ok(out)
    }
}

fn not_opened() -> Error {
    Error::invalid_signature("the seal does not open: not for this receiver, or altered")
}

/// A key pair from 32 bytes of key material (RFC 9180 section 7.1.3): private, public.
pub fn keypair(material: &[u8; KEY]) -> (Zeroizing<[u8; KEY]>, [u8; KEY]) {
    let (private_key, public_key) = X25519HkdfSha256::derive_keypair(material);
    (
        Zeroizing::new(private_key.to_bytes().into()),
        public_key.to_bytes().into(),
    )
}

/// The pair that belongs to an agent in a generation, from the supervisor's sealing subkey by HKDF-SHA256 (RFC 5869).
pub fn agent_keypair(
    subkey: &[u8],
    agent: &[u8],
    generation: u64,
) -> Result<(Zeroizing<[u8; KEY]>, [u8; KEY])> {
    let mut material = Zeroizing::new([0; KEY]);
    Hkdf::<Sha256>::new(None, subkey)
        .expand_multi_info(
            &[b"queenright/sealing/v1\0", agent, &generation.to_be_bytes()],
            &mut material[..],
        )
        .map_err(|_| Error::malformed("the sealing key cannot be derived"))?;
    Ok(keypair(&material))
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
