//! Making, ending and awaiting processes.
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::{check, done, owned};

/// Which side of a clone this is.
pub enum Cloned {
    Child,
    Parent { pid: libc::pid_t, pidfd: OwnedFd },
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into the namespaces of `flags`, with a pidfd. Forks: only for a process with one thread.
pub fn clone3(flags: libc::c_int) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    let arguments = CloneArgs {
        flags: u64::from((flags | libc::CLONE_PIDFD).cast_unsigned()),
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM and CLONE_THREAD this is a fork: the child has its own copy of the memory, and the
    // one thread that exists is the one that continues, so no lock is held by a thread that is gone.
    match check(unsafe { libc::syscall(libc::SYS_clone3, &arguments, size_of::<CloneArgs>()) })? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: libc::pid_t::try_from(pid).map_err(io::Error::other)?,
            pidfd: owned(pidfd.into())?,
        }),
    }
}

/// Forks; 0 in the child. Only for a process with one thread.
pub fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: as for clone3, the calling process has one thread.
    let pid = unsafe { libc::fork() };
    done(pid.into())?;
    Ok(pid)
}

/// Ends this process at once, without running destructors or flushing anything.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Replaces the program. Returns only with an error.
pub fn execve(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

pub fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

pub fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: a null siginfo asks for the one kill() would send.
    done(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<u8>(),
            0,
        )
    })
}

pub fn kill(pid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: plain integers.
    done(unsafe { libc::kill(pid, signal) }.into())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

/// The end of the process behind a pidfd: None while it runs. Reaps it unless `keep`.
pub fn wait_pidfd(pidfd: BorrowedFd<'_>, keep: bool) -> io::Result<Option<End>> {
    // SAFETY: siginfo_t is plain data; zero is a valid value of it.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | if keep { libc::WNOWAIT } else { 0 };
    let number = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: `info` is a valid siginfo_t for the kernel to write.
    let waited = unsafe { libc::waitid(libc::P_PIDFD, number, &mut info, flags) };
    done(waited.into())?;
    // SAFETY: after a successful waitid these fields are set, or all zero when nothing ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(if info.si_code == libc::CLD_EXITED {
        End::Code(status)
    } else {
        End::Signal(status)
    }))
}

/// Waits for a child (any when `pid` is -1); its pid and raw wait status.
pub fn waitpid(pid: libc::pid_t) -> io::Result<(libc::pid_t, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid int for the kernel to write.
        let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
        match check(ended.into()) {
            Ok(_) => return Ok((ended, status)),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes ended children off the process table, but not `kept`, whose end is somebody's to hear.
pub fn reap_others(kept: libc::pid_t) {
    loop {
        // SAFETY: siginfo_t is plain data; zero is a valid value of it.
        let mut info: libc::siginfo_t = unsafe { zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` is a valid siginfo_t for the kernel to write.
        let looked = unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) };
        // SAFETY: after a successful waitid the field is set, or zero when nothing has ended.
        let pid = unsafe { info.si_pid() };
        if looked != 0 || pid == 0 || pid == kept || waitpid(pid).is_err() {
            return;
        }
    }
}

pub fn end_of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Code(libc::WEXITSTATUS(status))
    }
}

pub fn getpid() -> libc::pid_t {
    // SAFETY: always succeeds.
    unsafe { libc::getpid() }
}

pub fn getppid() -> libc::pid_t {
    // SAFETY: always succeeds.
    unsafe { libc::getppid() }
}

pub fn effective_uid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
}

pub fn effective_gid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::getegid() }
}

pub fn setsid() -> io::Result<()> {
    // SAFETY: no arguments.
    done(unsafe { libc::setsid() }.into())
}

pub fn umask(mask: libc::mode_t) {
    // SAFETY: always succeeds.
    unsafe { libc::umask(mask) };
}

/// Sets every signal back to its default action and unblocks all: an exec keeps ignored and blocked ones.
pub fn reset_signals() -> io::Result<()> {
    for signal in 1..libc::SIGRTMAX() {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL is a valid disposition; numbers the C library keeps for itself fail harmlessly.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an empty signal set is a valid mask.
    unsafe {
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut none);
        done(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()).into())
    }
}
