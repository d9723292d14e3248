//! Workspaces as versions: what is committed, put back, refused and left out.
#![allow(clippy::unwrap_used)]

mod spaces;

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use queenright_host::workspace::{Kind, Quota, collect, forget};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use spaces::{AGENT, Node, Place, QUOTA, Tree, meta, opaque, overlay, put, read, whiteout};

fn place() -> (tempfile::TempDir, Place) {
    let held = tempfile::tempdir().unwrap();
    let place = Place::make(held.path());
    (held, place)
}

fn file(text: &str) -> Node {
    Node::File(0o644, text.into())
}

fn kinds(changes: &[queenright_host::workspace::Change]) -> Vec<(String, &'static str)> {
    changes
        .iter()
        .map(|change| {
            (
                String::from_utf8_lossy(&change.path).into_owned(),
                change.kind(),
            )
        })
        .collect()
}

#[test]
fn a_version_lists_what_was_added_modified_and_deleted_with_modes_and_links() {
    let (_held, place) = place();
    put(&place.live(), b"old", &file("old"));
    put(&place.live(), b"mode", &file("same"));
    put(&place.live(), b"gone", &Node::Directory(0o755));
    put(&place.live(), b"gone/inside", &file("x"));
    put(&place.upper(), b"new", &file("new"));
    put(
        &place.upper(),
        b"link",
        &Node::Link(b"/etc/passwd".to_vec()),
    );
    put(
        &place.upper(),
        b"mode",
        &Node::File(0o600, b"same".to_vec()),
    );
    put(&place.upper(), b"old", &file("older"));
    whiteout(&place.upper().join("gone"));
    let done = place.commit(1).unwrap();
    let want = [
        ("gone", "deleted"),
        ("gone/inside", "deleted"),
        ("link", "added"),
        ("mode", "modified"),
        ("new", "added"),
        ("old", "modified"),
    ];
    let want: Vec<_> = want.map(|(path, kind)| (path.to_owned(), kind)).into();
    assert_eq!((done.version, kinds(&done.changes)), (1, want));
    let live = read(&place.live());
    assert_eq!(live[&b"old".to_vec()], file("older"));
    assert_eq!(live[&b"mode".to_vec()], Node::File(0o600, b"same".to_vec()));
    assert_eq!(live[&b"link".to_vec()], Node::Link(b"/etc/passwd".to_vec()));
    assert_eq!(live.len(), 4);
}

#[test]
fn an_opaque_directory_hides_what_was_in_it() {
    let (_held, place) = place();
    put(&place.live(), b"d", &Node::Directory(0o755));
    put(&place.live(), b"d/a", &file("a"));
    put(&place.live(), b"d/b", &file("b"));
    put(&place.upper(), b"d", &Node::Directory(0o755));
    put(&place.upper(), b"d/b", &file("new"));
    opaque(&place.upper().join("d"));
    let done = place.commit(1).unwrap();
    let want = vec![
        ("d/a".to_owned(), "deleted"),
        ("d/b".to_owned(), "modified"),
    ];
    assert_eq!(kinds(&done.changes), want);
    assert_eq!(read(&place.live()).len(), 2);
}

#[test]
fn what_no_version_holds_is_left_out_and_named() {
    let (_held, place) = place();
    put(&place.live(), b"was-a-file", &file("x"));
    let make = |name: &str| {
        let path = place.upper().join(name);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    };
    make("pipe\x1b[2J");
    make("was-a-file");
    let _socket = std::os::unix::net::UnixListener::bind(place.upper().join("socket")).unwrap();
    let done = place.commit(1).unwrap();
    assert_eq!(done.left_out_count, 3);
    assert!(done.left_out.contains(&(b"socket".to_vec(), "a socket")));
    assert!(done.left_out.contains(&(b"pipe\x1b[2J".to_vec(), "a fifo")));
    assert_eq!(kinds(&done.changes), [("was-a-file".to_owned(), "deleted")]);
    assert!(read(&place.live()).is_empty());
}

#[test]
fn an_action_that_changes_nothing_makes_no_version() {
    let (_held, place) = place();
    put(&place.live(), b"d", &Node::Directory(0o755));
    put(&place.upper(), b"d", &Node::Directory(0o755));
    assert_eq!(place.commit(1).unwrap().version, 0);
    assert!(place.open("boot").log(10).unwrap().is_empty());
}

