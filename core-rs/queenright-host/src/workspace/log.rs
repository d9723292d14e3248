//! The versions of one agent, a file each: `versions/<number>`. A record that has its name is committed.
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{look, names};
use super::blobs::make_directory;
use super::error::{Doing, Error, Kind, Result};
use super::mark::Hash;
use super::record::{HEADER, Header, MAX_BYTES, Record, digest_of, read_header};

pub const AGENTS: &str = "agents";
pub const VERSIONS: &str = "versions";
/// What is proposed for acts, by the act.
pub const PROPOSALS: &str = "proposals";
const STAGE: &str = "stage";
const LOCK: &str = "lock";
const APPLIED: &str = "applied";
const INCOMING: &str = "record";

/// Which version the workspace's own directory is at, and in which life of the machine it was brought there.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    pub number: u64,
    pub boot: String,
}

pub struct Log {
    home: OwnedFd,
    versions: OwnedFd,
    pub stage: OwnedFd,
    _lock: OwnedFd,
}

fn file_name(number: u64) -> String {
    format!("{number:016x}")
}

pub fn hex(agent: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*agent).to_hex().to_string()
}

impl Log {
    /// The agent's log, held until this is dropped. Waits for whoever holds it.
    pub fn open(store: BorrowedFd<'_>, agent: &[u8; 32]) -> Result<Self> {
        let agents = make_directory(store, AGENTS)?;
        let home = make_directory(agents.as_fd(), &hex(agent))?;
        Ok(Self {
            versions: make_directory(home.as_fd(), VERSIONS)?,
            stage: make_directory(home.as_fd(), STAGE)?,
            _lock: lock(home.as_fd(), FlockOperation::LockExclusive)?,
            home,
        })
    }

