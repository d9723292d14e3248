//! The workspace's own directory: what its paths are now.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::beneath::{self, Cursor, file_type, look};
use super::change::{join, split};
use super::error::{Doing, Result, shown};
use super::mark::{Mark, directory_mode, file_mode};
use super::stager::{Stager, hash_of};

pub fn modified_ns(found: &Stat) -> i64 {
    found
        .st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(found.st_mtime_nsec as i64)
}

/// What `name` in the directory `at` is. A file's content is kept when there is a stager, as the version before needs
/// it. None for what is not there, and for what no version holds (a socket, a FIFO, a device).
pub fn mark(
    at: BorrowedFd<'_>,
    name: &[u8],
    stager: Option<&mut Stager<'_>>,
) -> Result<Option<Mark>> {
    let Some(found) = look(at, name).doing(|| format!("look at {}", shown(name)))? else {
        return Ok(None);
    };
    Ok(match file_type(&found) {
        FileType::Directory => Some(Mark::Directory {
            mode: directory_mode(found.st_mode),
        }),
        FileType::Symlink => Some(link(at, name)?),
        FileType::RegularFile => {
            let (mut file, opened) = beneath::regular(at, name, true)?;
            let (hash, size) = match stager {
                Some(stager) => stager.put(&mut file, opened.st_size.unsigned_abs())?,
                None => hash_of(&mut file)?,
            };
            Some(Mark::File {
                mode: file_mode(found.st_mode),
                size,
                modified_ns: modified_ns(&found),
                hash,
            })
        }
        _ => None,
    })
}

pub fn link(at: BorrowedFd<'_>, name: &[u8]) -> Result<Mark> {
    let target = rustix::fs::readlinkat(at, name, Vec::new())
        .doing(|| format!("read the link {}", shown(name)))?;
    Ok(Mark::Link {
        target: target.into_bytes(),
    })
}

/// What `path` is; None also when a directory on the way is missing or is none.
pub fn mark_at(place: &mut Cursor<'_>, path: &[u8]) -> Result<Option<Mark>> {
    let (parent, name) = split(path);
    match parent_of(place, parent)? {
        Some(at) => mark(at.as_fd(), name, None),
        None => Ok(None),
    }
}

/// The directory `path`, or None when there is none.
pub fn parent_of(place: &mut Cursor<'_>, path: &[u8]) -> Result<Option<OwnedFd>> {
    match place.open(path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        other => other.map(Some).doing(|| format!("open {}", shown(path))),
    }
}

/// Every path below the directory `top` (not `top` itself), with a look at each; a bounded number of them.
pub fn below(
    root: BorrowedFd<'_>,
    top: &[u8],
    most: usize,
    mut each: impl FnMut(Vec<u8>, BorrowedFd<'_>, &[u8], &Stat) -> Result<()>,
) -> Result<()> {
    let mut place = Cursor::new(root);
    let mut left = vec![top.to_vec()];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        let here = place
            .open(&path)
            .doing(|| format!("open {}", shown(&path)))?;
        for name in beneath::names(here.as_fd(), most.saturating_sub(seen))? {
            seen += 1;
            let Some(found) =
                look(here.as_fd(), &name).doing(|| format!("look at {}", shown(&name)))?
            else {
                continue;
            };
            let full = join(&path, &name);
            if file_type(&found) == FileType::Directory {
                left.push(full.clone());
            }
            each(full, here.as_fd(), &name, &found)?;
        }
    }
    Ok(())
}
