use super::*;
use crate::sshsig;

const SALT: [u8; SALT_LENGTH] = [6; SALT_LENGTH];

fn key() -> OperatorKey {
    OperatorKey::generate(&[1; 32], "ana@ops").unwrap()
}

fn protection(passphrase: &[u8]) -> Option<Protection<'_>> {
    Some(Protection {
        passphrase,
        salt: &SALT,
    })
}

#[test]
fn a_key_file_opens_again() {
    let plain = key().to_openssh(None).unwrap();
    assert!(!needs_passphrase(plain.as_bytes()).unwrap());
    let opened = OperatorKey::open(plain.as_bytes(), None).unwrap();
    assert_eq!(opened.public_line(), key().public_line());
    assert!(opened.public_line().ends_with(" ana@ops"));
    let armored = opened.sign("order@queenright.v1", b"x").unwrap();
    sshsig::verify(&key().public_line(), "order@queenright.v1", b"x", &armored).unwrap();
}

#[test]
fn an_encrypted_key_file_opens_with_its_passphrase_only() {
    let sealed = key().to_openssh(protection(b"correct horse")).unwrap();
    assert!(needs_passphrase(sealed.as_bytes()).unwrap());
    let opened = OperatorKey::open(sealed.as_bytes(), Some(b"correct horse")).unwrap();
    assert_eq!(opened.fingerprint(), key().fingerprint());
    for wrong in [Some(&b"correct horsf"[..]), Some(b""), None] {
        let refused = OperatorKey::open(sealed.as_bytes(), wrong).err().unwrap();
        assert_eq!(refused.kind, Kind::WrongPassphrase);
    }
}

#[test]
fn a_passphrase_is_never_accepted_and_ignored() {
    let plain = key().to_openssh(None).unwrap();
    assert!(OperatorKey::open(plain.as_bytes(), Some(b"x")).is_err());
    assert!(key().to_openssh(protection(b"")).is_err());
    assert!(
        key()
            .to_openssh(Some(Protection {
                passphrase: b"x",
                salt: &[1; 8]
            }))
            .is_err()
    );
}

#[test]
fn bytes_that_are_no_key_file_are_refused() {
    let plain = key().to_openssh(None).unwrap();
    let cut = &plain.as_bytes()[..plain.len() - 60];
    let rsa = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for file in [&b""[..], b"\xff\xfe", cut, rsa, &[b'A'; MAX_FILE + 1]] {
        assert!(OperatorKey::open(file, None).is_err());
        assert!(needs_passphrase(file).is_err());
    }
    assert!(OperatorKey::generate(&[1; 32], "two\nlines").is_err());
    assert!(OperatorKey::generate(&[1; 31], "").is_err());
}
