//! System call numbers by architecture, from the kernel's own tables
//! (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
//!
//! The x86-64 column is what runs in every test. The aarch64 column has never been run: it is checked against the
//! kernel's published header and, independently of that, against the table of the `syscalls` crate.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

#[cfg(target_arch = "x86_64")]
pub const NATIVE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
pub const NATIVE: Arch = Arch::Aarch64;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("no system call table for this architecture: sandboxes cannot be made on it");

/// The architecture has no such call.
pub const NONE: u32 = u32::MAX;

/// (name, x86-64, aarch64)
pub type Row = (&'static str, u32, u32);

pub fn number(row: Row, arch: Arch) -> Option<u32> {
    let number = match arch {
        Arch::X86_64 => row.1,
        Arch::Aarch64 => row.2,
    };
    (number != NONE).then_some(number)
}

/// The first number no published kernel used when these tables were written: from here on, ENOSYS.
pub const FIRST_UNKNOWN: u32 = 470;

pub const CLONE: Row = ("clone", 56, 220);
pub const CLONE3: Row = ("clone3", 435, 435);
pub const SOCKET: Row = ("socket", 41, 198);
pub const SOCKETPAIR: Row = ("socketpair", 53, 199);
pub const CONNECT: Row = ("connect", 42, 203);
pub const BIND: Row = ("bind", 49, 200);
pub const LISTEN: Row = ("listen", 50, 201);
pub const ACCEPT: Row = ("accept", 43, 202);
pub const ACCEPT4: Row = ("accept4", 288, 242);
pub const IOCTL: Row = ("ioctl", 16, 29);
pub const FCNTL: Row = ("fcntl", 72, 25);
pub const PRLIMIT64: Row = ("prlimit64", 302, 261);

/// Denied in every sandbox: each either changes the machine, reaches other processes, makes namespaces or mounts,
/// or opens a part of the kernel that agents' code has no use for and whose flaws are many.
pub const DENIED: &[Row] = &[
    ("acct", 163, 89),
    ("add_key", 248, 217),
    ("adjtimex", 159, 171),
    ("bpf", 321, 280),
    ("chroot", 161, 51),
    ("clock_adjtime", 305, 266),
    ("clock_settime", 227, 112),
    ("create_module", 174, NONE),
    ("delete_module", 176, 106),
    ("fanotify_init", 300, 262),
    ("fanotify_mark", 301, 263),
    ("finit_module", 313, 273),
    ("fsconfig", 431, 431),
    ("fsmount", 432, 432),
    ("fsopen", 430, 430),
    ("fspick", 433, 433),
    ("get_kernel_syms", 177, NONE),
    ("init_module", 175, 105),
    ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427),
    ("io_uring_setup", 425, 425),
    ("ioperm", 173, NONE),
    ("iopl", 172, NONE),
    ("kcmp", 312, 272),
    ("kexec_file_load", 320, 294),
    ("kexec_load", 246, 104),
    ("keyctl", 250, 219),
    ("listmount", 458, 458),
    ("lookup_dcookie", 212, 18),
    ("lsm_set_self_attr", 460, 460),
    ("memfd_secret", 447, 447),
    ("migrate_pages", 256, 238),
    ("modify_ldt", 154, NONE),
    ("mount", 165, 40),
    ("mount_setattr", 442, 442),
    ("move_mount", 429, 429),
    ("move_pages", 279, 239),
    ("name_to_handle_at", 303, 264),
    ("nfsservctl", 180, 42),
    ("open_by_handle_at", 304, 265),
    ("open_tree", 428, 428),
    ("open_tree_attr", 467, 467),
    ("perf_event_open", 298, 241),
    ("personality", 135, 92),
    ("pidfd_getfd", 438, 438),
    ("pivot_root", 155, 41),
    ("process_madvise", 440, 440),
    ("process_mrelease", 448, 448),
    ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271),
    ("ptrace", 101, 117),
    ("query_module", 178, NONE),
    ("quotactl", 179, 60),
    ("quotactl_fd", 443, 443),
    ("reboot", 169, 142),
    ("request_key", 249, 218),
    ("set_mempolicy_home_node", 450, 450),
    ("setdomainname", 171, 162),
    ("sethostname", 170, 161),
    ("setns", 308, 268),
    ("settimeofday", 164, 170),
    ("statmount", 457, 457),
    ("swapoff", 168, 225),
    ("swapon", 167, 224),
    ("syslog", 103, 116),
    ("_sysctl", 156, NONE),
    ("sysfs", 139, NONE),
    ("umount2", 166, 39),
    ("unshare", 272, 97),
    ("uselib", 134, NONE),
    ("userfaultfd", 323, 282),
    ("ustat", 136, NONE),
    ("vhangup", 153, 58),
    ("vmsplice", 278, 75),
];

