//! Opening the database: whose it is, which format, and the settings the promises rest on.

use rusqlite::{Connection, OpenFlags};

use super::reading;
use crate::{directory::Directory, error::Error};

/// The layout this version writes. It only ever rises.
pub const FORMAT: i64 = 1;
/// "QRst": tells our files from any other database.
const APPLICATION: i64 = 0x5152_7374;
/// Below this a WAL reset can lose committed writes (sqlite.org/wal.html#walresetbug).
pub(super) const OLDEST_SQLITE: i32 = 3_051_003;
pub(super) const FILE: &str = "state.db";
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

/// Opens the database in a directory that is held, making it when it is new.
pub(super) fn open(directory: &Directory) -> Result<Connection, Error> {
    directory.create_private(FILE)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(directory.join(FILE), flags).map_err(opening)?;
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
    Ok(connection)
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
fn opening(error: rusqlite::Error) -> Error {
    match reading(error) {
        Error::Failed(why) => Error::Io(format!("open {FILE}: {why}")),
        other => other,
    }
}
