//! Files and directories, opened so that no link leads astray.
use std::ffi::CStr;
use std::io;
use std::mem::{size_of_val, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{done, owned};

/// Opens `path` as a mere path, following no symbolic link anywhere in it.
pub fn open_path(path: &CStr) -> io::Result<OwnedFd> {
    open_beneath(
        None,
        path,
        (libc::O_PATH | libc::O_CLOEXEC) as u64,
        libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS,
    )
}

/// Opens a directory below `root` as a mere path; links are not followed and `..` cannot leave.
pub fn open_directory_in(root: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    open_beneath(
        Some(root),
        path,
        flags,
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
    )
}

fn open_beneath(
    root: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: u64,
    resolve: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: open_how is plain data; zero is a valid value of it.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = flags;
    how.resolve = resolve;
    let directory = root.map_or(libc::AT_FDCWD, |root| root.as_raw_fd());
    // SAFETY: the path is a C string and `how` has the size given.
    owned(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory,
            path.as_ptr(),
            &how,
            size_of_val(&how),
        )
    })
}

/// Opens a file relative to a directory; `mode` counts only with O_CREAT.
pub fn openat(
    directory: BorrowedFd<'_>,
    path: &CStr,
    flags: libc::c_int,
    mode: libc::mode_t,
) -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string.
    owned(
        unsafe {
            libc::openat(
                directory.as_raw_fd(),
                path.as_ptr(),
                flags | libc::O_CLOEXEC,
                mode,
            )
        }
        .into(),
    )
}

pub fn mkdirat(directory: BorrowedFd<'_>, path: &CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: the path is a C string.
    done(unsafe { libc::mkdirat(directory.as_raw_fd(), path.as_ptr(), mode) }.into())
}

pub fn symlinkat(target: &CStr, directory: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: both are C strings.
    done(unsafe { libc::symlinkat(target.as_ptr(), directory.as_raw_fd(), path.as_ptr()) }.into())
}

pub fn is_directory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: stat is plain data; zero is a valid value of it.
    let mut status: libc::stat = unsafe { zeroed() };
    // SAFETY: `status` is valid to write.
    done(unsafe { libc::fstat(fd.as_raw_fd(), &mut status) }.into())?;
    Ok(status.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

pub fn chdir(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string.
    done(unsafe { libc::chdir(path.as_ptr()) }.into())
}

pub fn fchdir(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain integer.
    done(unsafe { libc::fchdir(fd.as_raw_fd()) }.into())
}
