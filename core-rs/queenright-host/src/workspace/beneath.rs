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

/// Names opened at once: with it a tree 3,000 deep is walked in time that its size asks for, not its depth squared.
const STRIDE: usize = 32;

/// Opens directories below `root`, each from the nearest one it still holds open on the way.
///
/// For paths that come in some order of a tree; whoever removes a directory opens nothing below it any more.
pub struct Cursor<'a> {
    root: BorrowedFd<'a>,
    path: Vec<u8>,
    /// Directories on the way to `path`, by the length of their own path.
    held: Vec<(usize, OwnedFd)>,
}

impl<'a> Cursor<'a> {
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            path: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The directory `path`, "" being the root itself.
    pub fn open(&mut self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        if path.is_empty() {
            return open_directory(self.root, b".");
        }
        let alike = self
            .path
            .iter()
            .zip(path)
            .take_while(|(a, b)| a == b)
            .count();
        let on_the_way = |end: usize| end <= alike && path.get(end).is_none_or(|b| *b == b'/');
        while self.held.last().is_some_and(|(end, _)| !on_the_way(*end)) {
            self.held.pop();
        }
        self.path = path.to_vec();
        loop {
            let (done, from) = match self.held.last() {
                Some((end, held)) if *end == path.len() => {
                    return open_directory(held.as_fd(), b".");
                }
                Some((end, held)) => (end + 1, held.as_fd()),
                None => (0, self.root),
            };
            let end = done + stride(&path[done..]);
            let opened = open_directory(from, &path[done..end])?;
            if end == path.len() {
                return Ok(opened);
            }
            self.held.push((end, opened));
        }
    }
}

fn open_directory(at: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(at, path, DIRECTORY, Mode::empty(), RESOLVE)
}

/// The length of the first STRIDE names, or of as many as the kernel takes at once.
fn stride(path: &[u8]) -> usize {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut ends = ends.map(|(at, _)| at).chain([path.len()]);
    let mut last = ends.next().unwrap_or(path.len());
    for end in ends.take(STRIDE - 1) {
        if end > PIECE {
            break;
        }
        last = end;
    }
    last
}

/// One directory below `root`.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    Cursor::new(root).open(path)
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
