//! What a store refuses, and why.

use std::{fmt, io};

/// Every way a store says no. Texts are lower case, name the value, and never hold a row's bytes.
#[derive(Debug)]
pub enum Error {
    /// A condition of the submission does not hold. Nothing of the submission stands.
    Refused { index: usize, reason: &'static str },
    /// A record, name or argument outside its bounds.
    Malformed(String),
    /// Another process holds the state directory.
    InUse(String),
    /// The directory was written by a newer version.
    TooNew { found: i64, known: i64 },
    /// The library under us is one that can lose committed writes.
    Library(String),
    /// No space for the submission: nothing of it stands, and the store goes on when there is space again.
    Full(String),
    /// A commit or an fsync failed, so nobody can say what is on the disk; only opening again can tell.
    Failed(String),
    /// The files are not a store of ours, or are damaged.
    Broken(String),
    /// A file operation outside the database failed: opening, locking, creating.
    Io(String),
    /// The store was closed.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { index, reason } => write!(f, "record {index} refused: {reason}"),
            Self::Malformed(what) => write!(f, "{what}"),
            Self::InUse(what) => write!(f, "{what}"),
            Self::TooNew { found, known } => {
                write!(
                    f,
                    "state directory has format {found}, this version knows up to {known}"
                )
            }
            Self::Library(what) => write!(f, "{what}"),
            Self::Full(what) => write!(f, "no space left for the store: {what}"),
            Self::Failed(what) => write!(
                f,
                "the store failed and refuses everything until it is opened again: {what}"
            ),
            Self::Broken(what) => write!(f, "the store is damaged: {what}"),
            Self::Io(what) => write!(f, "{what}"),
            Self::Closed => write!(f, "the store is closed"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn io(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::Io(format!("{doing} {}: {error}", path.display()))
    }
}
