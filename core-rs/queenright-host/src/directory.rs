//! The state directory: private to one user, held by one process.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Bits that let anyone but the owner read or change the directory's files.
const OTHERS: u32 = 0o077;

/// A state directory that this process alone holds, until it is dropped.
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory (0700) when it is absent and takes its lock, or says who holds it.
    pub fn hold(path: &Path) -> Result<Self, Error> {
        if let Err(error) = DirBuilder::new().mode(0o700).create(path)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(Error::io("create", path, &error));
        }
        let found = fs::symlink_metadata(path).map_err(|e| Error::io("look at", path, &e))?;
        if !found.is_dir() {
            return Err(Error::Io(format!(
                "state directory {} is not a directory",
                path.display()
            )));
        }
        if found.mode() & OTHERS != 0 {
            return Err(Error::Io(format!(
                "state directory {} has mode {:04o}; make it private with: chmod 700 {}",
                path.display(),
                found.mode() & 0o7777,
                path.display()
            )));
        }
        // SQLite is told to follow no link at all; links above the directory are the operator's own business.
        let path = fs::canonicalize(path).map_err(|e| Error::io("resolve", path, &e))?;
        let lock = take_lock(&path.join("lock"))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a file private before anything else gives it its mode; says whether it is new.
    pub fn create_private(&self, name: &str) -> Result<bool, Error> {
        let path = self.join(name);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("create", &path, &error)),
        }
    }

    /// A new file is durable only when the directory that names it is.
    pub fn sync(&self) -> Result<(), Error> {
        File::open(&self.path)
            .and_then(|d| d.sync_all())
            .map_err(|e| Error::io("sync", &self.path, &e))
    }
}

fn take_lock(path: &Path) -> Result<File, Error> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io("open", path, &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut holder);
            let holder: String = holder.chars().filter(char::is_ascii_digit).collect();
            let holder = if holder.is_empty() {
                "another process".into()
            } else {
                format!("process {holder}")
            };
            return Err(Error::InUse(format!(
                "state directory is in use by {holder} ({})",
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", path, &error)),
    }
    // Only for the message above; the lock itself is the kernel's.
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(|e| Error::io("write", path, &e))?;
    Ok(file)
}
