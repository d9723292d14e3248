//! OpenSSH private key files: refused, or a key that signs and is written back as itself.
use queenright_core::operator_key::{OperatorKey, needs_passphrase};
use queenright_core::sshsig::verify;

/// Any file. No passphrase is tried: bcrypt's rounds, bounded at a thousand, are seconds of a fuzzer's time each.
pub fn file(data: &[u8]) {
    let encrypted = needs_passphrase(data);
    let opened = OperatorKey::open(data, None);
    let Ok(key) = opened else { return };
    assert_eq!(
        encrypted,
        Ok(false),
        "an encrypted file opened without its passphrase"
    );
    assert!(
        OperatorKey::open(data, Some(b"x")).is_err(),
        "a passphrase was ignored"
    );
    let written = key.to_openssh(None).expect("a key can be written");
    let again = OperatorKey::open(written.as_bytes(), None).expect("what was written opens");
    assert_eq!(again.public_line(), key.public_line());
    let signature = key
        .sign("x@queenright.v1", data)
        .expect("any message can be signed");
    verify(&again.public_line(), "x@queenright.v1", data, &signature).expect("it is the same key");
}
