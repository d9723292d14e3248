use proptest::prelude::*;

use super::*;
use crate::canonical::Writer;
use crate::merkle::root;
use crate::seal::keypair;
use crate::signature::SigningKey;

const RUNTIME: Id = [9; 32];
const SENDER: Id = [1; 32];

fn receiver(number: u8) -> Id {
    [number + 10; 32]
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn sealer(receivers: u8) -> Sealer {
    let mut sealer = Sealer::new(RUNTIME, SENDER, 3);
    for number in 0..receivers {
        let (_, public_key) = keypair(&[number; 32]);
        sealer
            .learn(receiver(number), &public_key, 0, 5, &[number + 40; 32])
            .unwrap();
    }
    sealer
}

fn opener(receivers: u8) -> Opener {
    let mut opener = Opener::new(RUNTIME);
    for number in 0..receivers {
        opener.give_key(receiver(number), 0, keypair(&[number; 32]).0);
    }
    opener.introduce(SENDER, 3, key().public_key()).unwrap();
    opener
}

fn drafts(to: &[u8]) -> Vec<Draft> {
    to.iter()
        .enumerate()
        .map(|(at, number)| Draft {
            receiver: receiver(*number),
            kind: format!("tests.Kind{}", at % 3),
            body: vec![at as u8; at % 7 * 30],
        })
        .collect()
}

fn salts(count: usize) -> Vec<u8> {
    (0..count * SALT).map(|at| at as u8).collect()
}

fn batch(sealer: &mut Sealer, to: &[u8]) -> Packet {
    sealer.seal(&drafts(to), &salts(to.len()), &key()).unwrap()
}

/// (receiver, type, body) of a packet, in order.
fn read(opener: &mut Opener, packet: &Packet) -> Vec<(Id, String, Vec<u8>)> {
    opener
        .open_packet(packet)
        .unwrap()
        .into_iter()
        .map(|opened| {
            (
                packet.pairs[opened.pair].receiver,
                packet.kinds[opened.kind].clone(),
                opened.body.unwrap(),
            )
        })
        .collect()
}

fn expected(number: u8, kind: &str) -> Expected<'_> {
    Expected {
        receiver: receiver(number),
        sender: SENDER,
        incarnation: 3,
        kind,
    }
}

fn plain(to: &[u8]) -> Vec<(Id, String, Vec<u8>)> {
    drafts(to)
        .into_iter()
        .map(|draft| (draft.receiver, draft.kind, draft.body))
        .collect()
}

#[test]
fn what_is_signed_is_canonical() {
    for (number, kind) in [
        (0, "a"),
        (127, "b"),
        (128, "c"),
        (255, "d"),
        (256, "e"),
        (65_535, "f"),
    ]
    .into_iter()
    .chain([
        (65_536, "g"),
        (u64::from(u32::MAX), "h"),
        (1 << 32, "i"),
        (u64::MAX, "j"),
    ]) {
        for kind in [
            kind.to_owned(),
            kind.repeat(31),
            kind.repeat(32),
            kind.repeat(128),
        ] {
            let mut aad = Vec::new();
            seal_aad(&mut aad, &SENDER, &receiver(0), number, &kind);
            let mut out = Writer::new();
            out.open_array(4).unwrap();
            out.bytes(&SENDER).unwrap();
            out.bytes(&receiver(0)).unwrap();
            out.unsigned(number).unwrap();
            out.text(&kind).unwrap();
            out.close().unwrap();
            assert_eq!(aad, out.finish().unwrap());

            let mut scratch = Vec::new();
            let hash = leaf(
                &mut scratch,
                &receiver(0),
                number,
                &kind,
                &[4; 32],
                &[5; 32],
            );
            let mut out = Writer::new();
            out.open_array(5).unwrap();
            out.bytes(&receiver(0)).unwrap();
            out.unsigned(number).unwrap();
            out.text(&kind).unwrap();
            out.bytes(&[4; 32]).unwrap();
            out.bytes(&[5; 32]).unwrap();
            out.close().unwrap();
            assert_eq!(hash, crate::merkle::leaf_hash(&out.finish().unwrap()));
        }
        let head = Head {
            sender: SENDER,
            incarnation: number,
            first: number,
            count: 7,
            previous: [6; 32],
        };
        let mut out = Writer::new();
        out.open_array(8).unwrap();
        out.text(DOMAIN).unwrap();
        out.bytes(&RUNTIME).unwrap();
        out.bytes(&SENDER).unwrap();
        out.unsigned(number).unwrap();
        out.unsigned(number).unwrap();
        out.unsigned(7).unwrap();
        out.bytes(&[6; 32]).unwrap();
        out.bytes(&[8; 32]).unwrap();
        out.close().unwrap();
        assert_eq!(head.signed_bytes(&RUNTIME, &[8; 32]), out.finish().unwrap());
    }
    assert_eq!(
        batch_digest(b"x"),
        crate::digest::digest("batch", b"x").unwrap()
    );
    assert_eq!(
        salted_digest(b"salt", b"body"),
        crate::digest::digest("plaintext", b"saltbody").unwrap()
    );
}

