//! What a process that holds secrets does to itself first.
use std::io;

use crate::sys;

/// No core file, and no other process of this user may look into this one's memory or descriptors.
pub fn harden_process() -> io::Result<()> {
    sys::set_rlimit(libc::RLIMIT_CORE, 0, 0)?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    match sys::prctl(libc::PR_GET_DUMPABLE, 0)? {
        0 => Ok(()),
        _ => Err(io::Error::other("the process is still dumpable")),
    }
}
