//! SIGKILL between any two steps of a commit leaves version N or version N+1, whole.
#![allow(clippy::unwrap_used)]

mod spaces;

use std::env;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, getpid, kill_process};
use spaces::{Node, Place, QUOTA, Tree, meta, overlay, put, read};

const PLACE: &str = "QUEENRIGHT_SPACE_KILL";
const STEP: &str = "QUEENRIGHT_SPACE_STEP";
const WHAT: &str = "QUEENRIGHT_SPACE_WHAT";

fn trees() -> (Tree, Tree) {
    let file = |text: &str| Node::File(0o644, text.into());
    let tree = |rows: &[(&str, Node)]| -> Tree {
        rows.iter()
            .map(|(path, node)| (path.as_bytes().to_vec(), node.clone()))
            .collect()
    };
    let before = tree(&[
        ("changed", file("before")),
        ("becomes-a-directory", file("x")),
        ("becomes-a-file", Node::Directory(0o755)),
        ("becomes-a-file/deep", Node::Directory(0o755)),
        ("becomes-a-file/deep/er", file("y")),
        ("gone", Node::Directory(0o700)),
        ("gone/a", file("a")),
        ("gone/link", Node::Link(b"a".to_vec())),
        ("mode", file("same")),
    ]);
    let after = tree(&[
        ("changed", file("after")),
        ("becomes-a-directory", Node::Directory(0o755)),
        ("becomes-a-directory/in", file("in")),
        ("becomes-a-file", file("a file")),
        ("mode", Node::File(0o755, b"same".to_vec())),
        ("new", Node::Directory(0o711)),
        ("new/link", Node::Link(b"../changed".to_vec())),
    ]);
    (before, after)
}

/// Not a test of its own: the process that ends itself after the given number of steps.
#[test]
fn child_that_ends_itself() {
    let Some(base) = env::var_os(PLACE) else {
        return;
    };
    let mut left: u32 = env::var(STEP).unwrap().parse().unwrap();
    let place = Place { base: base.into() };
    let mut space = place.open("boot").watched(Box::new(move |_| {
        if left == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        left -= 1;
    }));
    let upper = place.fd("upper");
    match env::var(WHAT).unwrap().as_str() {
        "commit" => space
            .commit_upper(upper.as_fd(), &meta(1), &QUOTA)
            .map(drop),
        "undo" => space.undo(1, &meta(2)).map(drop),
        _ => space.settle().map(drop),
    }
    .unwrap();
}

/// Runs it in a process that dies after `step` steps; whether it came to its end instead.
fn ends(base: &Path, what: &str, step: u32) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["child_that_ends_itself", "--exact"])
        .env(PLACE, base)
        .env(STEP, step.to_string())
        .env(WHAT, what)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(
        status.success() || status.signal() == Some(Signal::KILL.as_raw()),
        "{status}"
    );
    status.success()
}

fn every_step(what: &str, from: &Tree, to: &Tree, prepare: impl Fn(&Place)) {
    let (mut stayed, mut moved) = (0, 0);
    for step in 0.. {
        let held = tempfile::tempdir().unwrap();
        let place = Place::make(held.path());
        prepare(&place);
        let head = place.open("boot").head().unwrap();
        let done = ends(held.path(), what, step);
        if !done {
            // A second death, while the first is being made good.
            ends(held.path(), "settle", step % 3);
        }
        let now = place.open("boot").settle().unwrap();
        let live = read(&place.live());
        match now - head {
            0 => assert_eq!(&live, from, "step {step}"),
            1 => assert_eq!(&live, to, "step {step}"),
            other => panic!("{other} versions at once"),
        }
        if done {
            assert_eq!(now, head + 1);
            break;
        }
        if now == head {
            stayed += 1;
            // And the same action can be done again.
            assert!(ends(held.path(), what, u32::MAX), "step {step}");
            assert_eq!(&read(&place.live()), to);
        } else {
            moved += 1;
        }
    }
    assert!(moved > 5, "{stayed} {moved}");
    assert!(stayed > 0, "{stayed} {moved}");
}

#[test]
fn a_kill_between_any_two_steps_of_a_commit_leaves_a_whole_version() {
    let (before, after) = trees();
    every_step("commit", &before, &after, |place| {
        for (path, node) in &before {
            put(&place.live(), path, node);
        }
        overlay(&place.upper(), &before, &after);
    });
}

#[test]
fn a_kill_between_any_two_steps_of_an_undo_leaves_a_whole_version() {
    let (before, after) = trees();
    every_step("undo", &after, &before, |place| {
        for (path, node) in &before {
            put(&place.live(), path, node);
        }
        overlay(&place.upper(), &before, &after);
        place.commit(1).unwrap();
    });
}