#[test]
fn batches_of_one_life_are_a_chain() {
    let mut sealer = sealer(2);
    let one = batch(&mut sealer, &[0, 1, 0]);
    let two = batch(&mut sealer, &[1]);
    assert_eq!(
        (one.head.first, one.head.count, one.head.previous),
        (0, 3, [0; 32])
    );
    assert_eq!((two.head.first, two.head.count), (3, 1));
    assert_eq!(
        two.head.previous,
        one.verify(&RUNTIME, &key().public_key()).unwrap()
    );
    let of_one = &one.pairs[1];
    assert_eq!((of_one.first_sequence, two.pairs[0].first_sequence), (5, 6));
}

#[test]
fn a_refused_batch_uses_nothing_up() {
    let mut sealer = sealer(1);
    let mut bad = drafts(&[0, 0]);
    bad.push(Draft {
        receiver: [99; 32],
        kind: "k".into(),
        body: Vec::new(),
    });
    assert!(sealer.seal(&bad, &salts(3), &key()).is_err());
    assert!(sealer.seal(&drafts(&[0]), &salts(2), &key()).is_err());
    assert!(sealer.seal(&[], &[], &key()).is_err());
    let packet = batch(&mut sealer, &[0]);
    assert_eq!((packet.head.first, packet.pairs[0].first_sequence), (0, 5));
    assert_eq!(packet.messages[0].counter, 0);
}

#[test]
fn a_key_learned_again_never_lowers_a_sequence_or_repeats_a_counter() {
    let mut sealer = sealer(1);
    batch(&mut sealer, &[0, 0]);
    let (_, public_key) = keypair(&[0; 32]);
    sealer
        .learn(receiver(0), &public_key, 0, 1, &[40; 32])
        .unwrap();
    let packet = batch(&mut sealer, &[0]);
    assert_eq!(
        (packet.pairs[0].first_sequence, packet.messages[0].counter),
        (7, 2)
    );
    sealer
        .learn(receiver(0), &public_key, 1, 1, &[41; 32])
        .unwrap();
    let packet = batch(&mut sealer, &[0]);
    assert_eq!(
        (packet.pairs[0].generation, packet.pairs[0].first_sequence),
        (1, 8)
    );
}

