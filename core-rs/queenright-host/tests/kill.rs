//! SIGKILL at any instant loses nothing acknowledged and leaves nothing half done.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use queenright_host::{Record, SqliteStore, Store};

const DIRECTORY: &str = "QUEENRIGHT_KILL_TEST";
const ROUNDS: u64 = 12;

fn submission(number: u64) -> [Record; 4] {
    let key = number.to_be_bytes().to_vec();
    [
        Record::Insert {
            table: "done".into(),
            key: key.clone(),
            value: vec![number as u8; 3000],
        },
        Record::Count {
            table: "sum".into(),
            key: b"n".to_vec(),
            delta: 1,
            maximum: u64::MAX,
        },
        Record::Spend {
            scope: "nonce".into(),
            nonce: key.clone(),
        },
        Record::Leaf { data: key },
    ]
}

/// Not a test of its own: the process that is killed. It writes until then and says what was acknowledged.
#[test]
fn child_that_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&directory)).unwrap();
    let mut out = std::io::stdout();
    for number in store.leaf_count().unwrap().. {
        store.submit(&submission(number)).unwrap();
        writeln!(out, "ack {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_loses_nothing_acknowledged_and_leaves_no_half() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child_that_is_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Different depths, so that the kill falls before, in and after checkpoints of the write-ahead log.
        let wanted = acknowledged + 1 + round * round * 3;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The harness writes its own words on the same line.
            let Some((_, number)) = line.rsplit_once("ack ") else {
                continue;
            };
            acknowledged = number.parse::<u64>().unwrap() + 1;
            if acknowledged == wanted {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        let store = SqliteStore::open(&path).unwrap();
        let stands = store.leaf_count().unwrap();
        // One more may stand than was acknowledged: the kill fell between the commit and its word.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&stands),
            "{stands} stand, {acknowledged} acknowledged"
        );
        assert_eq!(store.count("done", b"").unwrap(), stands);
        assert_eq!(
            store.get("sum", b"n").unwrap().unwrap(),
            stands.to_be_bytes()
        );
        for number in 0..stands {
            let row = store.get("done", &number.to_be_bytes()).unwrap().unwrap();
            assert_eq!(row, vec![number as u8; 3000]);
        }
        // Its nonce, row and leaf stand or fall together: whatever half was there would refuse this.
        store.submit(&submission(stands)).unwrap();
        acknowledged = stands + 1;
        drop(store);
    }
    assert!(acknowledged > ROUNDS);
}
