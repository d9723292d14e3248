//! Opening what an agent built: by descriptor, below a directory, through no link, mount or magic, and never blocking.
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::{Doing, Error, Result, shown};

/// Bytes of a path a version may name: a directory 3,000 deep with short names fits.
pub const MAX_PATH: usize = 16 * 1024;
const MAX_NAME: usize = 255;
/// Bytes given to the kernel at once: it takes 4,095 and a NUL.
const PIECE: usize = 4_000;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// NONBLOCK: opening a FIFO that nobody writes to must not hang.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A plain relative path: names joined by single slashes.
pub fn check_path(path: &[u8]) -> Result<()> {
    if path.len() > MAX_PATH {
        let why = format!(
            "the path {} has {} bytes: at most {MAX_PATH}",
            shown(path),
            path.len()
        );
        return Err(Error::malformed(why).hint("use a flatter directory"));
    }
    for name in path.split(|byte| *byte == b'/') {
        let odd = name.is_empty() || name == b"." || name == b".." || name.contains(&0);
        if odd || name.len() > MAX_NAME {
            let why = format!("{} is not a plain relative path", shown(path));
            return Err(Error::malformed(why)
                .hint("names joined by single slashes, no leading slash, no . or .."));
        }
    }
    Ok(())
}

/// The directory `path` below `root`, "" being root itself.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut here = open_directory(root, b".")?;
    let mut rest = path;
    while !rest.is_empty() {
        let (piece, left) = first_piece(rest);
        here = open_directory(here.as_fd(), piece)?;
        rest = left;
    }
    Ok(here)
}

fn open_directory(at: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(at, path, DIRECTORY, Mode::empty(), RESOLVE)
}

/// As many whole names as the kernel takes at once, and the rest.
fn first_piece(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PIECE {
        return (path, b"");
    }
    match path[..PIECE].iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, b""),
    }
}

/// Gives a directory's or file's owner its rights back. `name` was just seen to be no link.
pub fn open_up(parent: BorrowedFd<'_>, name: &[u8], mode: Mode) -> rustix::io::Result<()> {
    rustix::fs::chmodat(parent, name, mode, AtFlags::empty())
}

/// What `name` is, following no link; None when it is not there.
pub fn look(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The regular file `name`, open for reading. `alone`: refused when it has a second name, which may be another's.
/// An upper layer is nobody's but its command's, so what has several names there is several files.
pub fn regular(parent: BorrowedFd<'_>, name: &[u8], alone: bool) -> Result<(File, Stat)> {
    let doing = || format!("open {}", shown(name));
    let opened = match rustix::fs::openat2(parent, name, FILE, Mode::empty(), RESOLVE) {
        // The owner closed it to itself, and we may be that user. A version's own files are never closed.
        Err(Errno::ACCESS) if !alone => {
            open_up(parent, name, Mode::RUSR).doing(doing)?;
            rustix::fs::openat2(parent, name, FILE, Mode::empty(), RESOLVE)
        }
        other => other,
    };
    let file = File::from(opened.doing(doing)?);
    let found = rustix::fs::fstat(&file).doing(doing)?;
    if file_type(&found) != FileType::RegularFile {
        let why = format!("{} is not a regular file", shown(name));
        return Err(Error::malformed(why));
    }
    if alone && found.st_nlink != 1 {
        let why = format!(
            "{} has {} names: it may be another's file",
            shown(name),
            found.st_nlink
        );
        return Err(Error::malformed(why).hint("copy it first"));
    }
    Ok((file, found))
}

pub fn file_type(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// The names in a directory, unsorted. Refuses more than `most`.
pub fn names(directory: BorrowedFd<'_>, most: usize) -> Result<Vec<Vec<u8>>> {
    let doing = || "list a directory".to_owned();
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory).doing(doing)? {
        let entry = entry.doing(doing)?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if found.len() == most {
            let why = format!("a directory holds more than {most} names");
            return Err(Error::malformed(why).hint("remove files first"));
        }
        found.push(name.to_vec());
    }
    Ok(found)
}
