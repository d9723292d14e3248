//! Domain-separated SHA-256: a digest made for one kind can never stand for another.
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub const LENGTH: usize = 32;

/// SHA-256 of `"queenright/" + kind + "/v1" + NUL + data`.
///
/// A kind is 1 to 64 of a-z, 0-9, `-`, `.` and `_`, so the NUL ends it unambiguously.
pub fn digest(kind: &str, data: &[u8]) -> Result<[u8; LENGTH]> {
    if !is_kind(kind) {
        return Err(Error::malformed(format!(
            "a digest's kind is 1 to 64 of a-z, 0-9, '-', '.', '_', not {:?}",
            kind.chars().take(64).collect::<String>()
        )));
    }
    let mut hash = Sha256::new();
    hash.update(b"queenright/");
    hash.update(kind.as_bytes());
    hash.update(b"/v1\0");
    hash.update(data);
    Ok(hash.finalize().into())
}

fn is_kind(kind: &str) -> bool {
    (1..=64).contains(&kind.len())
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256_of_the_labelled_bytes() {
        let expected: [u8; 32] = Sha256::digest(b"queenright/intent/v1\0abc").into();
        assert_eq!(digest("intent", b"abc").unwrap(), expected);
    }

    #[test]
    fn kinds_that_could_run_into_the_data_are_refused() {
        for kind in ["", "a/b", "a\0", "A", "é", &"a".repeat(65)] {
            assert!(digest(kind, b"").is_err(), "{kind:?}");
        }
    }
}
