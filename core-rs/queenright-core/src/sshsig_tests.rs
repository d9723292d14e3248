use proptest::prelude::*;

use super::*;
use crate::operator_key::OperatorKey;
use crate::signature::SigningKey;

const NAMESPACE: &str = "approve@queenright.v1";

fn operator(seed: u8) -> OperatorKey {
    OperatorKey::generate(&[seed; 32], "ana@ops").unwrap()
}

fn ssh_string(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes(), data].concat()
}

/// A security key in software: the line it would be enrolled with.
fn sk_line(key: &SigningKey, application: &str) -> String {
    let blob = [
        ssh_string(KIND_SK.as_bytes()),
        ssh_string(&key.public_key()),
        ssh_string(application.as_bytes()),
    ]
    .concat();
    let data = ssh_key::public::PublicKey::from_bytes(&blob).unwrap();
    data.to_openssh().unwrap()
}

fn sk_sign(
    key: &SigningKey,
    application: &str,
    message: &[u8],
    flags: u8,
    counter: u32,
) -> Vec<u8> {
    let attested = [
        Sha256::digest(application).to_vec(),
        vec![flags],
        counter.to_be_bytes().to_vec(),
        Sha256::digest(payload(NAMESPACE, message).unwrap()).to_vec(),
    ]
    .concat();
    [
        ssh_string(KIND_SK.as_bytes()),
        ssh_string(&key.sign(&attested)),
        vec![flags],
        counter.to_be_bytes().to_vec(),
    ]
    .concat()
}

#[test]
fn a_signature_says_who_signed() {
    let key = operator(1);
    let armored = key.sign(NAMESPACE, b"digest").unwrap();
    let verified = verify(&key.public_line(), NAMESPACE, b"digest", &armored).unwrap();
    assert_eq!(verified.fingerprint, key.fingerprint());
    assert_eq!(verified.kind, "ssh-ed25519");
    assert!(!verified.touched && !verified.pin);
}

#[test]
fn another_key_namespace_or_message_is_refused() {
    let key = operator(1);
    let armored = key.sign(NAMESPACE, b"digest").unwrap();
    let line = key.public_line();
    assert!(verify(&operator(2).public_line(), NAMESPACE, b"digest", &armored).is_err());
    assert!(verify(&line, "intent@queenright.v1", b"digest", &armored).is_err());
    assert!(verify(&line, NAMESPACE, b"digesu", &armored).is_err());
    assert!(verify(&line, "", b"digest", &armored).is_err());
    assert!(verify(&line, NAMESPACE, b"digest", "").is_err());
    assert!(verify(&line, NAMESPACE, b"digest", &armored.replace("SSH", "PGP")).is_err());
    assert!(verify(&line, NAMESPACE, b"digest", &"A".repeat(MAX_ARMOR + 1)).is_err());
}

#[test]
fn a_security_key_reports_touch_pin_and_counter() {
    let key = SigningKey::from_seed(&[3; 32]).unwrap();
    let line = sk_line(&key, "ssh:");
    for (flags, touched, pin) in [
        (0, false, false),
        (1, true, false),
        (5, true, true),
        (4, false, true),
    ] {
        let armored = armor(
            &line,
            NAMESPACE,
            &sk_sign(&key, "ssh:", b"digest", flags, 77),
        )
        .unwrap();
        let verified = verify(&line, NAMESPACE, b"digest", &armored).unwrap();
        assert_eq!(
            (verified.touched, verified.pin, verified.counter),
            (touched, pin, 77)
        );
    }
}

#[test]
fn a_touch_cannot_be_added_later() {
    let key = SigningKey::from_seed(&[3; 32]).unwrap();
    let line = sk_line(&key, "ssh:");
    let mut blob = sk_sign(&key, "ssh:", b"digest", 0, 77);
    let flags = blob.len() - 5;
    blob[flags] = 1;
    let armored = armor(&line, NAMESPACE, &blob).unwrap();
    assert!(verify(&line, NAMESPACE, b"digest", &armored).is_err());
}

