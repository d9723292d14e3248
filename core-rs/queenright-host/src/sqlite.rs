//! The embedded engine: one SQLite connection, alone on its files.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, MutexGuard},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ffi, params};

use crate::{
    directory::Directory,
    error::Error,
    record::{Record, check, check_name},
    store::{Receipt, Store},
};

/// The layout this version writes. It only ever rises.
pub const FORMAT: i64 = 1;
/// "QRst": tells our files from any other database.
const APPLICATION: i64 = 0x5152_7374;
/// Below this a WAL reset can lose committed writes (sqlite.org/wal.html#walresetbug).
const OLDEST_SQLITE: i32 = 3_051_003;
const FILE: &str = "state.db";
/// A scan with no limit of its own still ends; callers page with `after`.
const MAX_SCAN: u64 = 1_000_000;

const SCHEMA: &str = "
CREATE TABLE row (tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key)) STRICT, WITHOUT ROWID;
CREATE TABLE leaf (idx INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE spent (scope TEXT NOT NULL, nonce BLOB NOT NULL, PRIMARY KEY (scope, nonce)) STRICT, WITHOUT ROWID;
CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO mark (name, value) VALUES ('next_leaf', 0), ('first_leaf', 0);
";

/// Refuses a library that is known to lose what it acknowledged.
pub fn require_sqlite() -> Result<(), Error> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(Error::Library(format!(
            "sqlite {} can lose committed writes; 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    Ok(())
}

struct Inner {
    connection: Connection,
    next_leaf: u64,
    /// Why nothing more is accepted.
    failed: Option<String>,
    // After the connection, so that the lock goes last.
    _directory: Directory,
}

/// A `Store` in one directory of this machine.
pub struct SqliteStore {
    inner: Mutex<Option<Inner>>,
}

impl SqliteStore {
    /// Opens or makes the store in `path` and holds the directory until it is closed or dropped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        require_sqlite()?;
        let directory = Directory::hold(path)?;
        directory.create_private(FILE)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection =
            Connection::open_with_flags(directory.join(FILE), flags).map_err(opening)?;
        let found = check_format(&connection)?;
        configure(&connection)?;
        if found == 0 {
            connection
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE;{SCHEMA}PRAGMA application_id={APPLICATION};PRAGMA user_version={FORMAT};COMMIT;"
                ))
                .map_err(opening)?;
            directory.sync()?;
        }
        let next_leaf = mark(&connection, "next_leaf").map_err(opening)?;
        let inner = Inner {
            connection,
            next_leaf,
            failed: None,
            _directory: directory,
        };
        Ok(Self {
            inner: Mutex::new(Some(inner)),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> Result<T, Error>) -> Result<T, Error> {
        let mut guard = self.lock();
        let inner = guard.as_mut().ok_or(Error::Closed)?;
        if let Some(why) = &inner.failed {
            return Err(Error::Failed(why.clone()));
        }
        let result = act(inner);
        if let Err(Error::Failed(why) | Error::Broken(why)) = &result {
            inner.failed.get_or_insert_with(|| why.clone());
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inner>> {
        // A panic under the lock leaves an open transaction; what it holds cannot be trusted any more.
        self.inner.lock().unwrap_or_else(|poisoned| {
            let mut guard = poisoned.into_inner();
            if let Some(inner) = guard.as_mut() {
                inner
                    .failed
                    .get_or_insert_with(|| "a thread died in a submission".into());
            }
            guard
        })
    }
}

fn check_format(connection: &Connection) -> Result<i64, Error> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(opening)
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if version > FORMAT {
        return Err(Error::TooNew {
            found: version,
            known: FORMAT,
        });
    }
    if version == 0 && application == 0 {
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(opening)?;
        if tables == 0 {
            return Ok(0);
        }
    }
    if application != APPLICATION || version < 1 {
        return Err(Error::Broken(format!(
            "{FILE} is a database, but not one of queenright's"
        )));
    }
    Ok(version)
}

fn configure(connection: &Connection) -> Result<(), Error> {
    let set = |name: &str, value: &str, want: &str| {
        let got: String = connection
            .pragma_update_and_check(None, name, value, |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    other => other.as_str()?.to_owned(),
                })
            })
            .map_err(opening)?;
        if got == want {
            return Ok(());
        }
        Err(Error::Io(format!(
            "sqlite refused {name}={value}: it stays {got}"
        )))
    };
    // Before WAL, so that the index of the log lives in our memory and no second connection can exist.
    set("locking_mode", "EXCLUSIVE", "exclusive")?;
    set("secure_delete", "ON", "1")?;
    set("journal_mode", "WAL", "wal")?;
    connection
        .execute_batch("PRAGMA synchronous=FULL;PRAGMA trusted_schema=OFF;PRAGMA temp_store=MEMORY;PRAGMA cell_size_check=ON;")
        .map_err(opening)?;
    let level: i64 = connection
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .map_err(opening)?;
    if level != 2 {
        return Err(Error::Io(format!(
            "sqlite refused synchronous=FULL: it stays {level}"
        )));
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn mark(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let value: i64 = connection
        .prepare_cached("SELECT value FROM mark WHERE name=?1")?
        .query_row([name], |row| row.get(0))?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}

/// A statement's failure inside a submission, before its commit: what it means, once the submission is rolled back.
fn reading(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Broken(error.to_string())
        }
        _ => Error::Failed(error.to_string()),
    }
}

