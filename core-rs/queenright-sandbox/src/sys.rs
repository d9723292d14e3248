//! The kernel's calls, one safe function each. Every `unsafe` of the workspace is in this file.
//!
//! Two rules hold for all of it: descriptors go in as borrowed and come out as owned, and no function keeps a
//! pointer past its return. Functions that fork say so; only the single-threaded launcher may call those.
use std::ffi::CStr;
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

pub const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub const MOUNT_ATTR_NODEV: u64 = 0x4;
pub const MOUNT_ATTR_NOEXEC: u64 = 0x8;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

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

/// Takes ownership of a descriptor number this process was started with.
///
/// Call it at most once a number, at the start of main; a closed number is refused.
pub fn adopt(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks at the descriptor table.
    done(unsafe { libc::fcntl(raw, libc::F_GETFD) }.into())?;
    // SAFETY: the number is open (checked above) and the caller is its only owner by this function's contract.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

// --- processes ------------------------------------------------------------------------------------------------

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
pub fn execve(path: &CStr, argv: &[std::ffi::CString], env: &[std::ffi::CString]) -> io::Error {
    let pointers = |strings: &[std::ffi::CString]| -> Vec<*const libc::c_char> {
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

pub fn ignore_signal(signal: libc::c_int) {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

// --- identity -------------------------------------------------------------------------------------------------

/// Sets real, effective and saved gid and uid of this process (raw calls: one thread).
pub fn become_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: plain integers; the raw calls change this one thread, which is the whole process.
    done(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    done(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

pub fn clear_groups() -> io::Result<()> {
    // SAFETY: a count of 0 reads nothing from the pointer.
    done(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<u32>()) })
}

/// `prctl(option, value)` with the rest zero.
pub fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the options this crate uses take integers only.
    let result = unsafe {
        libc::prctl(
            option,
            value,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    done(result.into())?;
    Ok(result)
}

/// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)`.
pub fn clear_ambient() -> io::Result<()> {
    // SAFETY: integers only.
    done(
        unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_CLEAR_ALL,
                0,
                0,
                0,
            )
        }
        .into(),
    )
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Effective and permitted capabilities become `set` (bit n is capability n), inheritable none.
pub fn capset(set: u64) -> io::Result<()> {
    let header = CapHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| {
        let bits = (set >> shift & u64::from(u32::MAX)) as u32;
        CapData {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads one header and exactly two data records.
    done(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) })
}

/// The permitted capabilities of this process.
pub fn capget() -> io::Result<u64> {
    let header = CapHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 writes exactly two data records.
    done(unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) })?;
    Ok(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32)
}

// --- limits ---------------------------------------------------------------------------------------------------

pub type Resource = libc::__rlimit_resource_t;

pub fn set_rlimit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` is a valid rlimit to read.
    done(unsafe { libc::setrlimit(resource, &limit) }.into())
}

/// (soft, hard).
pub fn rlimit(resource: Resource) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit to write.
    done(unsafe { libc::getrlimit(resource, &mut limit) }.into())?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

// --- descriptors ----------------------------------------------------------------------------------------------

/// A pipe: (read end, write end), both close-on-exec.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    Ok((owned(ends[0].into())?, owned(ends[1].into())?))
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

// --- files ----------------------------------------------------------------------------------------------------

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

// --- mounts ---------------------------------------------------------------------------------------------------

/// Makes every mount of this namespace private, so that nothing of ours reaches the host's.
pub fn make_all_private() -> io::Result<()> {
    // SAFETY: C strings; a null source, type and data are right for a propagation change.
    done(
        unsafe {
            libc::mount(
                ptr::null(),
                c"/".as_ptr(),
                ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                ptr::null(),
            )
        }
        .into(),
    )
}

/// A detached copy of the mount tree at `path` (with what is mounted below it).
pub fn clone_tree(path: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).cast_unsigned();
    // SAFETY: an empty path means the descriptor itself.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, path.as_raw_fd(), c"".as_ptr(), flags) })
}

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets mount attributes, on the whole tree if `recursive`, and makes it private.
pub fn set_mount_attributes(tree: BorrowedFd<'_>, set: u64, recursive: bool) -> io::Result<()> {
    let attributes = MountAttr {
        set,
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an empty path means the descriptor itself; `attributes` has the size given.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &attributes,
            size_of::<MountAttr>(),
        )
    })
}

/// Attaches a detached tree at `path` below `directory` (an empty path: at the directory itself).
pub fn attach(tree: BorrowedFd<'_>, directory: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are C strings.
    done(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
        )
    })
}

/// A new, detached filesystem of `kind` with `options` (given one by one: no string to escape; one without a value
/// is a flag).
pub fn new_filesystem(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: C string and integer.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        let (command, value) = match value.is_empty() {
            true => (FSCONFIG_SET_FLAG, ptr::null()),
            false => (FSCONFIG_SET_STRING, value.as_ptr()),
        };
        // SAFETY: C strings; a flag takes a null value.
        done(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                command,
                key.as_ptr(),
                value,
                0,
            )
        })?;
    }
    // SAFETY: CMD_CREATE takes null key and value.
    done(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            ptr::null::<u8>(),
            ptr::null::<u8>(),
            0,
        )
    })?;
    // SAFETY: integers only.
    owned(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        )
    })
}

/// `pivot_root(".", ".")`: the working directory becomes the root, the old root lies on top of it.
pub fn pivot_here() -> io::Result<()> {
    // SAFETY: C strings.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
}

/// Detaches the mount at the working directory, with everything below.
pub fn detach_here() -> io::Result<()> {
    // SAFETY: a C string.
    done(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())
}

// --- network, names -------------------------------------------------------------------------------------------

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: integers only.
    let socket = owned(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    // SAFETY: ifreq is plain data; zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *slot = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) }.into())
}

pub fn sethostname(name: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are of the same slice.
    done(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())
}

// --- filters --------------------------------------------------------------------------------------------------

/// One instruction of the kernel's classic packet filter.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

#[repr(C)]
struct Program {
    length: libc::c_ushort,
    instructions: *const Instruction,
}

/// Puts a seccomp filter on this thread. Needs no_new_privs.
pub fn seccomp(filter: &[Instruction]) -> io::Result<()> {
    let length = libc::c_ushort::try_from(filter.len()).map_err(io::Error::other)?;
    let program = Program {
        length,
        instructions: filter.as_ptr(),
    };
    // SAFETY: the program points at `length` instructions that outlive the call; the kernel copies them.
    done(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) })
}

/// The kernel's Landlock ABI, or why there is none.
pub fn landlock_abi() -> io::Result<u32> {
    // SAFETY: a null attribute of size 0 with the version flag only asks.
    let version = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    })?;
    u32::try_from(version).map_err(io::Error::other)
}

// --- the control socket ---------------------------------------------------------------------------------------

/// Descriptors that fit one message.
pub const MAX_DESCRIPTORS: usize = 16;

/// Room for one SCM_RIGHTS message of MAX_DESCRIPTORS, aligned as cmsghdr needs.
#[repr(C, align(8))]
struct ControlBuffer([u8; 128]);

/// One received packet.
pub struct Packet {
    pub length: usize,
    pub descriptors: Vec<OwnedFd>,
    /// The packet was longer than the buffer, or carried more descriptors than fit.
    pub cut: bool,
}

/// Receives one packet and its descriptors (close-on-exec). A length of 0 is the end of the stream.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Packet> {
    let mut control = ControlBuffer([0; 128]);
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is plain data; zero is a valid value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: header, vector and both buffers are valid for the call.
    let length = check(unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &mut header,
            libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT,
        )
    } as libc::c_long)?;
    let mut descriptors = Vec::new();
    // SAFETY: the CMSG functions walk the control buffer within msg_controllen, which the kernel has set.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&header);
        while !item.is_null() {
            if (*item).cmsg_level == libc::SOL_SOCKET && (*item).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*item).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(item).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    // Each is a descriptor the kernel has just given us.
                    descriptors.push(OwnedFd::from_raw_fd(first.add(index).read_unaligned()));
                }
            }
            item = libc::CMSG_NXTHDR(&header, item);
        }
    }
    Ok(Packet {
        length: usize::try_from(length).map_err(io::Error::other)?,
        descriptors,
        cut: header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

/// Sends one packet with at most one descriptor; EAGAIN when the socket is full.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut control = ControlBuffer([0; 128]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: msghdr is plain data; zero is a valid value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        header.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: the control buffer is larger than one descriptor needs, and aligned.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let item = libc::CMSG_FIRSTHDR(&header);
            (*item).cmsg_level = libc::SOL_SOCKET;
            (*item).cmsg_type = libc::SCM_RIGHTS;
            (*item).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(item)
                .cast::<RawFd>()
                .write_unaligned(descriptor.as_raw_fd());
        }
    }
    // SAFETY: header, vector and both buffers are valid for the call.
    done(unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &header,
            libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
        )
    } as libc::c_long)
}

fn socket_option<T>(socket: BorrowedFd<'_>, option: libc::c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let place = ptr::from_mut(&mut value).cast();
    let number = socket.as_raw_fd();
    // SAFETY: `value` is valid to write for `length` bytes; callers use plain data.
    let got = unsafe { libc::getsockopt(number, libc::SOL_SOCKET, option, place, &mut length) };
    done(got.into())?;
    Ok(value)
}

/// The type of a socket (SOCK_SEQPACKET, ...).
pub fn socket_type(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    socket_option(socket, libc::SO_TYPE, 0)
}

/// The pid of the process that made this socket pair.
pub fn peer_pid(socket: BorrowedFd<'_>) -> io::Result<libc::pid_t> {
    let nobody = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    socket_option(socket, libc::SO_PEERCRED, nobody).map(|peer| peer.pid)
}

// --- waiting --------------------------------------------------------------------------------------------------

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
