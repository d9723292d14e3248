//! Descriptors of any kind.
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{done, owned};

/// Takes ownership of a descriptor number this process was started with.
///
/// Call it at most once a number, at the start of main; a closed number is refused.
pub fn adopt(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks at the descriptor table.
    done(unsafe { libc::fcntl(raw, libc::F_GETFD) }.into())?;
    // SAFETY: the number is open (checked above) and the caller is its only owner by this function's contract.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A pipe: (read end, write end), both close-on-exec.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    Ok((owned(ends[0].into())?, owned(ends[1].into())?))
}

/// A copy of a descriptor this process was given at the number `number`.
pub fn held(number: usize) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: plain integers; a closed number is refused by the kernel.
    owned(unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 3) }.into())
}

/// A copy at the first free number from `lowest` on, close-on-exec.
pub fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) }.into())
}

/// Copies `fd` to the number `target`, replacing what was there; kept across exec.
///
/// The caller must not own `target` through an `OwnedFd`.
pub fn place(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: plain integers.
    done(unsafe { libc::dup3(fd.as_raw_fd(), target, 0) }.into())
}

/// Leaves this descriptor open in the program that comes next, or not.
pub fn keep_across_exec(fd: BorrowedFd<'_>, keep: bool) -> io::Result<()> {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: plain integers.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }.into())
}

/// An empty file that is nowhere but in memory, close-on-exec.
pub fn memory_file(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a NUL and outlives the call.
    owned(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) }.into())
}

/// Closes every descriptor from `first` to `last`. No `OwnedFd` of the caller's may be among them afterwards used.
pub fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: plain integers.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Waits until `fd` has `events` or an error, at most `milliseconds`; the events that came, 0 for none in time.
pub fn poll(
    fd: BorrowedFd<'_>,
    events: libc::c_short,
    milliseconds: i32,
) -> io::Result<libc::c_short> {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    done(unsafe { libc::poll(&mut entry, 1, milliseconds) }.into())?;
    Ok(entry.revents)
}

/// As [`poll`], for two at once: the events of each.
pub fn poll_each(
    fds: [BorrowedFd<'_>; 2],
    events: libc::c_short,
    milliseconds: i32,
) -> io::Result<[libc::c_short; 2]> {
    let mut entries = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    });
    // SAFETY: two valid pollfds.
    done(unsafe { libc::poll(entries.as_mut_ptr(), 2, milliseconds) }.into())?;
    Ok(entries.map(|entry| entry.revents))
}

pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error => return Err(error),
            },
        }
    }
}

pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error => return Err(error),
            },
        }
    }
}
