//! A Landlock domain for the supervisor itself.
use std::ffi::CString;

use crate::domain::{self, Access, MAX_ABI, Outside};
use crate::step::{At, Refusal, Step};
use crate::sys;

/// Restricts this process to reading `read` and changing `write` (directories or files, without symbolic links in
/// their paths). Returns the Landlock ABI used.
///
/// The domain holds for the calling thread and what it starts from now on, so it is refused once there are others.
pub fn restrict_self(read: &[String], write: &[String]) -> Result<u32, Refusal> {
    let threads = std::fs::read_dir("/proc/self/task")
        .at(Step::Landlock, || "/proc/self/task".into())?
        .count();
    if threads != 1 {
        let why =
            format!("{threads} threads run already, and a domain would hold for one of them only");
        return Err(Refusal::new(Step::Landlock, libc::EBUSY, why));
    }
    let abi = domain::choose_abi(MAX_ABI)?;
    let mut rules = Vec::new();
    for (paths, access) in [(read, Access::Read), (write, Access::Write)] {
        for path in paths {
            let name = CString::new(path.as_str())
                .map_err(|_| Refusal::request("a path holds a NUL byte"))?;
            rules.push((
                sys::open_path(&name).at(Step::Landlock, || path.clone())?,
                access,
            ));
        }
    }
    domain::enter(abi, rules, Outside::NetworkAndSignals)?;
    Ok(abi)
}
