//! What a submission is made of, and the bounds each record keeps.

use crate::error::Error;

/// Names of tables and scopes are ours, never a cell's: short and printable so that an error can show them.
const MAX_NAME: usize = 64;
/// Ids are 32 bytes; a key is a few of them joined.
const MAX_KEY: usize = 1024;
/// Anything larger is a blob of the ledger, not a row.
const MAX_VALUE: usize = 16 << 20;
/// Entries past 65,535 bytes break tlog-tiles.
const MAX_LEAF: usize = 65_535;
/// One submission is one fsync; a bound keeps its memory and the time others wait for it bounded too.
const MAX_RECORDS: usize = 100_000;
const MAX_BYTES: usize = 64 << 20;

/// One record of a submission. Records apply in order: each sees what those before it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Stores the value, whatever was there.
    Put {
        table: String,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// Stores the value; refused ("exists") when the key is there.
    Insert {
        table: String,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// Removes the key; removing what is absent is no error.
    Delete { table: String, key: Vec<u8> },
    /// Refused ("unexpected") unless the stored bytes equal `value`, or the key is absent for None.
    Expect {
        table: String,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    /// Appends the next ledger leaf.
    Leaf { data: Vec<u8> },
    /// Spends a nonce for ever; refused ("spent") the second time.
    Spend { scope: String, nonce: Vec<u8> },
    /// Adds to a counter, which is a row of eight big-endian bytes and starts at 0. Refused ("above_maximum",
    /// "below_zero") out of 0..=maximum, or ("not_a_counter") when the row is anything else.
    Count {
        table: String,
        key: Vec<u8>,
        delta: i64,
        maximum: u64,
    },
}

/// Checks the bounds of a whole submission before any of it touches the disk.
pub fn check(records: &[Record]) -> Result<(), Error> {
    if records.len() > MAX_RECORDS {
        return Err(Error::Malformed(format!(
            "a submission of {} records; at most {MAX_RECORDS}",
            records.len()
        )));
    }
    let mut bytes = 0;
    for record in records {
        bytes += check_one(record)?;
    }
    if bytes > MAX_BYTES {
        return Err(Error::Malformed(format!(
            "a submission of {bytes} bytes; at most {MAX_BYTES}"
        )));
    }
    Ok(())
}

fn check_one(record: &Record) -> Result<usize, Error> {
    match record {
        Record::Put { table, key, value } | Record::Insert { table, key, value } => {
            check_name(table)?;
            sized("key", key, 0, MAX_KEY)?;
            sized("value", value, 0, MAX_VALUE)?;
            Ok(key.len() + value.len())
        }
        Record::Expect { table, key, value } => {
            check_name(table)?;
            sized("key", key, 0, MAX_KEY)?;
            let value = value.as_deref().unwrap_or_default();
            sized("value", value, 0, MAX_VALUE)?;
            Ok(key.len() + value.len())
        }
        Record::Delete { table, key } | Record::Count { table, key, .. } => {
            check_name(table)?;
            sized("key", key, 0, MAX_KEY)?;
            Ok(key.len())
        }
        Record::Leaf { data } => {
            sized("leaf", data, 1, MAX_LEAF)?;
            Ok(data.len())
        }
        Record::Spend { scope, nonce } => {
            check_name(scope)?;
            sized("nonce", nonce, 1, MAX_KEY)?;
            Ok(nonce.len())
        }
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let good = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'_' | b'-' | b'.' | b':' | b'/')
    };
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(good) {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(Error::Malformed(format!(
            "table or scope name {shown:?}: 1 to {MAX_NAME} of a-z 0-9 _ - . : /"
        )));
    }
    Ok(())
}

fn sized(what: &str, bytes: &[u8], least: usize, most: usize) -> Result<(), Error> {
    if bytes.len() < least || bytes.len() > most {
        return Err(Error::Malformed(format!(
            "a {what} of {} bytes; {least} to {most}",
            bytes.len()
        )));
    }
    Ok(())
}
