//! Capabilities and securebits.
use crate::step::{At, Refusal, Step};
use crate::sys;

/// NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and KEEP_CAPS locked off: no way back up.
const LOCKED: libc::c_ulong = 0xef;
const NO_SETUID_FIXUP: libc::c_ulong = 0x4;
const HIGHEST: libc::c_ulong = 63;

/// What an executor of a supervisor that runs as root keeps: it edits other users' files and signals their
/// processes where its Landlock domain lets it, and nothing else (capability.h: CHOWN 0, DAC_OVERRIDE 1, FOWNER 3,
/// KILL 5).
const EXECUTOR: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5;

/// Keeps capabilities across the change of uid that follows.
pub fn keep_across_setuid() -> Result<(), Refusal> {
    sys::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP)
        .at(Step::Identity, String::new)
        .map(drop)
}

fn drop_bounding(keep: u64) -> Result<(), Refusal> {
    for capability in 0..=HIGHEST {
        if keep >> capability & 1 == 1 {
            continue;
        }
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            // Past the last capability this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => {
                return Err(error).at(Step::Caps, || {
                    format!("bounding set, capability {capability}")
                });
            }
        }
    }
    Ok(())
}

/// No capability in any set, now or after any exec.
pub fn drop_all() -> Result<(), Refusal> {
    drop_bounding(0)?;
    sys::clear_ambient().at(Step::Caps, || "ambient set".into())?;
    sys::prctl(libc::PR_SET_SECUREBITS, LOCKED).at(Step::Caps, || "securebits".into())?;
    sys::capset(0).at(Step::Caps, || "capset".into())?;
    match sys::capget().at(Step::Caps, || "capget".into())? {
        0 => Ok(()),
        left => Err(Refusal::new(
            Step::Caps,
            libc::EPERM,
            format!("capabilities left: {left:#x}"),
        )),
    }
}

/// For a process that was given none: seen to be so in every set an exec could draw from.
pub fn see_none() -> Result<(), Refusal> {
    sys::clear_ambient().at(Step::Caps, || "ambient set".into())?;
    let bounding = (0..=HIGHEST)
        .map_while(|capability| sys::prctl(libc::PR_CAPBSET_READ, capability).ok())
        .filter(|&there| there != 0)
        .count();
    match (sys::capget().at(Step::Caps, || "capget".into())?, bounding) {
        (0, 0) => Ok(()),
        (held, bounding) => Err(Refusal::new(
            Step::Caps,
            libc::EPERM,
            format!("capabilities left: {held:#x}, and {bounding} in the bounding set"),
        )),
    }
}

/// An executor keeps what [`EXECUTOR`] names if the launcher is root, and nothing otherwise.
pub fn drop_for_executor(root: bool) -> Result<(), Refusal> {
    sys::clear_ambient().at(Step::Caps, || "ambient set".into())?;
    if !root {
        return sys::capset(0).at(Step::Caps, || "capset".into());
    }
    drop_bounding(EXECUTOR)?;
    let held = sys::capget().at(Step::Caps, || "capget".into())?;
    sys::capset(held & EXECUTOR).at(Step::Caps, || "capset".into())
}