#[test]
fn over_the_quota_nothing_is_kept_and_the_quota_is_named() {
    let (_held, place) = place();
    put(
        &place.upper(),
        b"large",
        &Node::File(0o644, vec![1; QUOTA.bytes as usize + 1]),
    );
    let refused = place.commit(1).unwrap_err();
    assert_eq!(refused.kind, Kind::Quota);
    assert!(
        refused.message.contains("1048577 of 1048576 bytes"),
        "{refused}"
    );
    assert!(read(&place.live()).is_empty());
    assert_eq!(
        fs::read_dir(place.base.join("store/blobs"))
            .unwrap()
            .count(),
        0
    );
    for number in 0..=3 {
        put(&place.upper(), format!("f{number}").as_bytes(), &file(""));
    }
    let few = Quota {
        bytes: 10,
        files: 3,
    };
    let upper = place.fd("upper");
    let refused = place
        .open("boot")
        .commit_upper(upper.as_fd(), &meta(2), &few)
        .unwrap_err();
    assert!(refused.message.contains("4 of 3 files"), "{refused}");
}

#[test]
fn a_path_that_a_later_version_changed_is_a_conflict_that_names_it() {
    let (_held, place) = place();
    for (act, text) in [(1, "one"), (2, "two")] {
        put(&place.upper(), b"a", &file(text));
        put(&place.upper(), format!("own-{act}").as_bytes(), &file("x"));
        place.commit(act).unwrap();
    }
    let refused = place.open("boot").undo(1, &meta(3)).unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    assert_eq!(refused.message, "\"a\" was changed since, by version 2");
    let done = place.open("boot").undo(2, &meta(3)).unwrap();
    assert_eq!(done.version, 3);
    place.open("boot").undo(1, &meta(4)).unwrap();
    assert!(read(&place.live()).is_empty());
}

#[test]
fn a_directory_that_somebody_else_filled_since_is_not_removed() {
    let (_held, place) = place();
    put(&place.upper(), b"d", &Node::Directory(0o755));
    place.commit(1).unwrap();
    put(&place.upper(), b"d", &Node::Directory(0o755));
    put(&place.upper(), b"d/theirs", &file("x"));
    place.commit(2).unwrap();
    let refused = place.open("boot").undo(1, &meta(3)).unwrap_err();
    assert_eq!(
        refused.message,
        "\"d/theirs\" was changed since, by version 2"
    );
}

#[test]
fn any_kept_version_is_shown_and_restored() {
    let (_held, place) = place();
    let mut trees = vec![read(&place.live())];
    for (act, text) in [(1, "one"), (2, "two"), (3, "three")] {
        put(&place.upper(), b"same", &file(text));
        put(
            &place.upper(),
            format!("d{act}").as_bytes(),
            &Node::Directory(0o750),
        );
        put(&place.upper(), format!("d{act}/f").as_bytes(), &file(text));
        place.commit(act).unwrap();
        trees.push(read(&place.live()));
    }
    let space = place.open("boot");
    assert_eq!(space.read(b"same", 1, 100).unwrap(), b"one");
    assert_eq!(space.read(b"same", 3, 100).unwrap(), b"three");
    assert_eq!(space.read(b"d3/f", 2, 100).unwrap_err().kind, Kind::Unknown);
    assert_eq!(space.list(b"", 2, 100).unwrap().entries.len(), 3);
    assert_eq!(space.list(b"d3", 2, 100).unwrap_err().kind, Kind::Unknown);
    assert!(space.list(b"", 3, 2).unwrap().cut);
    assert_eq!(space.list(b"", 9, 100).unwrap_err().kind, Kind::Unknown);
    drop(space);
    for number in [1, 0, 3, 2] {
        place.open("boot").restore(number, &meta(9)).unwrap();
        assert_eq!(
            read(&place.live()),
            trees[number as usize],
            "version {number}"
        );
    }
}

#[test]
fn a_change_made_outside_is_a_conflict_and_is_not_overwritten() {
    let (_held, place) = place();
    put(&place.upper(), b"a", &file("one"));
    place.commit(1).unwrap();
    fs::write(place.live().join("a"), "theirs").unwrap();
    let refused = place.open("boot").undo(1, &meta(2)).unwrap_err();
    assert_eq!(refused.message, "\"a\" was changed since");
    assert_eq!(fs::read(place.live().join("a")).unwrap(), b"theirs");
}

#[test]
fn a_file_with_a_second_name_in_the_workspace_is_refused() {
    let (_held, place) = place();
    fs::write(place.base.join("secret"), "s").unwrap();
    fs::hard_link(place.base.join("secret"), place.live().join("a")).unwrap();
    put(&place.upper(), b"a", &file("x"));
    let refused = place.commit(1).unwrap_err();
    assert!(refused.message.contains("2 names"), "{refused}");
}

