//! Batches and letters of other cells: refused, or the one form of what they say, and never signed by nobody.
use queenright_core::batch::{Letter, Packet};

const RUNTIME: [u8; 32] = [9; 32];
/// A public key whose private half no seed holds.
const KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data.to_vec()) else {
        return;
    };
    assert_eq!(packet.bytes(), data, "a packet has one form");
    assert!(
        packet.verify(&RUNTIME, &KEY).is_err(),
        "a signature that nobody made"
    );
    if let Ok(all) = packet.only(|_| true) {
        assert_eq!(all, data, "a packet forwarded whole is another");
    }
    for letter in packet.letters().expect("each message has a path") {
        let letter = Letter::parse(letter).expect("what was just written is read");
        assert!(letter.verify(&RUNTIME, &KEY).is_err());
    }
}

pub fn letter(data: &[u8]) {
    let Ok(letter) = Letter::parse(data.to_vec()) else {
        return;
    };
    assert!(letter.ciphertext().len() <= data.len());
    assert!(
        letter.verify(&RUNTIME, &KEY).is_err(),
        "a signature that nobody made"
    );
}
