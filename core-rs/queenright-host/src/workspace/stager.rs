//! Contents on their way into the store: written beside it, made durable together, then given their names.
//!
//! Nothing has a name in the store before its bytes are on the disk: another agent's version may rest on it at once.
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::blobs::{self, Blobs};
use super::error::{Doing, Error, Result};
use super::mark::Hash;

/// Files written before they are made durable together. Syncing several at once lets the journal commit once for all.
const BATCH: usize = 256;
/// Threads that wait for the disk. 80 files of 20 kB on ext4, medians of 9: one thread 288 ms, 8 34 ms, 32 26 ms, 80 40 ms.
const SYNCERS: usize = 8;
/// Up to this a file is read once, into memory; a larger one is read twice, to hash and to copy.
const SMALL: u64 = 1 << 20;
const PIECE: usize = 256 * 1024;

pub struct Stager<'a> {
    blobs: &'a Blobs,
    stage: BorrowedFd<'a>,
    open: Vec<File>,
    staged: Vec<Hash>,
    known: HashSet<Hash>,
}

impl<'a> Stager<'a> {
    pub fn new(blobs: &'a Blobs, stage: BorrowedFd<'a>) -> Self {
        Self {
            blobs,
            stage,
            open: Vec::new(),
            staged: Vec::new(),
            known: HashSet::new(),
        }
    }

    /// Keeps a file's content; its name in the store and its length.
    pub fn put(&mut self, file: &mut File, size: u64) -> Result<(Hash, u64)> {
        if size <= SMALL {
            // One more than is expected, so that the end is seen without growing.
            let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
            file.take(SMALL + 1)
                .read_to_end(&mut data)
                .doing(|| "read a file of the workspace".into())?;
            if data.len() as u64 <= SMALL {
                return self.put_bytes(&data);
            }
            return Err(grew());
        }
        let (hash, length) = hash_of(file)?;
        if !self.fresh(&hash)? {
            return Ok((hash, length));
        }
        std::io::Seek::rewind(file).doing(|| "read a file again".into())?;
        let mut out = self.create(&hash)?;
        let (copied, _) = pour(file, |piece| out.write_all(piece))?;
        if copied != hash {
            return Err(grew());
        }
        self.keep(out, hash)?;
        Ok((hash, length))
    }

    pub fn put_bytes(&mut self, data: &[u8]) -> Result<(Hash, u64)> {
        let hash = *blake3::hash(data).as_bytes();
        if self.fresh(&hash)? {
            let mut out = self.create(&hash)?;
            out.write_all(data).doing(writing)?;
            self.keep(out, hash)?;
        }
        Ok((hash, data.len() as u64))
    }

    fn fresh(&mut self, hash: &Hash) -> Result<bool> {
        Ok(!self.known.contains(hash) && !self.blobs.has(hash)?)
    }

    fn create(&self, hash: &Hash) -> Result<File> {
        let name = blobs::name(hash);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(self.stage, &*name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .doing(|| format!("stage the content {name}"))
    }

    fn keep(&mut self, file: File, hash: Hash) -> Result<()> {
        self.open.push(file);
        self.staged.push(hash);
        self.known.insert(hash);
        if self.open.len() >= BATCH {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        sync_all(&self.open)?;
        self.open.clear();
        Ok(())
    }

    /// Makes everything durable under its name. Before it, and if it is never called, the store holds nothing new.
    pub fn finish(mut self, mut between: impl FnMut(&'static str)) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        self.sync()?;
        between("contents on the disk");
        for hash in &self.staged {
            let name = blobs::name(hash);
            rustix::fs::renameat(self.stage, &*name, &self.blobs.directory, &*name)
                .doing(|| format!("name the content {name}"))?;
            between("a content named");
        }
        // What somebody else named a moment ago may be ours by its content alone: their names become durable with ours.
        rustix::fs::fsync(&self.blobs.directory).doing(|| "sync the store".into())
    }
}

fn writing() -> String {
    "write a content to the store".into()
}

fn grew() -> Error {
    Error::new(
        super::error::Kind::Conflict,
        "a file changed while it was read",
    )
}

fn sync_all(files: &[File]) -> Result<()> {
    let share = files.len().div_ceil(SYNCERS).max(1);
    let outcomes: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(share)
            .map(|some| scope.spawn(move || some.iter().try_for_each(File::sync_data)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(std::io::Error::other("a syncing thread panicked")))
            })
            .collect()
    });
    outcomes
        .into_iter()
        .collect::<std::io::Result<()>>()
        .doing(|| "sync a content".into())
}

/// The BLAKE3 and length of what is left of a file.
pub fn hash_of(file: &mut File) -> Result<(Hash, u64)> {
    pour(file, |_| Ok(()))
}

fn pour(
    file: &mut File,
    mut into: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(Hash, u64)> {
    let mut hasher = blake3::Hasher::new();
    let (mut buffer, mut length) = (vec![0; PIECE], 0);
    loop {
        let count = file
            .read(&mut buffer)
            .doing(|| "read a file of the workspace".into())?;
        if count == 0 {
            return Ok((*hasher.finalize().as_bytes(), length));
        }
        hasher.update(&buffer[..count]);
        into(&buffer[..count]).doing(writing)?;
        length += count as u64;
    }
}

/// Empties the stage: what an action that did not end left there.
pub fn clear(stage: &OwnedFd) -> Result<()> {
    for name in super::beneath::names(stage.as_fd(), usize::MAX)? {
        super::remove::remove_tree(stage.as_fd(), &name)?;
    }
    Ok(())
}