#[test]
fn several_names_of_one_new_file_are_several_files() {
    let (_held, place) = place();
    put(&place.upper(), b"a", &file("x"));
    fs::hard_link(place.upper().join("a"), place.upper().join("b")).unwrap();
    place.commit(1).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(place.live().join("a")).unwrap().nlink(), 1);
    assert_eq!(read(&place.live()).len(), 2);
}

#[test]
fn a_file_without_its_own_content_is_refused() {
    let (_held, place) = place();
    for name in ["user.overlay.metacopy", "user.overlay.redirect"] {
        let path = place.upper().join("a");
        fs::write(&path, "").unwrap();
        rustix::fs::setxattr(&path, name, b"x", XattrFlags::empty()).unwrap();
        let refused = place.commit(1).unwrap_err();
        assert!(refused.message.contains(name), "{refused}");
    }
}

#[test]
fn names_that_are_no_text_and_closed_directories_are_kept() {
    let (_held, place) = place();
    put(&place.upper(), b"\xff\xfe\x1b[31m", &file("x"));
    put(&place.upper(), b"closed", &Node::Directory(0o755));
    put(
        &place.upper(),
        b"closed/secret",
        &Node::File(0, b"s".to_vec()),
    );
    fs::set_permissions(
        place.upper().join("closed"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    place.commit(1).unwrap();
    let live = read(&place.live());
    assert_eq!(live[&b"\xff\xfe\x1b[31m".to_vec()], file("x"));
    assert_eq!(live[&b"closed".to_vec()], Node::Directory(0o700));
    assert_eq!(
        live[&b"closed/secret".to_vec()],
        Node::File(0o400, b"s".to_vec())
    );
}

#[test]
fn a_directory_three_thousand_deep_is_committed_and_undone() {
    let (_held, place) = place();
    let mut here = place.fd("upper");
    for _ in 0..3_000 {
        rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
        here =
            rustix::fs::openat(&here, "d", rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let upper = place.fd("upper");
    let mut space = place.open("boot");
    let done = space.commit_upper(upper.as_fd(), &meta(1), &QUOTA).unwrap();
    assert_eq!(done.changes.len(), 3_000);
    assert_eq!(space.undo(1, &meta(2)).unwrap().changes.len(), 3_000);
    assert_eq!(fs::read_dir(place.live()).unwrap().count(), 0);
    queenright_host::workspace::remove_tree(upper.as_fd(), b"d").unwrap();
}

#[test]
fn a_path_too_long_is_refused_by_name() {
    let (_held, place) = place();
    let mut here = place.fd("upper");
    let name = "n".repeat(250);
    for _ in 0..80 {
        rustix::fs::mkdirat(&here, &*name, Mode::RWXU).unwrap();
        here = rustix::fs::openat(&here, &*name, rustix::fs::OFlags::DIRECTORY, Mode::empty())
            .unwrap();
    }
    let upper = place.fd("upper");
    let refused = place
        .open("boot")
        .commit_upper(upper.as_fd(), &meta(1), &QUOTA)
        .unwrap_err();
    assert!(refused.message.contains("at most 16384"), "{refused}");
    queenright_host::workspace::remove_tree(upper.as_fd(), name.as_bytes()).unwrap();
}

#[test]
fn after_a_start_of_the_machine_every_version_is_on_the_disk_again() {
    let (_held, place) = place();
    put(&place.upper(), b"a", &file("one"));
    place.commit(1).unwrap();
    put(&place.upper(), b"b", &file("two"));
    place.commit(2).unwrap();
    // What a machine may lose that was not synced.
    fs::write(place.live().join("a"), "").unwrap();
    fs::remove_file(place.live().join("b")).unwrap();
    assert_eq!(place.open("boot").settle().unwrap(), 2);
    assert_eq!(read(&place.live())[&b"a".to_vec()], file(""));
    assert_eq!(place.open("another boot").settle().unwrap(), 2);
    let want: Tree = [(b"a".to_vec(), file("one")), (b"b".to_vec(), file("two"))].into();
    assert_eq!(read(&place.live()), want);
}

#[test]
fn contents_are_kept_once_and_go_when_no_version_refers_to_them() {
    let (_held, place) = place();
    for act in 1..=2 {
        put(
            &place.upper(),
            format!("f{act}").as_bytes(),
            &file("the same"),
        );
        place.commit(act).unwrap();
    }
    let count = || {
        fs::read_dir(place.base.join("store/blobs"))
            .unwrap()
            .count()
    };
    assert_eq!(count(), 1);
    let store = place.fd("store");
    assert_eq!(collect(store.as_fd()).unwrap().contents, 0);
    forget(store.as_fd(), &AGENT).unwrap();
    let done = collect(store.as_fd()).unwrap();
    assert_eq!((done.contents, done.bytes, count()), (1, 8, 0));
}

#[test]
fn one_file_is_written_as_a_version_with_the_directories_it_needs() {
    let (_held, place) = place();
    let mut space = place.open("boot");
    let done = space
        .commit_file(b"a/b/c", b"data", 0o640, &meta(1), &QUOTA)
        .unwrap();
    assert_eq!(done.changes.len(), 3);
    assert_eq!(
        read(&place.live())[&b"a/b/c".to_vec()],
        Node::File(0o640, b"data".to_vec())
    );
    assert_eq!(space.version_of(&[1; 32]).unwrap(), Some(1));
    assert_eq!(space.version_of(&[2; 32]).unwrap(), None);
    for path in [&b"../x"[..], b"/x", b"a//b", b"", b"a/b"] {
        let refused = space
            .commit_file(path, b"", 0o644, &meta(2), &QUOTA)
            .unwrap_err();
        assert_eq!(refused.kind, Kind::Malformed);
    }
    space.undo(1, &meta(3)).unwrap();
    assert!(read(&place.live()).is_empty());
}

#[test]
fn the_oldest_versions_go_and_what_they_alone_referred_to_with_them() {
    let (_held, place) = place();
    let mut space = place.open("boot");
    let commit = |space: &mut queenright_host::workspace::Space, data: &[u8], act: u8| {
        space
            .commit_file(b"f", data, 0o644, &meta(act), &QUOTA)
            .unwrap()
            .version
    };
    commit(&mut space, b"only at first", 1);
    for number in 2..=1_099 {
        commit(
            &mut space,
            if number % 2 == 0 { b"even" } else { b"odd" },
            number as u8,
        );
    }
    assert_eq!(space.changes(1).unwrap().len(), 1);
    assert_eq!(commit(&mut space, b"even", 0), 1_100);
    assert_eq!(space.changes(100).unwrap_err().kind, Kind::Unknown);
    assert_eq!(space.log(5_000).unwrap().len(), 1_000);
    assert_eq!(space.would_restore(99).unwrap_err().kind, Kind::Unknown);
    assert_eq!(space.read(b"f", 101, 9).unwrap(), b"odd");
    drop(space);
    let store = place.fd("store");
    assert_eq!(collect(store.as_fd()).unwrap().contents, 1);
    // And the workspace is whole after a start of the machine, from the versions that are left.
    assert_eq!(place.open("another boot").settle().unwrap(), 1_100);
    assert_eq!(fs::read(place.live().join("f")).unwrap(), b"even");
}

fn tree() -> impl Strategy<Value = Tree> {
    let node = prop_oneof![
        Just(Node::Directory(0o755)),
        prop::sample::select(vec!["", "one", "two"])
            .prop_map(|text| Node::File(0o644, text.into())),
        Just(Node::File(0o700, b"run".to_vec())),
        Just(Node::Link(b"../away".to_vec())),
    ];
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "a-b"]), 1..4);
    prop::collection::btree_map(path, node, 0..10).prop_map(|rows| {
        let mut tree = Tree::new();
        for (path, node) in rows {
            let full = path.join("/").into_bytes();
            let fits = (1..path.len()).all(|depth| {
                let above = path[..depth].join("/").into_bytes();
                matches!(
                    tree.entry(above).or_insert(Node::Directory(0o755)),
                    Node::Directory(_)
                )
            });
            if fits {
                tree.entry(full).or_insert(node);
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_a_command_left_is_what_the_workspace_is_and_undo_puts_it_back(trees in prop::collection::vec(tree(), 2..5)) {
        let (_held, place) = place();
        for (path, node) in &trees[0] {
            put(&place.live(), path, node);
        }
        let mut versions = vec![0];
        for (number, pair) in trees.windows(2).enumerate() {
            overlay(&place.upper(), &pair[0], &pair[1]);
            let done = place.commit(number as u8 + 1).unwrap();
            prop_assert_eq!(&read(&place.live()), &pair[1]);
            prop_assert_eq!(done.changes.is_empty(), pair[0] == pair[1]);
            versions.push(done.version);
        }
        place.open("another boot").settle().unwrap();
        prop_assert_eq!(&read(&place.live()), &trees[trees.len() - 1]);
        let newest = versions[versions.len() - 1];
        for number in (1..=newest).rev() {
            place.open("another boot").undo(number, &meta(99)).unwrap();
        }
        prop_assert_eq!(&read(&place.live()), &trees[0]);
        for (version, tree) in versions.iter().zip(&trees) {
            place.open("another boot").restore(*version, &meta(98)).unwrap();
            prop_assert_eq!(&read(&place.live()), tree);
        }
    }
}
