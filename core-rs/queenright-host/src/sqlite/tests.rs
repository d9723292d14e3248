//! What only the inside can be asked: full disks, failed commits, settings.
use rusqlite::Connection;

use super::{
    open::{FILE, OLDEST_SQLITE},
    *,
};

fn store(directory: &Path) -> SqliteStore {
    SqliteStore::open(&directory.join("state")).unwrap()
}

fn put(key: &str, size: usize) -> Record {
    Record::Put {
        table: "t".into(),
        key: key.into(),
        value: vec![7; size],
    }
}

fn raw(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("state").join(FILE)).unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    connection
}

fn on<T>(store: &SqliteStore, act: impl FnOnce(&mut Connection) -> T) -> T {
    act(&mut store.inner.lock().unwrap().as_mut().unwrap().connection)
}

#[test]
fn a_full_disk_is_named_leaves_nothing_half_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    store.submit(&[put("before", 10)]).unwrap();
    let pages: i64 = on(&store, |c| {
        c.pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap()
    });
    on(&store, |c| {
        c.pragma_update(None, "max_page_count", pages + 4).unwrap()
    });
    let leaf = Record::Leaf {
        data: b"leaf".to_vec(),
    };
    let result = store.submit(&[put("small", 10), leaf.clone(), put("large", 1 << 20)]);
    assert!(matches!(result, Err(Error::Full(_))), "{result:?}");
    assert_eq!(store.count("t", b"").unwrap(), 1);
    assert_eq!(store.leaf_count().unwrap(), 0);
    // What fits still goes: a revocation is a small record.
    assert_eq!(
        store.submit(&[put("small", 10), leaf]).unwrap().first_leaf,
        0
    );
    on(&store, |c| {
        c.pragma_update(None, "max_page_count", 1 << 20).unwrap()
    });
    store.submit(&[put("large", 1 << 20)]).unwrap();
}

#[test]
fn after_a_failed_commit_nothing_is_accepted_until_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    store.submit(&[put("before", 10)]).unwrap();
    on(&store, |c| c.commit_hook(Some(|| true)).unwrap());
    let first = store.submit(&[put("lost", 10)]);
    assert!(matches!(first, Err(Error::Failed(_))), "{first:?}");
    on(&store, |c| c.commit_hook(None::<fn() -> bool>).unwrap());
    assert!(matches!(
        store.submit(&[put("later", 10)]),
        Err(Error::Failed(_))
    ));
    assert!(matches!(store.get("t", b"before"), Err(Error::Failed(_))));
    assert!(matches!(store.submit(&[]), Err(Error::Failed(_))));
    store.close().unwrap();
    let again = self::store(directory.path());
    assert_eq!(again.count("t", b"").unwrap(), 1);
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    store(directory.path()).close().unwrap();
    raw(directory.path())
        .pragma_update(None, "user_version", 7)
        .unwrap();
    let error = SqliteStore::open(&directory.path().join("state"))
        .err()
        .unwrap();
    assert!(matches!(
        error,
        Error::TooNew {
            found: 7,
            known: FORMAT
        }
    ));
    assert!(error.to_string().contains('7') && error.to_string().contains('1'));
}

#[test]
fn another_database_is_not_taken_for_a_store() {
    let directory = tempfile::tempdir().unwrap();
    store(directory.path()).close().unwrap();
    raw(directory.path())
        .pragma_update(None, "application_id", 1)
        .unwrap();
    assert!(matches!(
        SqliteStore::open(&directory.path().join("state")),
        Err(Error::Broken(_))
    ));
    std::fs::write(
        directory.path().join("state").join(FILE),
        b"not a database at all, but long enough".repeat(30),
    )
    .unwrap();
    assert!(matches!(
        SqliteStore::open(&directory.path().join("state")),
        Err(Error::Broken(_))
    ));
}

#[test]
fn it_runs_with_the_settings_its_promises_need() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let ask = |name: &str| {
        on(&store, |c| {
            c.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .unwrap()
        })
    };
    assert_eq!((ask("synchronous"), ask("secure_delete")), (2, 1));
    let mode: String = on(&store, |c| {
        c.pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap()
    });
    assert_eq!(mode, "wal");
    assert!(rusqlite::version_number() >= OLDEST_SQLITE);
    require_sqlite().unwrap();
    // No shared index: a second connection, in this process or another, has no way in.
    store.submit(&[put("k", 1)]).unwrap();
    assert!(!directory.path().join("state").join("state.db-shm").exists());
    assert!(
        raw(directory.path())
            .query_row("SELECT count(*) FROM row", [], |row| row.get::<_, i64>(0))
            .is_err()
    );
}

#[test]
fn a_symlink_is_not_followed_to_a_database_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    store(directory.path()).close().unwrap();
    let file = directory.path().join("state").join(FILE);
    std::fs::rename(&file, directory.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &file).unwrap();
    assert!(SqliteStore::open(&directory.path().join("state")).is_err());
}
