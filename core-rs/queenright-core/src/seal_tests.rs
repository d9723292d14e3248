use super::*;

const SEED: [u8; KEY] = [7; KEY];

fn receiver() -> (Zeroizing<[u8; KEY]>, [u8; KEY]) {
    keypair(&[1; KEY])
}

#[test]
fn only_the_receiver_opens_a_seal() {
    let (private_key, public_key) = receiver();
    let (enc, ciphertext) = seal(&public_key, b"info", b"aad", b"body", &SEED).unwrap();
    assert_eq!(ciphertext.len(), 4 + TAG);
    assert_eq!(
        open(&private_key[..], &enc, b"info", b"aad", &ciphertext).unwrap(),
        b"body"
    );
    let (other, _) = keypair(&[2; KEY]);
    assert!(open(&other[..], &enc, b"info", b"aad", &ciphertext).is_err());
}

#[test]
fn seal_moved_to_another_place_does_not_open() {
    let (private_key, public_key) = receiver();
    let (enc, ciphertext) = seal(&public_key, b"info", b"aad", b"body", &SEED).unwrap();
    assert!(open(&private_key[..], &enc, b"info", b"bad", &ciphertext).is_err());
    assert!(open(&private_key[..], &enc, b"other", b"aad", &ciphertext).is_err());
    for at in 0..ciphertext.len() {
        let mut altered = ciphertext.clone();
        altered[at] ^= 1;
        assert!(
            open(&private_key[..], &enc, b"info", b"aad", &altered).is_err(),
            "byte {at}"
        );
    }
    for length in 0..ciphertext.len() {
        assert!(
            open(
                &private_key[..],
                &enc,
                b"info",
                b"aad",
                &ciphertext[..length]
            )
            .is_err()
        );
    }
}

#[test]
fn keys_of_wrong_length_or_small_order_are_refused() {
    let (private_key, public_key) = receiver();
    assert!(seal(&public_key[..31], b"", b"", b"", &SEED).is_err());
    assert!(seal(&[0; KEY], b"", b"", b"", &SEED).is_err());
    assert!(open(&private_key[..31], &[9; KEY], b"", b"", b"").is_err());
    assert!(open(&private_key[..], &[9; 33], b"", b"", b"").is_err());
    assert!(open(&private_key[..], &[0; KEY], b"", b"", &[0; 32]).is_err());
}

#[test]
fn seed_that_runs_out_does_not_repeat() {
    let mut seed = Seed {
        bytes: Zeroizing::new(SEED),
        used: 0,
    };
    let mut out = [0; 96];
    seed.try_fill_bytes(&mut out).unwrap();
    assert_eq!(out[..32], SEED);
    assert_ne!(out[32..64], out[..32]);
    assert_ne!(out[64..], out[32..64]);
}

#[test]
fn sealing_keys_differ_by_subkey_agent_and_generation() {
    let base = agent_keypair(&[1; 32], &[2; 32], 0).unwrap();
    assert_eq!(agent_keypair(&[1; 32], &[2; 32], 0).unwrap().1, base.1);
    for other in [
        agent_keypair(&[9; 32], &[2; 32], 0),
        agent_keypair(&[1; 32], &[9; 32], 0),
        agent_keypair(&[1; 32], &[2; 32], 1),
    ] {
        assert_ne!(other.unwrap().1, base.1);
    }
    let (enc, ciphertext) = seal(&base.1, b"i", b"a", b"body", &SEED).unwrap();
    assert_eq!(
        open(&base.0[..], &enc, b"i", b"a", &ciphertext).unwrap(),
        b"body"
    );
}
