//! Removing whatever an agent built, however deep: a list of directories, no recursion, one descriptor at a time.
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::beneath::{self, Cursor, file_type, look};
use super::change::{join, split};
use super::error::{Doing, Result, shown};

/// Removes `name` in the directory `parent`, and all below it. Absent is no error.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let doing = || format!("remove {}", shown(name));
    let Some(found) = look(parent, name).doing(doing)? else {
        return Ok(());
    };
    if file_type(&found) != FileType::Directory {
        return unlink(parent, name, AtFlags::empty());
    }
    // Directories in the order they were found: one comes after the one it lies in, so they are emptied from the end.
    let mut left = vec![name.to_vec()];
    let mut place = Cursor::new(parent);
    while let Some(path) = left.last().cloned() {
        let (above, last) = split(&path);
        let above = place.open(above).doing(doing)?;
        match rustix::fs::unlinkat(&above, last, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {
                left.pop();
                continue;
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error).doing(doing),
        }
        beneath::open_up(above.as_fd(), last, Mode::RWXU).doing(doing)?;
        let here = beneath::directory(above.as_fd(), last).doing(doing)?;
        for name in beneath::names(here.as_fd(), usize::MAX)? {
            match look(here.as_fd(), &name).doing(doing)? {
                Some(found) if file_type(&found) == FileType::Directory => {
                    left.push(join(&path, &name));
                }
                Some(_) => unlink(here.as_fd(), &name, AtFlags::empty())?,
                None => {}
            }
        }
    }
    Ok(())
}

fn unlink(parent: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).doing(|| format!("remove {}", shown(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_directory_three_thousand_deep_with_closed_ones_in_it_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let root = fs::File::open(place.path()).unwrap();
        let mut here = beneath::directory(root.as_fd(), b"").unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = beneath::directory(here.as_fd(), b"d").unwrap();
        }
        fs::create_dir_all(place.path().join("d/x/y")).unwrap();
        fs::write(place.path().join("d/x/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc", place.path().join("d/x/link")).unwrap();
        fs::set_permissions(place.path().join("d/x"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(root.as_fd(), b"d").unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(fs::metadata("/etc").is_ok());
    }
}
