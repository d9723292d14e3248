//! The seam between the runtime and the engine that keeps its rows.

use std::path::Path;

use crate::{error::Error, record::Record};

/// Where a submission's leaves went: indexes `first_leaf .. first_leaf + leaves`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub first_leaf: u64,
    pub leaves: u64,
}

/// One ordered stream of atomic submissions over tables of byte keys.
///
/// `submit` applies all records or none and returns after they are durable. A commit that fails in a way that leaves
/// the disk's content in doubt makes every later call fail (`Error::Failed`) until the store is opened again.
pub trait Store: Send + Sync {
    fn submit(&self, records: &[Record]) -> Result<Receipt, Error>;
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;
    /// Rows in key order whose key starts with `prefix` and is greater than `after`.
    #[allow(clippy::type_complexity)]
    fn scan(
        &self,
        table: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: Option<u64>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error>;
    /// How many rows have a key that starts with `prefix`.
    fn count(&self, table: &str, prefix: &[u8]) -> Result<u64, Error>;
    /// Leaves from `start` on, at most `limit`; refused for an index whose leaf was dropped.
    fn leaves(&self, start: u64, limit: u64) -> Result<Vec<Vec<u8>>, Error>;
    /// How many leaves were ever appended: the index of the next one.
    fn leaf_count(&self) -> Result<u64, Error>;
    /// Forgets leaves below `index` once they are durable elsewhere; their numbers are never given again.
    fn drop_leaves_below(&self, index: u64) -> Result<(), Error>;
    /// Writes a whole, consistent copy to `path`, which must not exist.
    fn backup(&self, path: &Path) -> Result<(), Error>;
    /// Ends the store; later calls fail with `Error::Closed`. Closing twice is no error.
    fn close(&self) -> Result<(), Error>;
}
