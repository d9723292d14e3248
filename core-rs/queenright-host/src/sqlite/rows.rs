//! What each record does to the rows, inside a transaction that is already open.

use rusqlite::{Connection, OptionalExtension, params};

use crate::record::Record;

pub(super) fn mark(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let value: i64 = connection
        .prepare_cached("SELECT value FROM mark WHERE name=?1")?
        .query_row([name], |row| row.get(0))?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}
pub(super) fn apply(
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

pub(super) fn read(
    connection: &Connection,
    table: &str,
    key: &[u8],
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM row WHERE tbl=?1 AND key=?2")?
        .query_row(params![table, key], |row| row.get(0))
        .optional()
}

pub(super) fn signed(index: u64) -> rusqlite::Result<i64> {
    i64::try_from(index).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))
}

/// The least key above every key that starts with `prefix`; None when there is none.
pub(super) fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut bound = prefix[..=last].to_vec();
    bound[last] += 1;
    Some(bound)
}
