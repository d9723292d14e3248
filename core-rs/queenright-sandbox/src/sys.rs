//! The kernel's calls, one safe function each. Every `unsafe` of the workspace is in this folder.
//!
//! Two rules hold for all of it: descriptors go in as borrowed and come out as owned, and no function keeps a
//! pointer past its return. Functions that fork say so; only the single-threaded launcher may call those.
mod descriptor;
mod filter;
mod identity;
mod mount;
mod path;
mod process;
mod socket;
mod wait;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

pub use descriptor::{
    adopt, close_range, duplicate_from, held, keep_across_exec, memory_file, pipe, place, poll,
    poll_each, read, write,
};
pub use filter::{Instruction, landlock_abi, seccomp};
pub use identity::{
    Resource, become_ids, capget, capset, clear_ambient, clear_groups, prctl, rlimit, set_rlimit,
};
pub use mount::{
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, attach, clone_tree,
    detach_here, make_all_private, new_filesystem, pivot_here, set_mount_attributes,
};
pub use path::{
    chdir, fchdir, is_directory, mkdirat, open_directory_in, open_path, openat, symlinkat,
};
pub use process::{
    Cloned, End, clone3, effective_gid, effective_uid, end_of, execve, exit_now, fork, getpid,
    getppid, kill, pidfd_kill, pidfd_open, reap_others, reset_signals, setsid, umask, wait_pidfd,
    waitpid,
};
pub use socket::{
    MAX_DESCRIPTORS, Packet, listen_on_loopback, loopback_up, peer_pid, receive, send, sethostname,
    socket_type,
};
pub use wait::{epoll_control, epoll_create, epoll_wait};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn done(result: libc::c_long) -> io::Result<()> {
    check(result).map(drop)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests;
