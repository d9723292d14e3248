use proptest::prelude::*;
use zeroize::Zeroizing;

use super::Scrub;

fn shapes(texts: &[&[u8]]) -> Vec<Zeroizing<Vec<u8>>> {
    texts
        .iter()
        .map(|text| Zeroizing::new(text.to_vec()))
        .collect()
}

fn scrubbed(known: &[&[u8]], pieces: &[&[u8]]) -> Vec<u8> {
    let (mut scrub, mut out) = (Scrub::new(&shapes(known)), Vec::new());
    for piece in pieces {
        scrub.feed(piece, &mut out);
    }
    scrub.finish(&mut out);
    out
}

#[test]
fn a_shape_is_marked_wherever_pieces_are_cut() {
    let whole = b"x secretive y SECRETIVE";
    for cut in 0..whole.len() {
        let (one, two) = whole.split_at(cut);
        assert_eq!(
            scrubbed(&[b"secretive"], &[one, two]),
            b"x ********* y *********"
        );
    }
}

#[test]
fn shapes_that_overlap_are_marked_whole() {
    assert_eq!(
        scrubbed(&[b"abcab", b"cabd", b"abcabd"], &[b"-abcabdabcab-"]),
        b"-***********-"
    );
    assert_eq!(scrubbed(&[b"aba"], &[b"ababab"]), b"*****b");
}

#[test]
fn what_cannot_be_a_shape_is_not_held_back() {
    let (mut scrub, mut out) = (Scrub::new(&shapes(&[b"secretive"])), Vec::new());
    scrub.feed(b"data: one\n\n", &mut out);
    assert_eq!(out, b"data: one\n\n");
    scrub.feed(b"data: secre", &mut out);
    assert_eq!(out, b"data: one\n\ndata: ");
    scrub.feed(b"t\n", &mut out);
    assert_eq!(out, b"data: one\n\ndata: secret\n");
}

#[test]
fn the_beginning_of_a_shape_at_the_end_of_the_stream_is_passed_on() {
    assert_eq!(scrubbed(&[b"secretive"], &[b"x secret"]), b"x secret");
    assert_eq!(scrubbed(&[], &[b"anything"]), b"anything");
    assert_eq!(scrubbed(&[b""], &[b"anything"]), b"anything");
}

proptest! {
    /// Against the plain way of doing it with everything at hand; few letters, so that shapes meet.
    #[test]
    fn a_stream_in_pieces_is_scrubbed_as_the_whole(
        data in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'B'), Just(b'c')], 0..80),
        known in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'A'), Just(b'b')], 1..6), 0..4),
        size in 1usize..9,
    ) {
        let mut want = data.clone();
        for shape in &known {
            for at in 0..data.len() {
                if data[at..].len() >= shape.len() && data[at..at + shape.len()].eq_ignore_ascii_case(shape) {
                    want[at..at + shape.len()].fill(b'*');
                }
            }
        }
        let known: Vec<&[u8]> = known.iter().map(Vec::as_slice).collect();
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        prop_assert_eq!(scrubbed(&known, &pieces), want);
    }
}
