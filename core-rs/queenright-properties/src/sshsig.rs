//! OpenSSH's key lines and signatures: one spelling each, and no edit of a genuine signature verifies.
use queenright_core::operator_key::OperatorKey;
use queenright_core::sshsig::{
    MAX_ARMOR, MAX_LINE, armor as armored, parse_key_line, payload, verify,
};

use crate::input::{Input, edit};

/// Any line: it is refused, or its short form is read back as the same key.
pub fn line(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(key) = parse_key_line(text) else {
        return;
    };
    assert!(text.trim().len() <= MAX_LINE);
    let again = parse_key_line(&key.line).expect("its own line is a key line");
    assert_eq!(again.line, key.line, "two spellings of one key");
    assert_eq!(
        (again.fingerprint, again.public_key),
        (key.fingerprint, key.public_key)
    );
    assert!(!key.comment.chars().any(char::is_control));
    assert!(key.line.starts_with(key.kind));
}

/// Any key line, namespace, message and signature; and any answer of an ssh-agent made into one.
pub fn armor(data: &[u8]) {
    let mut input = Input::new(data);
    let (line, namespace, message) = (input.text(), input.text(), input.part());
    let (given, blob) = (input.text(), input.part());
    if let Ok(found) = verify(line, namespace, message, given) {
        assert!(given.len() <= MAX_ARMOR);
        let key = parse_key_line(line).expect("a key that verifies is a key");
        assert_eq!(found.fingerprint, key.fingerprint);
        assert!(
            found.kind.starts_with("sk-") || !found.touched && !found.pin && found.counter == 0
        );
        assert!(verify(line, namespace, &[message, b"!"].concat(), given).is_err());
        assert!(
            verify(line, "other@queenright.v1", message, given).is_err()
                || namespace == "other@queenright.v1"
        );
    }
    if let Ok(made) = armored(line, namespace, blob) {
        assert!(
            payload(namespace, message).is_ok(),
            "armour for a namespace that is none"
        );
        // Most blobs are no signature over this message; whether one is, is verify's to say, without a panic.
        let _ = verify(line, namespace, message, &made);
    }
}

/// A genuine signature with edits: it verifies only if at most white space changed.
pub fn edited(data: &[u8]) {
    let mut input = Input::new(data);
    let key = OperatorKey::generate(&input.key(), "a").expect("32 bytes are a seed");
    let (namespace, message) = ("order@queenright.v1", input.part());
    let genuine = key
        .sign(namespace, message)
        .expect("any message can be signed");
    let line = key.public_line();
    verify(&line, namespace, message, &genuine).expect("a genuine signature verifies");
    let mut bytes = genuine.clone().into_bytes();
    while !input.is_empty() {
        bytes = edit(&bytes, &mut input);
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return;
    };
    let visible = |text: &str| text.split_ascii_whitespace().collect::<String>();
    let accepted = verify(&line, namespace, message, &text).is_ok();
    assert!(
        !accepted || visible(&text) == visible(&genuine),
        "an edited signature verified:\n{text}"
    );
}
