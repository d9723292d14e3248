//! Who a process is, what it may do and how much it may take.
use std::io;
use std::ptr;

use super::done;

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

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

#[cfg(target_env = "gnu")]
pub type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub type Resource = libc::c_int;

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