fn opening(error: rusqlite::Error) -> Error {
    match reading(error) {
        Error::Failed(why) => Error::Io(format!("open {FILE}: {why}")),
        other => other,
    }
}

fn apply(
    connection: &Connection,
    next_leaf: &mut u64,
    record: &Record,
) -> Result<Option<&'static str>, rusqlite::Error> {
    match record {
        Record::Put { table, key, value } => {
            connection
                .prepare_cached("INSERT INTO row (tbl, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value=?3")?
                .execute(params![table, key, value])?;
        }
        Record::Insert { table, key, value } => {
            let added = connection
                .prepare_cached(
                    "INSERT INTO row (tbl, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![table, key, value])?;
            return Ok((added == 0).then_some("exists"));
        }
        Record::Delete { table, key } => {
            connection
                .prepare_cached("DELETE FROM row WHERE tbl=?1 AND key=?2")?
                .execute(params![table, key])?;
        }
        Record::Expect { table, key, value } => {
            return Ok((read(connection, table, key)? != *value).then_some("unexpected"));
        }
        Record::Leaf { data } => {
            connection
                .prepare_cached("INSERT INTO leaf (idx, data) VALUES (?1, ?2)")?
                .execute(params![signed(*next_leaf)?, data])?;
            *next_leaf += 1;
        }
        Record::Spend { scope, nonce } => {
            let added = connection
                .prepare_cached(
                    "INSERT INTO spent (scope, nonce) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                )?
                .execute(params![scope, nonce])?;
            return Ok((added == 0).then_some("spent"));
        }
        Record::Count {
            table,
            key,
            delta,
            maximum,
        } => {
            let now = match read(connection, table, key)? {
                None => 0,
                Some(bytes) => match <[u8; 8]>::try_from(bytes) {
                    Ok(bytes) => u64::from_be_bytes(bytes),
                    Err(_) => return Ok(Some("not_a_counter")),
                },
            };
            let next = i128::from(now) + i128::from(*delta);
            let Ok(next) = u64::try_from(next) else {
                return Ok(Some(if next < 0 {
                    "below_zero"
                } else {
                    "above_maximum"
                }));
            };
            // Counting down is always let through: a maximum that was lowered must not hold what is given back.
            if *delta > 0 && next > *maximum {
                return Ok(Some("above_maximum"));
            }
            connection
                .prepare_cached("INSERT INTO row (tbl, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value=?3")?
                .execute(params![table, key, next.to_be_bytes()])?;
        }
    }
    Ok(None)
}

fn read(connection: &Connection, table: &str, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM row WHERE tbl=?1 AND key=?2")?
        .query_row(params![table, key], |row| row.get(0))
        .optional()
}

fn signed(index: u64) -> rusqlite::Result<i64> {
    i64::try_from(index).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))
}