#[test]
fn a_plain_signature_of_the_same_point_is_not_a_security_keys() {
    let seed = [3; 32];
    let sk = sk_line(&SigningKey::from_seed(&seed).unwrap(), "ssh:");
    let plain = OperatorKey::generate(&seed, "").unwrap();
    let armored = plain.sign(NAMESPACE, b"digest").unwrap();
    assert!(verify(&sk, NAMESPACE, b"digest", &armored).is_err());
    let blob = [ssh_string(b"ssh-ed25519"), ssh_string(&[0; 64])].concat();
    assert!(armor(&sk, NAMESPACE, &blob).is_err());
}

#[test]
fn a_security_key_made_for_a_web_site_is_refused() {
    let key = SigningKey::from_seed(&[3; 32]).unwrap();
    assert!(parse_key_line(&sk_line(&key, "https://example.org")).is_err());
}

#[test]
fn other_key_types_are_refused_with_the_line_that_makes_one() {
    for line in [
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC x",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY x",
        "ssh-ed25519-cert-v01@openssh.com AAAA x",
        "no-touch-required ssh-ed25519 AAAA x",
        "",
    ] {
        let Err(refused) = parse_key_line(line) else {
            panic!("{line}")
        };
        assert!(
            refused.hint.contains("ssh-keygen -t ed25519"),
            "{line}: {refused}"
        );
    }
}

#[test]
fn lines_that_are_not_one_key_are_refused() {
    let line = operator(1).public_line();
    assert!(parse_key_line(&format!("{line}\n{line}")).is_err());
    assert!(parse_key_line(&line[..40]).is_err());
    assert!(parse_key_line(&format!("{line}{}", "x".repeat(MAX_LINE))).is_err());
    // The identity point: every signature would verify under it in a laxer world.
    let blob = [
        ssh_string(b"ssh-ed25519"),
        ssh_string(&[&[1][..], &[0; 31]].concat()),
    ]
    .concat();
    let weak = ssh_key::public::PublicKey::from_bytes(&blob)
        .unwrap()
        .to_openssh()
        .unwrap();
    assert!(parse_key_line(&weak).is_err());
}

#[test]
fn equal_keys_have_equal_lines_whatever_their_comment() {
    let parsed = parse_key_line(&operator(1).public_line()).unwrap();
    assert_eq!(parsed.comment, "ana@ops");
    assert_eq!(parse_key_line(&parsed.line).unwrap().line, parsed.line);
    assert!(parsed.fingerprint.starts_with("SHA256:"));
}

#[test]
fn an_agents_answer_becomes_the_same_signature() {
    let seed = [4; 32];
    let key = OperatorKey::generate(&seed, "").unwrap();
    let raw = SigningKey::from_seed(&seed)
        .unwrap()
        .sign(&payload(NAMESPACE, b"digest").unwrap());
    let blob = [ssh_string(b"ssh-ed25519"), ssh_string(&raw)].concat();
    let armored = armor(&key.public_line(), NAMESPACE, &blob).unwrap();
    assert_eq!(armored, key.sign(NAMESPACE, b"digest").unwrap());
    assert!(armor(&key.public_line(), NAMESPACE, &[&blob[..], &[0]].concat()).is_err());
    assert!(armor(&key.public_line(), NAMESPACE, &blob[..20]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_changed_character_of_the_armour_is_refused(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let key = operator(5);
        let armored = key.sign(NAMESPACE, b"digest").unwrap();
        let mut edited = armored.clone().into_bytes();
        let at = at.index(edited.len());
        prop_assume!(edited[at] != byte && !edited[at].is_ascii_whitespace() && !byte.is_ascii_whitespace());
        edited[at] = byte;
        let edited = String::from_utf8(edited).unwrap();
        prop_assert!(verify(&key.public_line(), NAMESPACE, b"digest", &edited).is_err());
    }

    #[test]
    fn hostile_armour_and_lines_never_panic(text in "(-----BEGIN SSH SIGNATURE-----\n)?[A-Za-z0-9+/=\n]{0,300}(\n-----END SSH SIGNATURE-----)?", line in "(ssh-ed25519 |sk-ssh-ed25519@openssh.com )?[A-Za-z0-9+/= ]{0,120}") {
        let key = operator(5);
        prop_assert!(verify(&key.public_line(), NAMESPACE, b"digest", &text).is_err());
        let _ = parse_key_line(&line);
    }
}