    pub fn applied(&self) -> Result<Option<Applied>> {
        let Some(data) = self.read(&self.home, APPLIED, 200)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&data).into_owned();
        let broken = || Error::failed("the mark of the applied version is damaged");
        let (number, boot) = text.split_once(' ').ok_or_else(broken)?;
        Ok(Some(Applied {
            number: number.parse().map_err(|_| broken())?,
            boot: boot.to_owned(),
        }))
    }

    /// Not synced: after a start of the machine every kept version is applied again, whatever it says.
    pub fn set_applied(&self, number: u64, boot: &str) -> Result<()> {
        let mut file = self.create(APPLIED)?;
        file.write_all(format!("{number} {boot}").as_bytes())
            .doing(|| "write the mark of the applied version".into())?;
        rustix::fs::renameat(&self.stage, APPLIED, &self.home, APPLIED)
            .doing(|| "name the mark of the applied version".into())
    }

    /// The numbers of the kept versions, oldest first.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for name in names(self.versions.as_fd(), usize::MAX)? {
            let number = std::str::from_utf8(&name)
                .ok()
                .and_then(|text| u64::from_str_radix(text, 16).ok())
                .ok_or_else(|| Error::failed("a file in versions/ is no version"))?;
            found.push(number);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The newest version's number, 0 when there is none; `from` is one that is known to have been reached.
    pub fn head(&self, from: u64) -> Result<u64> {
        let mut number = from;
        while look(self.versions.as_fd(), file_name(number + 1).as_bytes())
            .doing(|| "look for a version".into())?
            .is_some()
        {
            number += 1;
        }
        Ok(number)
    }

    pub fn encoded(&self, number: u64) -> Result<Vec<u8>> {
        self.read(&self.versions, &file_name(number), MAX_BYTES as u64 + 32)?
            .ok_or_else(|| missing(number))
    }

    pub fn record(&self, number: u64) -> Result<Record> {
        Record::decode(&self.encoded(number)?)
    }

    pub fn header(&self, number: u64) -> Result<Header> {
        let data = self.read(&self.versions, &file_name(number), HEADER as u64)?;
        read_header(&data.ok_or_else(|| missing(number))?)
    }

    /// Writes a record and makes it durable, but not yet a version.
    pub fn stage_record(&self, record: &Record) -> Result<Hash> {
        let encoded = record.encode()?;
        let mut file = self.create(INCOMING)?;
        file.write_all(&encoded)
            .and_then(|()| file.sync_data())
            .doing(|| "write a version's record".into())?;
        Ok(digest_of(&encoded))
    }

    /// The commit: the staged record gets its name, durably.
    pub fn name_record(&self, number: u64) -> Result<()> {
        rustix::fs::renameat(&self.stage, INCOMING, &self.versions, file_name(number))
            .and_then(|()| rustix::fs::fsync(&self.versions))
            .doing(|| "commit a version".into())
    }

    pub fn drop_record(&self, number: u64) -> Result<()> {
        rustix::fs::unlinkat(&self.versions, file_name(number), AtFlags::empty())
            .doing(|| "drop an old version".into())
    }

    /// Keeps the bytes of an act's proposal, durably.
    pub fn keep_proposal(&self, act: &[u8; 32], encoded: &[u8]) -> Result<()> {
        let proposals = make_directory(self.home.as_fd(), PROPOSALS)?;
        let mut file = self.create(INCOMING)?;
        file.write_all(encoded)
            .and_then(|()| file.sync_data())
            .doing(|| "write a proposal".into())?;
        rustix::fs::renameat(&self.stage, INCOMING, &proposals, hex(act))
            .and_then(|()| rustix::fs::fsync(&proposals))
            .and_then(|()| rustix::fs::fsync(&self.home))
            .doing(|| "keep a proposal".into())
    }

    /// The bytes of an act's proposal, if there is one.
    pub fn proposal(&self, act: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let proposals = make_directory(self.home.as_fd(), PROPOSALS)?;
        self.read(&proposals, &hex(act), 2 * MAX_BYTES as u64)
    }

    /// The acts that have one.
    pub fn proposals(&self) -> Result<Vec<[u8; 32]>> {
        let proposals = make_directory(self.home.as_fd(), PROPOSALS)?;
        let acts = names(proposals.as_fd(), usize::MAX)?
            .into_iter()
            .map(|name| {
                std::str::from_utf8(&name)
                    .ok()
                    .and_then(|text| blake3::Hash::from_hex(text).ok())
                    .map(|hash| *hash.as_bytes())
                    .ok_or_else(|| Error::failed("a file in proposals/ is no proposal"))
            });
        acts.collect()
    }

    /// Removes an act's proposal; none there is no error.
    pub fn drop_proposal(&self, act: &[u8; 32]) -> Result<()> {
        let proposals = make_directory(self.home.as_fd(), PROPOSALS)?;
        match rustix::fs::unlinkat(&proposals, hex(act), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).doing(|| "drop a proposal".into()),
        }
    }

    fn create(&self, name: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        rustix::fs::openat(&self.stage, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .doing(|| format!("stage {name}"))
    }

    fn read(&self, at: &OwnedFd, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let doing = || format!("read {name}");
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).doing(doing),
        };
        let mut data = Vec::new();
        file.take(most).read_to_end(&mut data).doing(doing)?;
        Ok(Some(data))
    }
}

fn missing(number: u64) -> Error {
    Error::new(Kind::Unknown, format!("version {number} is not kept"))
        .hint("`queenright workspace log` lists the kept ones")
}

/// Takes the lock of a directory of the store, made when it is not there.
pub fn lock(directory: BorrowedFd<'_>, how: FlockOperation) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, LOCK, flags, Mode::RUSR | Mode::WUSR)
        .doing(|| "open a lock".into())?;
    match rustix::fs::flock(&file, how) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::new(
            Kind::Conflict,
            "the store of contents is in use",
        )),
        Err(error) => Err(error).doing(|| "take a lock".into()),
    }
}

/// An agent's retention is over: its versions go. What only they referred to is left for `collect`.
pub fn forget(store: BorrowedFd<'_>, agent: &[u8; 32]) -> Result<()> {
    let agents = make_directory(store, AGENTS)?;
    super::remove::remove_tree(agents.as_fd(), hex(agent).as_bytes())
}
