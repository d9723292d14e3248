//! Carrying the workspace's own directory to a version. Applying the same changes again ends in the same state.
use std::fs::{File, Permissions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::beneath::{self, Cursor, check_path, file_type, look};
use super::blobs::{self, Blobs};
use super::change::{Change, split};
use super::error::{Doing, Error, Kind, Result, shown};
use super::mark::{Hash, Mark, directory_mode, file_mode};
use super::remove::remove_tree;

pub struct Apply<'a> {
    pub live: BorrowedFd<'a>,
    pub stage: BorrowedFd<'a>,
    pub blobs: &'a Blobs,
    /// What is made belongs to whoever the workspace belongs to; None when that is us.
    pub owner: Option<(Uid, Gid)>,
    place: Cursor<'a>,
}

impl<'a> Apply<'a> {
    pub fn new(live: BorrowedFd<'a>, stage: BorrowedFd<'a>, blobs: &'a Blobs) -> Result<Self> {
        let found = rustix::fs::fstat(live).doing(|| "look at the workspace".into())?;
        let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
        Ok(Self {
            live,
            stage,
            blobs,
            owner: (uid != rustix::process::geteuid()).then_some((uid, gid)),
            place: Cursor::new(live),
        })
    }

    /// Removals from the deepest, then what is there from the top.
    pub fn all(&mut self, changes: &[Change], mut between: impl FnMut(&'static str)) -> Result<()> {
        for change in changes.iter().rev() {
            if change.after.is_none() {
                self.remove(&change.path)?;
                between("a path removed");
            }
        }
        // What was removed may be held open; what is made in its stead is another directory.
        self.place = Cursor::new(self.live);
        for change in changes {
            if let Some(after) = &change.after {
                self.put(&change.path, after)?;
                between("a path put");
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        check_path(path)?;
        let (parent, name) = split(path);
        match super::live::parent_of(&mut self.place, parent)? {
            Some(at) => remove_tree(at.as_fd(), name),
            None => Ok(()),
        }
    }

    fn put(&mut self, path: &[u8], mark: &Mark) -> Result<()> {
        check_path(path)?;
        let (parent, name) = split(path);
        let at = self.enter(parent)?;
        let at = at.as_fd();
        let there = look(at, name).doing(|| format!("look at {}", shown(path)))?;
        let directory = there
            .as_ref()
            .is_some_and(|there| file_type(there) == FileType::Directory);
        if directory != mark.is_directory() && there.is_some() {
            remove_tree(at, name)?;
        }
        let doing = || format!("put {}", shown(path));
        match mark {
            Mark::Directory { mode } => {
                match rustix::fs::mkdirat(at, name, Mode::RWXU) {
                    Ok(()) => self.own(at, name).doing(doing)?,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error).doing(doing),
                }
                let mode = Mode::from_raw_mode(directory_mode(*mode));
                beneath::open_up(at, name, mode).doing(doing)
            }
            Mark::Link { target } => {
                self.unstage(LINK)?;
                rustix::fs::symlinkat(&**target, self.stage, LINK).doing(doing)?;
                self.own(self.stage, LINK.as_bytes()).doing(doing)?;
                rustix::fs::renameat(self.stage, LINK, at, name).doing(doing)
            }
            Mark::File {
                mode,
                size,
                modified_ns,
                hash,
            } => {
                let file = self.file(hash, *size, *mode, *modified_ns).doing(doing)?;
                drop(file);
                rustix::fs::renameat(self.stage, FILE, at, name).doing(doing)
            }
        }
    }

    /// A copy of a kept content beside its place: the workspace's file is its agent's, the kept one is nobody's.
    fn file(&self, hash: &Hash, size: u64, mode: u32, modified_ns: i64) -> std::io::Result<File> {
        use rustix::fs::OFlags;
        let mut from = self.blobs.get(hash).map_err(std::io::Error::other)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mut to = File::from(rustix::fs::openat(
            self.stage,
            FILE,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        if std::io::copy(&mut from, &mut to)? != size {
            let name = blobs::name(hash);
            return Err(std::io::Error::other(format!(
                "the content {name} is damaged"
            )));
        }
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&to, Some(uid), Some(gid))?;
        }
        to.set_permissions(Permissions::from_mode(file_mode(mode)))?;
        let time = Timespec {
            tv_sec: modified_ns.div_euclid(1_000_000_000),
            tv_nsec: modified_ns.rem_euclid(1_000_000_000) as _,
        };
        rustix::fs::futimens(
            &to,
            &Timestamps {
                last_access: time,
                last_modification: time,
            },
        )?;
        Ok(to)
    }

    /// Opens the parent, made where it is missing: an old version is applied again after a start of the machine, and
    /// a later one may have removed what it stood in.
    fn enter(&mut self, path: &[u8]) -> Result<OwnedFd> {
        if let Some(found) = super::live::parent_of(&mut self.place, path)? {
            return Ok(found);
        }
        let mut end = 0;
        while end < path.len() {
            let next = path[end..].iter().position(|byte| *byte == b'/');
            let upto = next.map_or(path.len(), |at| end + at);
            let (above, name) = split(&path[..upto]);
            let at =
                beneath::directory(self.live, above).doing(|| format!("open {}", shown(above)))?;
            let doing = || format!("make {}", shown(&path[..upto]));
            match look(at.as_fd(), name).doing(doing)? {
                Some(there) if file_type(&there) == FileType::Directory => {}
                there => {
                    if there.is_some() {
                        remove_tree(at.as_fd(), name)?;
                    }
                    rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)).doing(doing)?;
                    self.own(at.as_fd(), name).doing(doing)?;
                }
            }
            end = upto + 1;
        }
        self.place = Cursor::new(self.live);
        self.place
            .open(path)
            .doing(|| format!("open {}", shown(path)))
    }

    fn own(&self, at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
        match self.owner {
            Some((uid, gid)) => {
                rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
            None => Ok(()),
        }
    }

    fn unstage(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(self.stage, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).doing(|| "clear the stage".into()),
        }
    }
}

const FILE: &str = "incoming";
const LINK: &str = "incoming-link";

/// The workspace's directory must lie on the same file system as the store: a path is renamed into it whole.
pub fn require_one_filesystem(live: BorrowedFd<'_>, stage: BorrowedFd<'_>) -> Result<()> {
    let device = |fd| rustix::fs::fstat(fd).map(|found| found.st_dev);
    let (one, other) = (
        device(live).doing(|| "look at the workspace".into())?,
        device(stage).doing(|| "look at the store".into())?,
    );
    if one == other {
        return Ok(());
    }
    Err(Error::new(
        Kind::Failed,
        "workspaces and versions lie on different file systems",
    )
    .hint("keep the state directory on one"))
}
