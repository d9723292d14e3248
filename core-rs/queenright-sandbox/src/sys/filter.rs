//! The two filters a process puts on itself for good: seccomp, and asking for Landlock.
use std::io;
use std::ptr;

use super::{check, done};

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;

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
