//! Contents that no kept version refers to any more are removed.
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FlockOperation};

use super::beneath::{self, names};
use super::blobs::{self, Blobs, make_directory};
use super::error::{Doing, Error, Result};
use super::log::{AGENTS, PROPOSALS, VERSIONS, lock};
use super::mark::{Hash, Mark};
use super::proposal::record_in;
use super::record::Record;

/// Contents looked at in one pass over all records: what bounds the memory of it.
const PASS: usize = 500_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub contents: u64,
    pub bytes: u64,
}

/// Removes every content that no version refers to. Raises `Conflict` while an action is being committed: try later.
pub fn collect(store: BorrowedFd<'_>) -> Result<Collected> {
    let _alone = lock(store, FlockOperation::NonBlockingLockExclusive)?;
    let blobs = Blobs::open(store)?;
    let count = listing(&blobs, |_| true)?.len();
    let passes = u64::try_from(count.div_ceil(PASS))
        .unwrap_or(u64::MAX)
        .max(1);
    let mut done = Collected::default();
    for pass in 0..passes {
        // A content's first bytes are as good as random.
        let mine = |hash: &Hash| {
            let first = u64::from_be_bytes([
                hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
            ]);
            first % passes == pass
        };
        let mut left: HashSet<Hash> = listing(&blobs, mine)?.into_iter().collect();
        keep_referred(store, &mut left)?;
        for hash in left {
            let name = blobs::name(&hash);
            let doing = || format!("remove the content {name}");
            if let Some(found) =
                beneath::look(blobs.directory.as_fd(), name.as_bytes()).doing(doing)?
            {
                rustix::fs::unlinkat(&blobs.directory, &*name, AtFlags::empty()).doing(doing)?;
                done.contents += 1;
                done.bytes += found.st_size.unsigned_abs();
            }
        }
    }
    Ok(done)
}

fn listing(blobs: &Blobs, mine: impl Fn(&Hash) -> bool) -> Result<Vec<Hash>> {
    let mut found = Vec::new();
    for name in names(blobs.directory.as_fd(), usize::MAX)? {
        let hash = std::str::from_utf8(&name)
            .ok()
            .and_then(|text| blake3::Hash::from_hex(text).ok())
            .ok_or_else(|| Error::failed("a file in blobs/ is no content"))?;
        if mine(hash.as_bytes()) {
            found.push(*hash.as_bytes());
        }
    }
    Ok(found)
}

/// Takes out of `left` what a version of any agent refers to. A record that cannot be read stops it: what it refers to
/// is not known.
fn keep_referred(store: BorrowedFd<'_>, left: &mut HashSet<Hash>) -> Result<()> {
    let agents = make_directory(store, AGENTS)?;
    for agent in names(agents.as_fd(), usize::MAX)? {
        keep_of(agents.as_fd(), &agent, VERSIONS, left, Record::decode)?;
        keep_of(agents.as_fd(), &agent, PROPOSALS, left, record_in)?;
    }
    Ok(())
}

fn keep_of(
    agents: BorrowedFd<'_>,
    agent: &[u8],
    directory: &str,
    left: &mut HashSet<Hash>,
    decode: impl Fn(&[u8]) -> Result<Record>,
) -> Result<()> {
    let path = super::change::join(agent, directory.as_bytes());
    let Ok(records) = beneath::directory(agents, &path) else {
        return Ok(()); // it has none yet
    };
    for name in names(records.as_fd(), usize::MAX)? {
        let (file, _) = beneath::regular(records.as_fd(), &name, true)?;
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut &file, &mut data).doing(|| "read a version".into())?;
        for change in decode(&data)?.changes {
            for mark in [change.before, change.after].into_iter().flatten() {
                if let Mark::File { hash, .. } = mark {
                    left.remove(&hash);
                }
            }
        }
    }
    Ok(())
}
