//! Ed25519: what verifies is in the one canonical form, and no edit of what was signed verifies.
use queenright_core::signature::{SigningKey, parse_public_key, verify, verify_many};

use crate::input::{Input, edit};

/// The order of the base point and the prime of the field, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
const PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// The y coordinates of the eight points of small order, reduced.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = PRIME;
        minus_one[0] -= 1;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

fn below(number: &[u8; 32], bound: &[u8; 32]) -> bool {
    number.iter().rev().lt(bound.iter().rev())
}

/// Reduced, and not of small order: by comparing bytes, without the library's arithmetic.
fn is_canonical_point(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    y[31] &= 0x7f;
    below(&y, &PRIME) && !SMALL_ORDER_Y.contains(&y)
}

fn half(bytes: &[u8], at: usize) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&bytes[at..at + 32]);
    half
}

fn check(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let accepted = verify(key, message, signature).is_ok();
    if accepted {
        assert_eq!(
            (key.len(), signature.len()),
            (32, 64),
            "a wrong length verified"
        );
        assert!(is_canonical_point(&half(key, 0)), "a weak key verified");
        assert!(is_canonical_point(&half(signature, 0)), "a weak R verified");
        assert!(
            below(&half(signature, 32), &ORDER),
            "a second form of S verified"
        );
        assert!(
            parse_public_key(key).is_ok(),
            "a key that cannot be enrolled verified"
        );
    }
    accepted
}

/// Any keys, messages and signatures: many at once are judged as each alone.
pub fn given(data: &[u8]) {
    let mut input = Input::new(data);
    let mut items = Vec::new();
    while !input.is_empty() && items.len() < 8 {
        items.push((input.part(), input.part(), input.part()));
    }
    let refused: Vec<usize> = (0..items.len())
        .filter(|index| {
            let (key, message, signature) = items[*index];
            if let Ok(exact) = <[u8; 32]>::try_from(key)
                && parse_public_key(key).is_ok()
            {
                assert!(is_canonical_point(&exact), "a weak key can be enrolled");
            }
            !check(key, message, signature)
        })
        .collect();
    assert_eq!(verify_many(items), refused, "a batch was judged otherwise");
}

/// A genuine signature with an edit anywhere: it verifies only if nothing changed.
pub fn made(data: &[u8]) {
    let mut input = Input::new(data);
    let signer = SigningKey::from_seed(&input.key()).expect("32 bytes are a seed");
    let message = input.part();
    let (key, signature) = (signer.public_key(), signer.sign(message));
    assert!(
        check(&key, message, &signature),
        "a genuine signature was refused"
    );
    let mut parts = [key.to_vec(), message.to_vec(), signature.to_vec()];
    let genuine = parts.clone();
    while !input.is_empty() {
        let part = &mut parts[usize::from(input.byte() % 3)];
        *part = edit(part, &mut input);
    }
    assert_eq!(
        check(&parts[0], &parts[1], &parts[2]),
        parts == genuine,
        "an edited signature verified"
    );
    let items = [&genuine, &parts, &genuine]
        .map(|[key, message, signature]| (&key[..], &message[..], &signature[..]));
    let culprits: &[usize] = if parts == genuine { &[] } else { &[1] };
    assert_eq!(verify_many(items), culprits, "the culprit was not named");
}
