use super::*;

const SEED: [u8; KEY] = [7; KEY];

/// The first message of a new context.
fn seal(
    receiver: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    seed: &[u8; KEY],
) -> Result<([u8; KEY], Vec<u8>)> {
    let (mut context, enc) = SealContext::new(receiver, info, seed)?;
    let mut out = Vec::new();
    assert_eq!(context.seal(aad, &[plaintext], &mut out)?, 0);
    Ok((enc, out))
}

fn open(
    private_key: &[u8],
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>> {
    OpenContext::new(private_key, enc, info)?.open(0, aad, ciphertext)
}

#[test]
fn each_message_of_a_context_opens_alone_by_its_counter_only() {
    let (private_key, public_key) = receiver();
    let (mut context, enc) = SealContext::new(&public_key, b"info", &SEED).unwrap();
    let sealed: Vec<(u64, Vec<u8>)> = (0..300_u16)
        .map(|number| {
            let mut out = Vec::new();
            let counter = context
                .seal(b"aad", &[b"body ", &number.to_be_bytes()], &mut out)
                .unwrap();
            (counter, out)
        })
        .collect();
    for (number, (counter, ciphertext)) in sealed.iter().enumerate().rev() {
        let alone = OpenContext::new(&private_key[..], &enc, b"info").unwrap();
        let body = alone.open(*counter, b"aad", ciphertext).unwrap();
        assert_eq!(
            body,
            [b"body ", &(number as u16).to_be_bytes()[..]].concat()
        );
        assert!(alone.open(counter + 1, b"aad", ciphertext).is_err());
    }
}

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

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// The vector of RFC 9180's test-vectors.json for mode 0, kem 0x0020, kdf 0x0001, aead 0x0002, sequence number 0; later
/// counters are held against the `hpke` crate's own AEAD context, which is another implementation of both.
#[test]
fn seal_and_open_match_the_published_vector_and_another_implementation() {
    let info: [u8; 20] = hex("4f6465206f6e2061204772656369616e2055726e");
    let ikm_e = hex("2cd7c601cefb3d42a62b04b7a9041494c06c7843818e0ce28a8f704ae7ab20f9");
    let ikm_r = hex("dac33b0e9db1b59dbbea58d59a14e7b5896e9bdf98fad6891e99d1686492b9ee");
    let aad: [u8; 7] = hex("436f756e742d30");
    let plaintext: [u8; 29] = hex("4265617574792069732074727574682c20747275746820626561757479");
    let expected: [u8; 45] = hex(
        "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
    );

    let (private_key, public_key) = keypair(&ikm_r);
    // The vector's scalar as RFC 7748 uses it: the crate clamps it when it is made.
    let mut scalar: [u8; 32] =
        hex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d");
    (scalar[0], scalar[31]) = (scalar[0] & 248, (scalar[31] & 127) | 64);
    assert_eq!(*private_key, scalar);
    assert_eq!(
        public_key,
        hex("430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c")
    );
    let (enc, ciphertext) = seal(&public_key, &info, &aad, &plaintext, &ikm_e).unwrap();
    assert_eq!(
        enc,
        hex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256")
    );
    assert_eq!(ciphertext, expected);
    assert_eq!(
        open(&private_key[..], &enc, &info, &aad, &expected).unwrap(),
        plaintext
    );
    let mut rng = Seed {
        bytes: Zeroizing::new(ikm_e),
        used: 0,
    };
    let receiver = PublicKey::from_bytes(&public_key).unwrap();
    let (_, mut other) = hpke::setup_sender_with_rng::<
        hpke::aead::AesGcm256,
        hpke::kdf::HkdfSha256,
        X25519HkdfSha256,
    >(&hpke::OpModeS::Base, &receiver, &info, &mut rng)
    .unwrap();
    let (mut ours, _) = SealContext::new(&public_key, &info, &ikm_e).unwrap();
    for counter in 0..300 {
        let mut out = Vec::new();
        assert_eq!(ours.seal(&aad, &[&plaintext], &mut out).unwrap(), counter);
        assert_eq!(out, other.seal(&plaintext, &aad).unwrap());
    }
}
