//! What an action left in the upper layer of its overlay, as changes of the workspace below.
//!
//! The kernel's own marks are read (overlayfs, `userxattr`): a character device 0:0 stands for a name that was removed,
//! the attribute user.overlay.opaque for a directory that hides what was below. The sandbox has ended: nothing moves.
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::beneath::{self, Cursor, check_path, file_type, look};
use super::change::{Change, join};
use super::error::{Doing, Error, Result, shown};
use super::live;
use super::mark::{Mark, directory_mode, file_mode};
use super::record::MAX_CHANGES;
use super::stager::Stager;

const OPAQUE: &str = "user.overlay.opaque";
/// Set by features of overlayfs that `userxattr` turns off. Were they there, a file would not hold its own content.
const REFUSED: [&str; 2] = ["user.overlay.metacopy", "user.overlay.redirect"];
/// Names of what was left out that are kept for a message.
const NAMED: usize = 20;

/// What was found. `left_out`: things that no version holds (their first names and kinds, and how many there are).
pub struct Found {
    pub changes: Vec<Change>,
    pub left_out: Vec<(Vec<u8>, &'static str)>,
    pub left_out_count: usize,
}

struct Scan<'a, 'b> {
    upper: Cursor<'a>,
    place: Cursor<'a>,
    live: BorrowedFd<'a>,
    stager: &'a mut Stager<'b>,
    marks: BTreeMap<Vec<u8>, (Option<Mark>, Option<Mark>)>,
    found: Found,
    /// Directories still to be read, and whether what is below in the workspace shows through.
    left: Vec<(Vec<u8>, bool)>,
}

/// Every change in `upper` over `live`, contents given to the stager: new ones, and those that they replace.
pub fn scan(upper: BorrowedFd<'_>, live: BorrowedFd<'_>, stager: &mut Stager<'_>) -> Result<Found> {
    let mut scan = Scan {
        upper: Cursor::new(upper),
        place: Cursor::new(live),
        live,
        stager,
        marks: BTreeMap::new(),
        found: Found {
            changes: Vec::new(),
            left_out: Vec::new(),
            left_out_count: 0,
        },
        left: vec![(Vec::new(), true)],
    };
    while let Some((path, merged)) = scan.left.pop() {
        scan.directory(&path, merged)?;
    }
    let (mut found, marks) = (scan.found, scan.marks);
    for (path, (before, after)) in marks {
        if before != after {
            found.changes.push(Change {
                path,
                before,
                after,
            });
        }
    }
    Ok(found)
}

impl Scan<'_, '_> {
    fn directory(&mut self, path: &[u8], merged: bool) -> Result<()> {
        let here = self
            .upper
            .open(path)
            .doing(|| format!("open {}", shown(path)))?;
        let below = match merged {
            true => live::parent_of(&mut self.place, path)?,
            false => None,
        };
        for name in beneath::names(here.as_fd(), MAX_CHANGES)? {
            let full = join(path, &name);
            check_path(&full)?;
            let Some(found) =
                look(here.as_fd(), &name).doing(|| format!("look at {}", shown(&full)))?
            else {
                continue;
            };
            self.entry(here.as_fd(), below.as_ref(), full, &name, &found)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        here: BorrowedFd<'_>,
        below: Option<&OwnedFd>,
        path: Vec<u8>,
        name: &[u8],
        found: &Stat,
    ) -> Result<()> {
        let kind = file_type(found);
        if kind == FileType::Directory {
            return self.is_directory(here, below, path, name, found);
        }
        self.gone(below, &path, name)?;
        match kind {
            FileType::RegularFile => {
                let (mut file, opened) = beneath::regular(here, name, false)?;
                refuse_features(&file, &path)?;
                let (hash, size) = self.stager.put(&mut file, opened.st_size.unsigned_abs())?;
                let mark = Mark::File {
                    mode: file_mode(found.st_mode),
                    size,
                    modified_ns: live::modified_ns(found),
                    hash,
                };
                self.after(path, mark)
            }
            FileType::Symlink => {
                let mark = live::link(here, name)?;
                self.after(path, mark)
            }
            FileType::CharacterDevice if found.st_rdev == 0 => Ok(()),
            other => {
                self.leave_out(path, other);
                Ok(())
            }
        }
    }

    fn is_directory(
        &mut self,
        here: BorrowedFd<'_>,
        below: Option<&OwnedFd>,
        path: Vec<u8>,
        name: &[u8],
        found: &Stat,
    ) -> Result<()> {
        if found.st_mode & 0o700 != 0o700 {
            // The owner closed it to itself, and we may be that user.
            beneath::open_up(here, name, rustix::fs::Mode::RWXU)
                .doing(|| format!("open {}", shown(&path)))?;
        }
        let opened = beneath::directory(here, name).doing(|| format!("open {}", shown(&path)))?;
        refuse_features(&opened, &path)?;
        let opaque = attribute(&opened, OPAQUE)?.is_some();
        let before = match below {
            Some(below) => live::mark(below.as_fd(), name, Some(self.stager))?,
            None => None,
        };
        let merged = !opaque && before.as_ref().is_some_and(Mark::is_directory);
        match before {
            Some(mark) if merged => self.before(path.clone(), mark)?,
            Some(_) => self.gone(below, &path, name)?,
            None => {}
        }
        let mark = Mark::Directory {
            mode: directory_mode(found.st_mode),
        };
        self.after(path.clone(), mark)?;
        self.left.push((path, merged));
        Ok(())
    }

    /// What the workspace has at `path`, and all below it, is no longer seen.
    fn gone(&mut self, below: Option<&OwnedFd>, path: &[u8], name: &[u8]) -> Result<()> {
        let Some(below) = below else { return Ok(()) };
        let Some(mark) = live::mark(below.as_fd(), name, Some(self.stager))? else {
            return Ok(());
        };
        let directory = mark.is_directory();
        self.before(path.to_vec(), mark)?;
        if !directory {
            return Ok(());
        }
        let mut inside = Vec::new();
        let stager = &mut *self.stager;
        live::below(self.live, path, MAX_CHANGES, |full, at, name, _| {
            if let Some(mark) = live::mark(at, name, Some(stager))? {
                inside.push((full, mark));
            }
            Ok(())
        })?;
        inside
            .into_iter()
            .try_for_each(|(full, mark)| self.before(full, mark))
    }

    fn before(&mut self, path: Vec<u8>, mark: Mark) -> Result<()> {
        self.row(path).map(|row| row.0 = Some(mark))
    }

    fn after(&mut self, path: Vec<u8>, mark: Mark) -> Result<()> {
        self.row(path).map(|row| row.1 = Some(mark))
    }

    fn row(&mut self, path: Vec<u8>) -> Result<&mut (Option<Mark>, Option<Mark>)> {
        if self.marks.len() >= MAX_CHANGES && !self.marks.contains_key(&path) {
            let why = format!("the action changed more than {MAX_CHANGES} paths");
            return Err(Error::malformed(why).hint("change less in one action"));
        }
        Ok(self.marks.entry(path).or_default())
    }

    fn leave_out(&mut self, path: Vec<u8>, kind: FileType) {
        let kind = match kind {
            FileType::Fifo => "a fifo",
            FileType::Socket => "a socket",
            _ => "a device",
        };
        self.found.left_out_count += 1;
        if self.found.left_out.len() < NAMED {
            self.found.left_out.push((path, kind));
        }
    }
}

fn attribute(of: impl AsFd, name: &str) -> Result<Option<usize>> {
    let mut value = [0; 16];
    match rustix::fs::fgetxattr(of, name, &mut value) {
        Ok(length) => Ok(Some(length)),
        Err(Errno::RANGE) => Ok(Some(value.len())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error).doing(|| format!("read {name}")),
    }
}

fn refuse_features(of: impl AsFd, path: &[u8]) -> Result<()> {
    for name in REFUSED {
        if attribute(of.as_fd(), name)?.is_some() {
            let why = format!("{} carries {name}, which no action may leave", shown(path));
            return Err(Error::malformed(why));
        }
    }
    Ok(())
}
