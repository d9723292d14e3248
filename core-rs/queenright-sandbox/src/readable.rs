//! Whether something has come on a descriptor: asked between two steps of agents, so it must cost next to nothing.
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::sys;

/// A descriptor that is only looked at.
pub struct Readable(OwnedFd);

impl Readable {
    /// Looks at a copy, so that the number stays its owner's. Refuses a number that is not open.
    pub fn of(raw: RawFd) -> io::Result<Self> {
        sys::held(usize::try_from(raw).map_err(io::Error::other)?).map(Self)
    }

    /// Something can be read, the other end is gone, or it cannot be told: then too somebody has to go and see.
    #[must_use]
    pub fn now(&self) -> bool {
        sys::poll(self.0.as_fd(), libc::POLLIN, 0).map_or(true, |events| events != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn says_that_something_came_and_that_the_other_end_is_gone() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let readable = Readable::of(near.as_raw_fd()).unwrap();
        assert!(!readable.now());
        far.write_all(b"x").unwrap();
        assert!(readable.now());
        let (far, near) = UnixStream::pair().unwrap();
        let readable = Readable::of(near.as_raw_fd()).unwrap();
        drop(far);
        assert!(readable.now());
    }

    #[test]
    fn a_closed_number_is_refused() {
        assert!(Readable::of(RawFd::MAX).is_err());
    }
}
