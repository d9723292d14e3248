//! Looking at a workspace: its log, what a version changed, what a directory or file was at a version.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use rustix::fs::FileType;

use super::beneath::{self, Cursor, file_type, look, names};
use super::change::{Change, split};
use super::error::{Doing, Error, Kind, Result, shown};
use super::live;
use super::mark::Mark;
use super::record::{Header, MAX_CHANGES};
use super::space::Space;

/// One name of a directory at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: &'static str,
    pub mode: u32,
    pub size: u64,
}

/// A directory's names in order; `cut` when there are more.
#[derive(Debug)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub cut: bool,
}

impl Space {
    /// The newest `most` versions, newest first.
    pub fn log(&self, most: usize) -> Result<Vec<Header>> {
        let numbers = self.log.numbers()?;
        let newest = numbers.iter().rev().take(most);
        newest.map(|number| self.log.header(*number)).collect()
    }

    /// What one version changed.
    pub fn changes(&self, number: u64) -> Result<Vec<Change>> {
        Ok(self.log.record(number)?.changes)
    }

    /// The version that an act made, if it made one that is still kept.
    pub fn version_of(&self, act: &[u8; 32]) -> Result<Option<u64>> {
        for number in self.log.numbers()?.into_iter().rev() {
            let header = self.log.header(number)?;
            // An undo bears the id of the act it undoes.
            let own = !matches!(header.cause, super::Cause::Undo(_));
            if header.act == *act && own {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// The names in the directory `path` ("" is the workspace) at version `number`, at most `most`.
    pub fn list(&self, path: &[u8], number: u64, most: usize) -> Result<Listing> {
        if !path.is_empty() {
            beneath::check_path(path)?;
        }
        let mut found: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        let mut was_there = false;
        if let Some(here) = live::parent_of(&mut Cursor::new(self.live.as_fd()), path)? {
            was_there = true;
            for name in names(here.as_fd(), MAX_CHANGES)? {
                let stat =
                    look(here.as_fd(), &name).doing(|| format!("look at {}", shown(&name)))?;
                if let Some(stat) = stat {
                    let entry = Entry {
                        kind: match file_type(&stat) {
                            FileType::Directory => "directory",
                            FileType::RegularFile => "file",
                            FileType::Symlink => "link",
                            _ => "other",
                        },
                        mode: stat.st_mode & 0o777,
                        size: stat.st_size.unsigned_abs(),
                        name: name.clone(),
                    };
                    found.insert(name, entry);
                }
            }
        }
        for later in self.later(number)? {
            for change in self.log.record(later)?.changes {
                if change.path == path {
                    was_there = change.before.as_ref().is_some_and(Mark::is_directory);
                }
                let (parent, name) = split(&change.path);
                if parent != path {
                    continue;
                }
                match change.before {
                    Some(mark) => found.insert(name.to_vec(), entry(name, &mark)),
                    None => found.remove(name),
                };
            }
        }
        if !was_there {
            let why = format!("{} is no directory at version {number}", shown(path));
            return Err(Error::new(Kind::Unknown, why));
        }
        let cut = found.len() > most;
        let entries = found.into_values().take(most).collect();
        Ok(Listing { entries, cut })
    }

    /// The content of the file `path` at version `number`, at most `most` bytes of it.
    pub fn read(&self, path: &[u8], number: u64, most: u64) -> Result<Vec<u8>> {
        beneath::check_path(path)?;
        let absent = || {
            let why = format!("{} is no file at version {number}", shown(path));
            Error::new(Kind::Unknown, why)
        };
        let mut kept: Option<Option<Mark>> = None;
        for later in self.later(number)? {
            let record = self.log.record(later)?;
            if let Some(change) = record.changes.into_iter().find(|c| c.path == path) {
                kept = Some(change.before);
            }
        }
        match kept {
            Some(Some(Mark::File { hash, .. })) => self.blobs.read(&hash, most),
            Some(_) => Err(absent()),
            None => {
                let (parent, name) = split(path);
                let at = live::parent_of(&mut Cursor::new(self.live.as_fd()), parent)?
                    .ok_or_else(absent)?;
                if look(at.as_fd(), name).doing(|| shown(path))?.is_none() {
                    return Err(absent());
                }
                let (file, _) = beneath::regular(at.as_fd(), name, true)?;
                let mut data = Vec::new();
                file.take(most)
                    .read_to_end(&mut data)
                    .doing(|| format!("read {}", shown(path)))?;
                Ok(data)
            }
        }
    }

    /// The versions after `number`, newest first. Raises `Unknown` when they are not all kept.
    fn later(&self, number: u64) -> Result<impl Iterator<Item = u64>> {
        let head = self.head()?;
        if number > head {
            let why = format!("version {number} is not made yet: the newest is {head}");
            return Err(Error::new(Kind::Unknown, why));
        }
        Ok((number + 1..=head).rev())
    }
}

fn entry(name: &[u8], mark: &Mark) -> Entry {
    Entry {
        name: name.to_vec(),
        kind: mark.kind(),
        mode: match mark {
            Mark::File { mode, .. } | Mark::Directory { mode } => *mode,
            Mark::Link { .. } => 0o777,
        },
        size: mark.size(),
    }
}
