//! The embedded engine: one SQLite connection, alone on its files.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, MutexGuard},
};

use rusqlite::{Connection, ErrorCode, ffi, params};

use crate::{
    directory::Directory,
    error::Error,
    record::{Record, check, check_name},
    store::{Receipt, Store},
};

mod open;
mod rows;

pub use open::{FORMAT, require_sqlite};
use rows::{above, apply, mark, read, signed};

/// A scan with no limit of its own still ends; callers page with `after`.
const MAX_SCAN: u64 = 1_000_000;

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
        let connection = open::open(&directory)?;
        let next_leaf = mark(&connection, "next_leaf").map_err(reading)?;
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
            .map_err(|(_, error)| Error::Io(format!("close the store: {error}")))
    }
}

#[cfg(test)]
mod tests;