/// Denied as well where a program shares the host's namespaces (tier landlock-strict). Landlock says nothing about a
/// file's mode, owner, times and attributes, and a user's other processes and their message queues, memory and
/// semaphores are within reach by number; leaving the process group would be leaving the stop button.
pub const DENIED_IN_PLACE: &[Row] = &[
    ("chmod", 90, NONE),
    ("chown", 92, NONE),
    ("fchmod", 91, 52),
    ("fchmodat", 268, 53),
    ("fchmodat2", 452, 452),
    ("fchown", 93, 55),
    ("fchownat", 260, 54),
    ("file_setattr", 469, 469),
    ("fremovexattr", 199, 16),
    ("fsetxattr", 190, 7),
    ("futimesat", 261, NONE),
    ("inotify_add_watch", 254, 27),
    ("inotify_init", 253, NONE),
    ("inotify_init1", 294, 26),
    ("ioprio_set", 251, 30),
    ("lchown", 94, NONE),
    ("lremovexattr", 198, 15),
    ("lsetxattr", 189, 6),
    ("mq_open", 240, 180),
    ("mq_unlink", 241, 181),
    ("msgctl", 71, 187),
    ("msgget", 68, 186),
    ("msgrcv", 70, 188),
    ("msgsnd", 69, 189),
    ("removexattr", 197, 14),
    ("removexattrat", 466, 466),
    ("sched_setaffinity", 203, 122),
    ("sched_setattr", 314, 274),
    ("sched_setparam", 142, 118),
    ("sched_setscheduler", 144, 119),
    ("semctl", 66, 191),
    ("semget", 64, 190),
    ("semop", 65, 193),
    ("semtimedop", 220, 192),
    ("setpgid", 109, 154),
    ("setpriority", 141, 140),
    ("setsid", 112, 157),
    ("setxattr", 188, 5),
    ("setxattrat", 463, 463),
    ("shmat", 30, 196),
    ("shmctl", 31, 195),
    ("shmdt", 67, 197),
    ("shmget", 29, 194),
    ("utime", 132, NONE),
    ("utimensat", 280, 88),
    ("utimes", 235, NONE),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers a header defines as `#define __NR_name number`.
    fn header(path: &str) -> std::collections::HashMap<String, u32> {
        let text = std::fs::read_to_string(path)
            .expect("the kernel's headers (linux-libc-dev) are needed for this test");
        let define = |line: &str| {
            let rest = line.strip_prefix("#define __NR")?;
            let (name, number) = rest
                .strip_prefix("3264")
                .unwrap_or(rest)
                .strip_prefix('_')?
                .split_once(' ')?;
            Some((name.to_owned(), number.trim().parse().ok()?))
        };
        text.lines().filter_map(define).collect()
    }

    fn rows() -> impl Iterator<Item = Row> {
        let single = [
            CLONE, CLONE3, SOCKET, SOCKETPAIR, CONNECT, BIND, LISTEN, ACCEPT, ACCEPT4, IOCTL,
            FCNTL, PRLIMIT64,
        ];
        DENIED.iter().chain(DENIED_IN_PLACE).copied().chain(single)
    }

    /// Headers older than the call do not name it; from 424 on all architectures share one number.
    fn agrees(
        name: &str,
        number: u32,
        published: &std::collections::HashMap<String, u32>,
        newest: u32,
    ) {
        match published.get(name) {
            Some(&theirs) => assert_eq!(number, theirs, "{name}"),
            None => assert!(
                number == NONE || number > newest,
                "{name} is {number}, but the header does not have it"
            ),
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_x86_64_column_is_the_published_one() {
        let published = header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
        let newest = published.values().copied().max().unwrap();
        assert!(newest > 400);
        rows().for_each(|row| agrees(row.0, row.1, &published, newest));
    }

    #[test]
    fn the_aarch64_column_is_the_published_one() {
        let published = header("/usr/include/asm-generic/unistd.h");
        let newest = published
            .iter()
            .filter(|(name, _)| *name != "syscalls")
            .map(|(_, &number)| number)
            .max()
            .unwrap();
        assert!(newest > 400);
        rows().for_each(|row| agrees(row.0, row.2, &published, newest));
    }

    #[test]
    fn calls_newer_than_the_common_numbering_have_one_number() {
        for (name, x86, arm) in rows().filter(|row| row.1 >= 424 && row.1 != NONE) {
            assert_eq!(x86, arm, "{name}");
        }
    }

    /// A second source: the crate's tables are generated from the kernel's by other people's code.
    #[test]
    fn both_columns_are_those_of_an_independent_table() {
        use std::str::FromStr as _;
        let mut checked = 0;
        for (name, x86, arm) in rows() {
            for (ours, theirs) in [
                (
                    x86,
                    syscalls::x86_64::Sysno::from_str(name)
                        .ok()
                        .map(|call| call as u32),
                ),
                (
                    arm,
                    syscalls::aarch64::Sysno::from_str(name)
                        .ok()
                        .map(|call| call as u32),
                ),
            ] {
                match theirs {
                    Some(theirs) => assert_eq!(ours, theirs, "{name}"),
                    None => assert_eq!(ours, NONE, "{name} is not in the other table"),
                }
                checked += 1;
            }
        }
        assert!(checked > 200, "{checked}");
    }
}
