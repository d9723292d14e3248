//! What any engine behind `Store` must do. Another engine adds one line at the end.
#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, thread};

use queenright_host::{Error, Receipt, Record, SqliteStore, Store};

fn put(table: &str, key: &[u8], value: &[u8]) -> Record {
    Record::Put {
        table: table.into(),
        key: key.into(),
        value: value.into(),
    }
}

fn insert(key: &[u8], value: &[u8]) -> Record {
    Record::Insert {
        table: "t".into(),
        key: key.into(),
        value: value.into(),
    }
}

fn expect(key: &[u8], value: Option<&[u8]>) -> Record {
    Record::Expect {
        table: "t".into(),
        key: key.into(),
        value: value.map(Into::into),
    }
}

fn spend(nonce: &[u8]) -> Record {
    Record::Spend {
        scope: "verdict".into(),
        nonce: nonce.into(),
    }
}

fn add(delta: i64, maximum: u64) -> Record {
    Record::Count {
        table: "budget".into(),
        key: b"b".to_vec(),
        delta,
        maximum,
    }
}

fn leaf(data: &[u8]) -> Record {
    Record::Leaf { data: data.into() }
}

fn refused(result: Result<Receipt, Error>) -> (usize, &'static str) {
    match result {
        Err(Error::Refused { index, reason }) => (index, reason),
        other => panic!("not refused: {other:?}"),
    }
}

type Open<S> = fn(&Path) -> Result<S, Error>;

fn refuses_each_condition_and_leaves_nothing<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    store
        .submit(&[put("t", b"a", b"1"), spend(b"n"), add(2, 2)])
        .unwrap();
    let cases: [(Record, &str); 8] = [
        (insert(b"a", b"2"), "exists"),
        (expect(b"a", Some(b"2")), "unexpected"),
        (expect(b"a", None), "unexpected"),
        (expect(b"absent", Some(b"")), "unexpected"),
        (spend(b"n"), "spent"),
        (add(1, 2), "above_maximum"),
        (add(-3, 2), "below_zero"),
        (
            Record::Count {
                table: "t".into(),
                key: b"a".to_vec(),
                delta: 1,
                maximum: 9,
            },
            "not_a_counter",
        ),
    ];
    for (bad, reason) in cases {
        let undone = [put("t", b"new", b"x"), leaf(b"never"), spend(b"other"), bad];
        assert_eq!(refused(store.submit(&undone)), (3, reason));
        assert_eq!(store.get("t", b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(store.get("t", b"new").unwrap(), None);
        assert_eq!(store.leaf_count().unwrap(), 0);
    }
    store
        .submit(&[spend(b"other"), add(-2, 2), add(2, 2)])
        .unwrap();
}

fn records_see_those_before_them<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    store
        .submit(&[
            put("t", b"a", b"1"),
            expect(b"a", Some(b"1")),
            put("t", b"a", b""),
            expect(b"a", Some(b"")),
        ])
        .unwrap();
    let gone = Record::Delete {
        table: "t".into(),
        key: b"a".to_vec(),
    };
    store
        .submit(&[
            gone.clone(),
            expect(b"a", None),
            insert(b"a", b"2"),
            gone.clone(),
            gone,
        ])
        .unwrap();
    assert_eq!(store.get("t", b"a").unwrap(), None);
    assert_eq!(
        refused(store.submit(&[spend(b"n"), spend(b"n")])),
        (1, "spent")
    );
    store.submit(&[spend(b"n")]).unwrap();
}

fn numbers_leaves_without_gaps<S: Store>(open: Open<S>, at: &Path) {
    {
        let store = open(at).unwrap();
        assert_eq!(
            store.submit(&[]).unwrap(),
            Receipt {
                first_leaf: 0,
                leaves: 0
            }
        );
        assert_eq!(
            store
                .submit(&[leaf(b"0"), put("t", b"k", b""), leaf(b"1")])
                .unwrap(),
            Receipt {
                first_leaf: 0,
                leaves: 2
            }
        );
        refused(store.submit(&[leaf(b"no"), expect(b"k", None)]));
        assert_eq!(
            store.submit(&[leaf(b"2")]).unwrap(),
            Receipt {
                first_leaf: 2,
                leaves: 1
            }
        );
        store.drop_leaves_below(3).unwrap();
        store.drop_leaves_below(1).unwrap();
        assert!(matches!(
            store.drop_leaves_below(4),
            Err(Error::Malformed(_))
        ));
        store.close().unwrap();
        store.close().unwrap();
        assert!(matches!(store.leaf_count(), Err(Error::Closed)));
    }
    let store = open(at).unwrap();
    assert_eq!(store.leaf_count().unwrap(), 3);
    assert_eq!(
        store.submit(&[leaf(b"3"), leaf(b"4")]).unwrap(),
        Receipt {
            first_leaf: 3,
            leaves: 2
        }
    );
    assert!(matches!(store.leaves(2, 9), Err(Error::Malformed(_))));
    assert_eq!(
        store.leaves(3, 9).unwrap(),
        vec![b"3".to_vec(), b"4".to_vec()]
    );
    assert_eq!(store.leaves(3, 1).unwrap(), vec![b"3".to_vec()]);
    assert_eq!(store.leaves(5, 9).unwrap(), Vec::<Vec<u8>>::new());
}

