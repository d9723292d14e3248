//! The content store of the swarm: one file a content, named by its BLAKE3 in hex, never changed once it has its name.
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, look};
use super::error::{Doing, Error, Result};
use super::mark::Hash;

const DIRECTORY: &str = "blobs";

pub struct Blobs {
    pub directory: OwnedFd,
}

pub fn name(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

impl Blobs {
    /// The store's contents; the directory is made when it is not there.
    pub fn open(store: BorrowedFd<'_>) -> Result<Self> {
        let directory = make_directory(store, DIRECTORY)?;
        Ok(Self { directory })
    }

    pub fn has(&self, hash: &Hash) -> Result<bool> {
        look(self.directory.as_fd(), name(hash).as_bytes())
            .map(|found| found.is_some())
            .doing(|| "look for a kept content".into())
    }

    pub fn get(&self, hash: &Hash) -> Result<File> {
        let name = name(hash);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.directory, &*name, flags, Mode::empty()) {
            Ok(found) => Ok(File::from(found)),
            Err(Errno::NOENT) => {
                let why = format!("the content {name} of a version is missing from the store");
                Err(Error::failed(why))
            }
            Err(error) => Err(error).doing(|| format!("open the content {name}")),
        }
    }

    /// A content whole, at most `most` bytes of it.
    pub fn read(&self, hash: &Hash, most: u64) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.get(hash)?
            .take(most)
            .read_to_end(&mut data)
            .doing(|| "read a kept content".into())?;
        Ok(data)
    }
}

/// A directory of the store's own (0700), made when it is not there.
pub fn make_directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).doing(|| format!("make {name}")),
    }
    beneath::directory(parent, name.as_bytes()).doing(|| format!("open {name}"))
}
