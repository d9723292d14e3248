//! What a command would change, kept until a person decides: committed exactly, onto the version it was made over, or not.
#![allow(clippy::unwrap_used)]

mod spaces;

use std::fs;
use std::os::fd::AsFd as _;

use queenright_host::workspace::{Contents, Kind, Proposal, Quota, collect};
use spaces::{Node, Place, QUOTA, meta, put, read, whiteout};

fn place() -> (tempfile::TempDir, Place) {
    let held = tempfile::tempdir().unwrap();
    let place = Place::make(held.path());
    (held, place)
}

fn file(text: &str) -> Node {
    Node::File(0o644, text.into())
}

/// Proposes what lies in `upper` and empties it.
fn propose(place: &Place, act: u8) -> Proposal {
    let upper = place.fd("upper");
    let made = place
        .open("boot")
        .propose_upper(upper.as_fd(), &meta(act), &QUOTA, b"note")
        .unwrap();
    fs::remove_dir_all(place.upper()).unwrap();
    fs::create_dir(place.upper()).unwrap();
    made
}

fn some_changes(place: &Place) {
    put(&place.live(), b"old", &file("old"));
    put(&place.live(), b"gone", &file("gone"));
    put(&place.upper(), b"old", &file("newer"));
    put(&place.upper(), b"added", &file("added"));
    whiteout(&place.upper().join("gone"));
}

#[test]
fn a_proposal_changes_nothing_until_it_is_committed_and_then_exactly_what_was_shown() {
    let (_held, place) = place();
    some_changes(&place);
    let before = read(&place.live());
    let made = propose(&place, 1);
    assert_eq!(read(&place.live()), before);
    let mut space = place.open("boot");
    assert_eq!(space.head().unwrap(), 0);
    let found = space.proposal(&[1; 32]).unwrap().unwrap();
    assert_eq!((found.digest, found.base()), (made.digest, 0));
    assert_eq!(found.note, b"note");
    assert_eq!(
        space.proposed_contents(&[1; 32], b"old", 3).unwrap(),
        Contents {
            before: Some(b"old".to_vec()),
            after: Some(b"new".to_vec())
        }
    );
    let done = space
        .commit_proposal(&[1; 32], &made.digest, &QUOTA)
        .unwrap();
    assert_eq!((done.version, &done.changes), (1, &made.record.changes));
    let live = read(&place.live());
    assert_eq!(live[&b"old".to_vec()], file("newer"));
    assert_eq!(live[&b"added".to_vec()], file("added"));
    assert_eq!(live.len(), 2);
    assert!(space.proposal(&[1; 32]).unwrap().is_none());
    assert_eq!(space.version_of(&[1; 32]).unwrap(), Some(1));
    let again = space.commit_proposal(&[1; 32], &made.digest, &QUOTA);
    assert_eq!(again.unwrap_err().kind, Kind::Unknown);
}

#[test]
fn a_proposal_over_an_earlier_version_is_a_conflict() {
    let (_held, place) = place();
    some_changes(&place);
    let made = propose(&place, 1);
    put(&place.upper(), b"other", &file("other"));
    place.commit(2).unwrap();
    let before = read(&place.live());
    let refused = place
        .open("boot")
        .commit_proposal(&[1; 32], &made.digest, &QUOTA);
    assert_eq!(refused.unwrap_err().kind, Kind::Conflict);
    assert_eq!(read(&place.live()), before);
}

#[test]
fn a_path_changed_by_something_else_is_a_conflict() {
    let (_held, place) = place();
    some_changes(&place);
    let made = propose(&place, 1);
    put(&place.live(), b"old", &file("somebody's"));
    let refused = place
        .open("boot")
        .commit_proposal(&[1; 32], &made.digest, &QUOTA);
    assert_eq!(refused.unwrap_err().kind, Kind::Conflict);
    assert_eq!(read(&place.live())[&b"gone".to_vec()], file("gone"));
}

#[test]
fn only_the_proposal_that_was_approved_is_committed() {
    let (_held, place) = place();
    some_changes(&place);
    let made = propose(&place, 1);
    put(&place.upper(), b"old", &file("worse"));
    let later = propose(&place, 1);
    assert_ne!(made.digest, later.digest);
    let mut space = place.open("boot");
    for (act, digest) in [(1, made.digest), (2, later.digest)] {
        let refused = space.commit_proposal(&[act; 32], &digest, &QUOTA);
        assert_eq!(refused.unwrap_err().kind, Kind::Unknown);
    }
}

#[test]
fn contents_are_kept_while_they_are_proposed_and_collected_once_they_are_dropped() {
    let (_held, place) = place();
    some_changes(&place);
    propose(&place, 1);
    let store = place.fd("store");
    assert_eq!(collect(store.as_fd()).unwrap().contents, 0);
    let space = place.open("boot");
    let at = meta(1).at_ms;
    assert_eq!(space.drop_proposals(&[[1; 32]], at + 1).unwrap(), 0);
    assert_eq!(space.drop_proposals(&[], at).unwrap(), 0);
    assert_eq!(space.drop_proposals(&[], at + 1).unwrap(), 1);
    drop(space);
    assert_eq!(collect(store.as_fd()).unwrap().contents, 4);
}

#[test]
fn what_is_over_the_quota_is_not_proposed() {
    let (_held, place) = place();
    some_changes(&place);
    let small = Quota { bytes: 8, ..QUOTA };
    let upper = place.fd("upper");
    let mut space = place.open("boot");
    let refused = space.propose_upper(upper.as_fd(), &meta(1), &small, b"");
    assert_eq!(refused.unwrap_err().kind, Kind::Quota);
    assert!(space.proposal(&[1; 32]).unwrap().is_none());
}

#[test]
fn a_proposal_cut_or_changed_anywhere_is_refused_and_swept_away() {
    let (_held, place) = place();
    some_changes(&place);
    let made = propose(&place, 1);
    let name = "01".repeat(32);
    let at = place
        .base
        .join("store/agents")
        .join("07".repeat(32))
        .join("proposals")
        .join(name);
    let whole = fs::read(&at).unwrap();
    for position in 0..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        for data in [&whole[..position], &changed] {
            fs::write(&at, data).unwrap();
            let mut space = place.open("boot");
            assert!(space.proposal(&[1; 32]).is_err(), "{position}");
            assert!(
                space
                    .commit_proposal(&[1; 32], &made.digest, &QUOTA)
                    .is_err()
            );
        }
    }
    assert_eq!(place.open("boot").drop_proposals(&[], 0).unwrap(), 1);
}