/// The least key above every key that starts with `prefix`; None when there is none.
fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut bound = prefix[..=last].to_vec();
    bound[last] += 1;
    Some(bound)
}

impl Inner {
    fn submit(&mut self, records: &[Record]) -> Result<Receipt, Error> {
        let first_leaf = self.next_leaf;
        if records.is_empty() {
            return Ok(Receipt {
                first_leaf,
                leaves: 0,
            });
        }
        let mut next_leaf = first_leaf;
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(reading)?;
        match self.write(records, &mut next_leaf) {
            Ok(()) => {}
            Err(error) => {
                self.roll_back()?;
                return Err(error);
            }
        }
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            return Err(self.commit_failed(&error));
        }
        self.next_leaf = next_leaf;
        Ok(Receipt {
            first_leaf,
            leaves: next_leaf - first_leaf,
        })
    }

    fn write(&self, records: &[Record], next_leaf: &mut u64) -> Result<(), Error> {
        let first = *next_leaf;
        for (index, record) in records.iter().enumerate() {
            if let Some(reason) = apply(&self.connection, next_leaf, record).map_err(reading)? {
                return Err(Error::Refused { index, reason });
            }
        }
        if *next_leaf != first {
            self.set_mark("next_leaf", *next_leaf)?;
        }
        Ok(())
    }

    fn set_mark(&self, name: &str, value: u64) -> Result<(), Error> {
        let value = signed(value).map_err(reading)?;
        self.connection
            .prepare_cached("UPDATE mark SET value=?2 WHERE name=?1")
            .and_then(|mut statement| statement.execute(params![name, value]))
            .map_err(reading)?;
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Error> {
        // Some failures roll back by themselves; then there is nothing left to do.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Err(self.fail(format!("rollback: {error}")));
        }
        Ok(())
    }

    /// A full disk stops the write of the frame that would have committed, so the submission certainly does not
    /// stand. Any other failed commit may or may not be on the disk: after a failed fsync the kernel forgets the
    /// dirty pages and a second try would lie, so nothing is tried again.
    fn commit_failed(&mut self, error: &rusqlite::Error) -> Error {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) && self.roll_back().is_ok() {
            return Error::Full(error.to_string());
        }
        let why = match error.sqlite_error().map(|e| e.extended_code) {
            Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => {
                format!("fsync: {error}")
            }
            _ => format!("commit: {error}"),
        };
        self.fail(why)
    }

    fn fail(&mut self, why: String) -> Error {
        self.failed = Some(why.clone());
        Error::Failed(why)
    }
}

