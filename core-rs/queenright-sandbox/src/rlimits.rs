//! Resource limits of one sandbox.
use crate::message::Limits;
use crate::step::{At, Refusal, Step};
use crate::sys;

/// Locked memory: enough for a key or two, not for starving the host.
const LOCKED_BYTES: u64 = 64 * 1024;
/// Queued signals, counted per user by the kernel.
const PENDING_SIGNALS: u64 = 256;

pub fn apply(limits: &Limits) -> Result<(), Refusal> {
    let mut wanted = vec![
        (libc::RLIMIT_CORE, 0, "core"),
        (libc::RLIMIT_DATA, limits.memory_bytes, "memory_bytes"),
        (libc::RLIMIT_NOFILE, limits.open_files, "open_files"),
        (libc::RLIMIT_FSIZE, limits.file_bytes, "file_bytes"),
        (libc::RLIMIT_MEMLOCK, LOCKED_BYTES, "locked memory"),
        (libc::RLIMIT_MSGQUEUE, 0, "message queues"),
        (libc::RLIMIT_RTPRIO, 0, "realtime priority"),
        (libc::RLIMIT_NICE, 0, "nice"),
    ];
    if let Some(processes) = limits.processes {
        wanted.push((libc::RLIMIT_NPROC, processes, "processes"));
        wanted.push((libc::RLIMIT_SIGPENDING, PENDING_SIGNALS, "pending signals"));
    }
    for (resource, value, name) in wanted {
        // A hard limit already below the fixed ones stays as it is; one below what was asked for is refused.
        let (_, hard) = sys::rlimit(resource).at(Step::Rlimits, || name.into())?;
        let fixed = matches!(resource, libc::RLIMIT_MEMLOCK | libc::RLIMIT_SIGPENDING);
        let value = if fixed { value.min(hard) } else { value };
        if value > hard {
            return Err(Refusal::new(
                Step::Rlimits,
                libc::EPERM,
                format!("{name}: {value} is above the hard limit {hard}"),
            ));
        }
        sys::set_rlimit(resource, value, value).at(Step::Rlimits, || name.into())?;
    }
    Ok(())
}