fn scans_in_key_order<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    let keys: [&[u8]; 7] = [
        b"",
        b"a",
        b"a\x00",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"\xff\xff",
    ];
    for key in keys.iter().rev() {
        store
            .submit(&[put("t", key, key), put("other", key, b"no")])
            .unwrap();
    }
    let found = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        store
            .scan("t", prefix, after, limit)
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    assert_eq!(found(b"", None, None), keys.map(<[u8]>::to_vec));
    assert_eq!(
        found(b"a", None, None),
        keys[1..5].iter().map(|k| k.to_vec()).collect::<Vec<_>>()
    );
    assert_eq!(
        found(b"a", Some(b"a\x00"), Some(1)),
        vec![b"a\xff".to_vec()]
    );
    assert_eq!(found(b"a", Some(b""), Some(1)), vec![b"a".to_vec()]);
    assert_eq!(found(b"a", Some(b"b"), None), Vec::<Vec<u8>>::new());
    assert_eq!(found(b"\xff", None, None), vec![b"\xff\xff".to_vec()]);
    assert_eq!(found(b"", None, Some(0)), Vec::<Vec<u8>>::new());
    assert_eq!(
        (
            store.count("t", b"a").unwrap(),
            store.count("t", b"").unwrap(),
            store.count("u", b"").unwrap()
        ),
        (4, 7, 0)
    );
}

fn a_counter_is_exact_under_threads<S: Store + 'static>(open: Open<S>, at: &Path) {
    let store = Arc::new(open(at).unwrap());
    let tries = |store: Arc<S>| {
        move || {
            (0..40)
                .filter(|_| store.submit(&[add(1, 50), leaf(b"spent")]).is_ok())
                .count()
        }
    };
    let threads: Vec<_> = (0..8)
        .map(|_| thread::spawn(tries(Arc::clone(&store))))
        .collect();
    let allowed: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!((allowed, store.leaf_count().unwrap()), (50, 50));
    assert_eq!(
        store.get("budget", b"b").unwrap().unwrap(),
        50u64.to_be_bytes()
    );
}

fn refuses_what_is_out_of_bounds<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    let long = vec![0; 1025];
    let records = [
        put("", b"k", b""),
        put("UPPER", b"k", b""),
        put("t'; drop", b"k", b""),
        put(&"t".repeat(65), b"k", b""),
        put("t", &long, b""),
        put("t", b"k", &vec![0; (16 << 20) + 1]),
        leaf(b""),
        leaf(&vec![0; 65_536]),
        spend(b""),
        Record::Spend {
            scope: "sc\u{f6}pe".into(),
            nonce: b"n".to_vec(),
        },
    ];
    for record in records {
        let result = store.submit(&[put("t", b"good", b""), record.clone()]);
        assert!(matches!(result, Err(Error::Malformed(_))), "{record:?}");
    }
    assert!(matches!(
        store.submit(&vec![leaf(b"x"); 100_001]),
        Err(Error::Malformed(_))
    ));
    assert!(matches!(store.get("BAD", b""), Err(Error::Malformed(_))));
    assert_eq!(store.count("t", b"").unwrap(), 0);
}

fn is_held_by_one_and_private<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    match open(at) {
        Err(Error::InUse(why)) => assert!(why.contains(&std::process::id().to_string()), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two at once"),
    }
    store.submit(&[put("t", b"k", b"v")]).unwrap();
    for entry in fs::read_dir(at).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{:?}",
            entry.path()
        );
    }
    drop(store);
    open(at).unwrap().close().unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(open(at), Err(Error::Io(why)) if why.contains("chmod 700")));
}

fn a_backup_is_whole_and_private<S: Store>(open: Open<S>, at: &Path) {
    let store = open(at).unwrap();
    store
        .submit(&[put("t", b"k", b"v"), leaf(b"0"), spend(b"n"), add(1, 2)])
        .unwrap();
    let copy = at.join("copy");
    fs::create_dir(&copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    store.backup(&copy.join("state.db")).unwrap();
    assert!(
        store.backup(&copy.join("state.db")).is_err(),
        "a backup is never overwritten"
    );
    store.submit(&[put("t", b"k", b"later")]).unwrap();
    assert_eq!(
        fs::metadata(copy.join("state.db"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let second = open(&copy).unwrap();
    assert_eq!(second.get("t", b"k").unwrap().unwrap(), b"v");
    assert_eq!(refused(second.submit(&[spend(b"n")])).1, "spent");
    assert_eq!(refused(second.submit(&[add(2, 2)])).1, "above_maximum");
    assert_eq!(second.submit(&[leaf(b"1")]).unwrap().first_leaf, 1);
}

macro_rules! conformance {
    ($engine:ident, $open:expr, $($promise:ident),+ $(,)?) => {
        mod $engine {
            $(#[test]
            fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                super::$promise($open, &directory.path().join("state"));
            })+
        }
    };
}

conformance!(
    sqlite,
    super::SqliteStore::open,
    refuses_each_condition_and_leaves_nothing,
    records_see_those_before_them,
    numbers_leaves_without_gaps,
    scans_in_key_order,
    a_counter_is_exact_under_threads,
    refuses_what_is_out_of_bounds,
    is_held_by_one_and_private,
    a_backup_is_whole_and_private,
);