impl Store for SqliteStore {
    fn submit(&self, records: &[Record]) -> Result<Receipt, Error> {
        check(records)?;
        self.with(|inner| inner.submit(records))
    }

    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        check_name(table)?;
        self.with(|inner| read(&inner.connection, table, key).map_err(reading))
    }

    fn scan(
        &self,
        table: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: Option<u64>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        check_name(table)?;
        // An unlimited scan that would be cut says so: a caller must never take part of a table for the whole.
        let most = limit.unwrap_or(MAX_SCAN + 1).min(MAX_SCAN + 1);
        let rows = self.with(|inner| {
            let mut statement = inner
                .connection
                .prepare_cached(
                    "SELECT key, value FROM row WHERE tbl=?1 AND key>=?2 AND (?3 IS NULL OR key<?3) \
                     AND (?4 IS NULL OR key>?4) ORDER BY key LIMIT ?5",
                )
                .map_err(reading)?;
            let most = signed(most).map_err(reading)?;
            // Starting at `after` keeps a page's cost its own; the index would else be walked from the prefix.
            let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
            statement
                .query_map(params![table, from, above(prefix), after, most], |row| Ok((row.get(0)?, row.get(1)?)))
                .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
                .map_err(reading)
        })?;
        if rows.len() as u64 > MAX_SCAN {
            return Err(Error::Malformed(format!(
                "a scan of {table} past {MAX_SCAN} rows; give a limit and page with after"
            )));
        }
        Ok(rows)
    }

    fn count(&self, table: &str, prefix: &[u8]) -> Result<u64, Error> {
        check_name(table)?;
        self.with(|inner| {
            inner
                .connection
                .prepare_cached(
                    "SELECT count(*) FROM row WHERE tbl=?1 AND key>=?2 AND (?3 IS NULL OR key<?3)",
                )
                .and_then(|mut statement| {
                    statement.query_row(params![table, prefix, above(prefix)], |row| {
                        row.get::<_, i64>(0)
                    })
                })
                .map(i64::unsigned_abs)
                .map_err(reading)
        })
    }

    fn leaves(&self, start: u64, limit: u64) -> Result<Vec<Vec<u8>>, Error> {
        self.with(|inner| {
            let first = mark(&inner.connection, "first_leaf").map_err(reading)?;
            if start < first {
                return Err(Error::Malformed(format!(
                    "leaf {start} was dropped; the first one kept is {first}"
                )));
            }
            if start >= inner.next_leaf {
                return Ok(Vec::new());
            }
            let mut statement = inner
                .connection
                .prepare_cached("SELECT data FROM leaf WHERE idx>=?1 ORDER BY idx LIMIT ?2")
                .map_err(reading)?;
            let limit = signed(limit.min(MAX_SCAN)).map_err(reading)?;
            statement
                .query_map(params![signed(start).map_err(reading)?, limit], |row| {
                    row.get(0)
                })
                .and_then(Iterator::collect)
                .map_err(reading)
        })
    }

    fn leaf_count(&self) -> Result<u64, Error> {
        self.with(|inner| Ok(inner.next_leaf))
    }

    fn drop_leaves_below(&self, index: u64) -> Result<(), Error> {
        self.with(|inner| {
            if index > inner.next_leaf {
                return Err(Error::Malformed(format!(
                    "leaf {index} does not exist yet; the next one is {}",
                    inner.next_leaf
                )));
            }
            let first = mark(&inner.connection, "first_leaf").map_err(reading)?;
            if index <= first {
                return Ok(());
            }
            let bound = signed(index).map_err(reading)?;
            inner
                .connection
                .execute_batch("BEGIN IMMEDIATE")
                .map_err(reading)?;
            let done = inner
                .connection
                .prepare_cached("DELETE FROM leaf WHERE idx<?1")
                .and_then(|mut statement| statement.execute([bound]))
                .map_err(reading)
                .and_then(|_| inner.set_mark("first_leaf", index));
            if let Err(error) = done {
                inner.roll_back()?;
                return Err(error);
            }
            inner
                .connection
                .execute_batch("COMMIT")
                .map_err(|error| inner.commit_failed(&error))
        })
    }

    fn backup(&self, path: &Path) -> Result<(), Error> {
        let name = path.to_str().ok_or_else(|| {
            Error::Malformed(format!("backup path {} is not utf-8", path.display()))
        })?;
        // SQLite writes into an empty file that exists: made by us, it is private from its first byte.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = made.map_err(|e| Error::io("create backup", path, &e))?;
        let copied = self.with(|inner| {
            inner
                .connection
                .execute("VACUUM INTO ?1", [name])
                .map_err(|error| match reading(error) {
                    Error::Failed(why) => Error::Io(format!("backup to {name}: {why}")),
                    other => other,
                })
        });
        if let Err(error) = copied {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        file.sync_all()
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|e| Error::io("sync", path, &e))
    }

    fn close(&self) -> Result<(), Error> {
        let Some(inner) = self.lock().take() else {
            return Ok(());
        };
        let Inner {
            connection,
            _directory,
            ..
        } = inner;
        connection
            .close()
            .map_err(|(_, error)| Error::Io(format!("close {FILE}: {error}")))
    }
}
