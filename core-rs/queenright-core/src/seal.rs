//! Sealing a message for one receiver: HPKE (RFC 9180) base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//!
//! Each message is its own HPKE context, so its counter is always 0. Randomness is handed in as 32 bytes.
use std::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub const KEY: usize = 32;
/// What a ciphertext is longer than its plaintext: the GCM tag.
pub const TAG: usize = 16;

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

/// The encapsulated key (32 bytes) and the ciphertext. `seed` must be fresh and random: the same seed twice to the same
/// receiver is the same key and nonce twice.
pub fn seal(
    receiver: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    seed: &[u8; KEY],
) -> Result<([u8; KEY], Vec<u8>)> {
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
    let (encapsulated, mut context) = hpke::setup_sender_with_rng::<
        AesGcm256,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &receiver, info, &mut rng)
    .map_err(|_| {
        Error::malformed("nothing can be sealed for this key: it is not a point of full order")
    })?;
    let ciphertext = context
        .seal(plaintext, aad)
        .map_err(|_| Error::malformed("the message is too long to be sealed"))?;
    Ok((encapsulated.to_bytes().into(), ciphertext))
}

/// The plaintext. Refuses (InvalidSignature) whatever was not sealed for this key with this `info` and `aad`.
pub fn open(
    private_key: &[u8],
    encapsulated: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>> {
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
    let refused =
        |_| Error::invalid_signature("the seal does not open: not for this receiver, or altered");
    let mut context = hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private_key,
        &encapsulated,
        info,
    )
    .map_err(refused)?;
    context.open(ciphertext, aad).map_err(refused)
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
    hkdf::Hkdf::<Sha256>::new(None, subkey)
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
