//! Ed25519 by one rule, for everything that is ever verified here (RFC 8032 section 5.1.7, without its leeway).
//!
//! A signature (R, S) over M by A is accepted if, and only if, all of these hold:
//! 1. A and R are the canonical encodings of points of the curve: y below p, and no sign bit on x = 0.
//! 2. Neither A nor R is of small order.
//! 3. S is below the order L of the base point.
//! 4. S*B = R + k*A without a cofactor, k = SHA-512(R || A || M) mod L over the bytes as they came.
//!
//! So no key signs everything, no second form of a signature verifies, and two verifiers that keep the rule never
//! disagree. "Many" is many of these, never a batch equation: that one has a cofactor, and accepts what this refuses.
use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::error::{Error, Result};

pub const PUBLIC_KEY_LENGTH: usize = 32;
pub const SIGNATURE_LENGTH: usize = 64;
pub const SEED_LENGTH: usize = 32;

/// A public key fit to be enrolled: on the curve, in its canonical form, not of small order.
pub fn parse_public_key(bytes: &[u8]) -> Result<VerifyingKey> {
    let exact: &[u8; PUBLIC_KEY_LENGTH] = bytes.try_into().map_err(|_| {
        Error::malformed(format!(
            "an Ed25519 public key of {} bytes, not {PUBLIC_KEY_LENGTH}",
            bytes.len()
        ))
    })?;
    let key = VerifyingKey::from_bytes(exact)
        .map_err(|_| Error::malformed("an Ed25519 public key that is no point of the curve"))?;
    if key.to_edwards().compress().to_bytes() != *exact {
        return Err(Error::malformed(
            "an Ed25519 public key that is not in canonical form",
        ));
    }
    if key.is_weak() {
        return Err(Error::malformed("an Ed25519 public key of small order"));
    }
    Ok(key)
}

pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    let key = parse_public_key(public_key)?;
    let exact: &[u8; SIGNATURE_LENGTH] = signature.try_into().map_err(|_| {
        Error::malformed(format!(
            "an Ed25519 signature of {} bytes, not {SIGNATURE_LENGTH}",
            signature.len()
        ))
    })?;
    key.verify_strict(message, &Signature::from_bytes(exact))
        .map_err(|_| {
            Error::invalid_signature("the signature does not verify under this key and these bytes")
        })
}

/// The positions of those (public key, message, signature) that do not verify.
///
/// Each is checked on its own: a batch equation accepts signatures that the strict rule refuses.
pub fn verify_many<'a>(
    items: impl IntoIterator<Item = (&'a [u8], &'a [u8], &'a [u8])>,
) -> Vec<usize> {
    items
        .into_iter()
        .enumerate()
        .filter(|(_, (key, message, signature))| verify(key, message, signature).is_err())
        .map(|(index, _)| index)
        .collect()
}

/// A private key. Wiped when dropped; it has no textual form.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    pub fn from_seed(seed: &[u8]) -> Result<Self> {
        let exact: &[u8; SEED_LENGTH] = seed.try_into().map_err(|_| {
            Error::malformed(format!("a seed of {} bytes, not {SEED_LENGTH}", seed.len()))
        })?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(exact)))
    }

    #[must_use]
    pub fn public_key(&self) -> [u8; PUBLIC_KEY_LENGTH] {
        self.0.verifying_key().to_bytes()
    }

    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.0.sign(message).to_bytes()
    }

    /// For the one caller that writes a key file.
    pub(crate) fn seed(&self) -> zeroize::Zeroizing<[u8; SEED_LENGTH]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
