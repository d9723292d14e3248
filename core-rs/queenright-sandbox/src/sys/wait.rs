//! Waiting for many descriptors at once.
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, done, owned};

pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: an integer.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())
}

/// Adds, changes or removes (`operation`: EPOLL_CTL_*) a descriptor under a token.
pub fn epoll_control(
    epoll: BorrowedFd<'_>,
    operation: libc::c_int,
    fd: BorrowedFd<'_>,
    events: libc::c_int,
    token: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: events.cast_unsigned(),
        u64: token,
    };
    // SAFETY: `event` is a valid epoll_event.
    done(
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) }.into(),
    )
}

/// Waits for events; (token, events) each. A negative time waits without end.
pub fn epoll_wait(epoll: BorrowedFd<'_>, milliseconds: i32) -> io::Result<Vec<(u64, u32)>> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
    let room = events.as_mut_ptr();
    // SAFETY: room for 64 events.
    let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), room, 64, milliseconds) };
    let count = match check(count.into()) {
        Ok(count) => usize::try_from(count).map_err(io::Error::other)?,
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => 0,
        Err(error) => return Err(error),
    };
    Ok(events[..count]
        .iter()
        .map(|event| (event.u64, event.events))
        .collect())
}