#[test]
fn every_flipped_bit_of_a_packet_and_a_letter_is_refused() {
    let mut sealer = sealer(2);
    let packet = batch(&mut sealer, &[0, 1, 0, 1, 1]);
    let forwarded = packet.only(|to| *to == receiver(1)).unwrap();
    let letter = packet.letters().unwrap().remove(2);
    for data in [packet.bytes().to_vec(), forwarded] {
        for bit in 0..data.len() * 8 {
            let mut altered = data.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let refused = Packet::parse(altered)
                .and_then(|packet| opener(2).open_packet(&packet))
                .is_err();
            assert!(refused, "bit {bit}");
        }
        for length in 0..data.len() {
            assert!(
                Packet::parse(data[..length].to_vec()).is_err(),
                "{length} bytes"
            );
        }
        assert!(Packet::parse([&data[..], b"x"].concat()).is_err());
    }
    for bit in 0..letter.len() * 8 {
        let mut altered = letter.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = Letter::parse(altered)
            .and_then(|letter| {
                opener(2).open_letter(&letter, &expected(0, "tests.Kind2"), &key().public_key())
            })
            .is_err();
        assert!(refused, "bit {bit} of a letter");
    }
    for length in 0..letter.len() {
        assert!(
            Letter::parse(letter[..length].to_vec()).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn replayed_and_dead_lives_are_refused_and_others_opened() {
    let mut sealer = sealer(2);
    let packet = batch(&mut sealer, &[0, 0]);
    let next = batch(&mut sealer, &[0]);
    let mut opener = opener(2);
    assert!(opener.open_packet(&packet).is_ok());
    assert!(opener.open_packet(&packet).is_err());
    assert!(opener.open_packet(&next).is_ok());
    assert!(opener.introduce(SENDER, 2, key().public_key()).is_err());
    assert!(opener.introduce(SENDER, 3, [5; 32]).is_err());
    opener.introduce(SENDER, 4, [5; 32]).unwrap();
    let late = batch(&mut sealer, &[0]);
    assert!(opener.open_packet(&late).is_err());
    let mut stranger = Opener::new(RUNTIME);
    assert!(stranger.open_packet(&late).is_err());
}

#[test]
fn one_message_that_does_not_open_leaves_the_others() {
    let mut sealer = sealer(2);
    let packet = batch(&mut sealer, &[0, 1]);
    let mut opener = Opener::new(RUNTIME);
    opener.introduce(SENDER, 3, key().public_key()).unwrap();
    opener.give_key(receiver(1), 0, keypair(&[1; 32]).0);
    let opened = opener.open_packet(&packet).unwrap();
    assert!(opened[0].body.is_err());
    assert!(opened[1].body.is_ok());
    opener.forget(&receiver(1));
    let next = batch(&mut sealer, &[1]);
    assert!(opener.open_packet(&next).unwrap()[0].body.is_err());
}

#[test]
fn a_batch_signed_by_another_key_runtime_or_small_order_key_is_refused() {
    let packet = batch(&mut sealer(1), &[0]);
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    assert!(packet.verify(&RUNTIME, &other.public_key()).is_err());
    assert!(packet.verify(&[0; 32], &key().public_key()).is_err());
    let mut small_order = [0; 32];
    small_order[0] = 1;
    assert!(packet.verify(&RUNTIME, &small_order).is_err());
}

#[test]
fn a_record_is_one_whole_batch_in_order() {
    let mut sealer = sealer(2);
    let one = batch(&mut sealer, &[0, 1, 0]);
    let two = batch(&mut sealer, &[0, 1, 0]);
    let letters = |packet: &Packet| -> Vec<Letter> {
        let letters = packet.letters().unwrap();
        letters
            .into_iter()
            .map(|letter| Letter::parse(letter).unwrap())
            .collect()
    };
    let public_key = key().public_key();
    let verify = |letters: &[Letter]| {
        let letters: Vec<&Letter> = letters.iter().collect();
        verify_record(&letters, &RUNTIME, &public_key)
    };
    assert_eq!(verify(&letters(&one)).unwrap(), two.head.previous);
    assert!(verify(&[]).is_err());
    assert!(verify(&letters(&one)[..2]).is_err());
    let mut swapped = letters(&one);
    swapped.swap(0, 1);
    assert!(verify(&swapped).is_err());
    let mut mixed = letters(&one);
    mixed[1] = letters(&two).remove(1);
    assert!(verify(&mixed).is_err());
}

/// The bytes of a batch with fixed seeds: whoever changes the format sees it here.
#[test]
fn the_format_is_the_published_one() {
    let vectors = include_str!("../../../tests/vectors/batch.txt");
    let packet = batch(&mut sealer(2), &[0, 1, 0]);
    let hex = |data: &[u8]| -> String { data.iter().map(|byte| format!("{byte:02x}")).collect() };
    let mut found = vec![format!("packet {}", hex(packet.bytes()))];
    for letter in packet.letters().unwrap() {
        found.push(format!("letter {}", hex(&letter)));
    }
    found.push(format!(
        "forwarded {}",
        hex(&packet.only(|to| *to == receiver(1)).unwrap())
    ));
    found.push(format!("root {}", hex(&root(packet.leaves()))));
    let digest = packet.verify(&RUNTIME, &key().public_key()).unwrap();
    found.push(format!("digest {}", hex(&digest)));
    let wanted: Vec<&str> = vectors
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(found, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_partition_opens_to_the_same_messages_in_order_of_each_pair(
        to in proptest::collection::vec(0_u8..4, 1..60),
        cuts in proptest::collection::vec(1_usize..20, 1..20),
    ) {
        let mut sealer = sealer(4);
        let mut openers = [opener(4), opener(4)];
        let mut rest = drafts(&to);
        let mut found: Vec<(Id, String, Vec<u8>)> = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let part: Vec<Draft> = rest.drain(..(*cut).min(rest.len())).collect();
            let packet = sealer.seal(&part, &salts(part.len()), &key()).unwrap();
            let again = Packet::parse(packet.bytes().to_vec()).unwrap();
            prop_assert_eq!(again.bytes(), packet.bytes());
            // Receivers 0 and 1 live in one cell, 2 and 3 in another.
            for (cell, opener) in openers.iter_mut().enumerate() {
                let here = |to: &Id| usize::from((to[0] - 10) / 2) == cell;
                if let Ok(data) = packet.only(here) {
                    let forwarded = Packet::parse(data).unwrap();
                    found.extend(read(opener, &forwarded));
                }
            }
        }
        for number in 0..4 {
            let of = |all: &[(Id, String, Vec<u8>)]| -> Vec<(Id, String, Vec<u8>)> {
                all.iter().filter(|(to, ..)| *to == receiver(number)).cloned().collect()
            };
            prop_assert_eq!(of(&found), of(&plain(&to)));
        }
    }

    #[test]
    fn a_letter_proves_its_message_and_no_other(to in proptest::collection::vec(0_u8..3, 1..40)) {
        let packet = batch(&mut sealer(3), &to);
        let digest = packet.verify(&RUNTIME, &key().public_key()).unwrap();
        let letters: Vec<Letter> = packet
            .letters()
            .unwrap()
            .into_iter()
            .map(|letter| Letter::parse(letter).unwrap())
            .collect();
        for (letter, (to, kind, body)) in letters.iter().zip(plain(&to)) {
            prop_assert_eq!(letter.verify(&RUNTIME, &key().public_key()).unwrap(), digest);
            prop_assert_eq!((letter.receiver, &letter.kind), (to, &kind));
            prop_assert_eq!(opener(3).open_letter(letter, &Expected { receiver: to, sender: SENDER, incarnation: 3, kind: &kind }, &key().public_key()).unwrap(), body);
        }
        if letters.len() > 1 {
            let mut moved = packet.letters().unwrap().remove(0);
            // The index is a u32 right behind the type.
            let at = 4 + 84 + 64 + 72 + 1 + letters[0].kind.len();
            moved[at..at + 4].copy_from_slice(&1_u32.to_be_bytes());
            let moved = Letter::parse(moved).unwrap();
            prop_assert!(moved.verify(&RUNTIME, &key().public_key()).is_err());
        }
    }

    #[test]
    fn random_bytes_are_refused_without_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Packet::parse(data.clone()).is_err());
        prop_assert!(Packet::parse([b"QRB1", &data[..]].concat()).is_err());
        prop_assert!(Letter::parse([b"QRL1", &data[..]].concat()).is_err());
    }
}
