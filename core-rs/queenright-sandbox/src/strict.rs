//! Tier landlock-strict: an agent's program in the host's namespaces, held by Landlock and a filter without sockets.
//!
//! What it has is called as the host calls it: there is no other root. It cannot be told how much of the machine's
//! names, sizes and times it may see, has no /tmp, and shares its user's count of processes: docs/guarantees.md.
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use crate::child::{Place, Plan, lossy, start};
use crate::domain::{self, Access as Right, Outside};
use crate::layout::Access;
use crate::message::{Kind, Spawn};
use crate::plan::absolute;
use crate::seccomp::{self, Walls};
use crate::spawn::Machine;
use crate::step::{At, Refusal, Step};
use crate::{caps, child, rlimits, sys};

/// How often the guard takes dead orphans off the process table.
const REAP_MS: i32 = 1000;

/// Paths of the host.
pub struct Reach {
    pub read: Vec<CString>,
    pub write: Vec<CString>,
    pub devices: Vec<CString>,
}

/// Checks a request of a cell or command for this tier: what needs a namespace is refused by name, not left out.
pub fn check(machine: &Machine, request: &Spawn) -> Result<Place, Refusal> {
    let unfit = [
        (request.landlock.is_some(), "landlock"),
        (request.uid_slot.is_some(), "uid_slot"),
        (request.hostname.is_some(), "hostname"),
        (!request.hide.is_empty(), "hide"),
        (request.limits.tmp_bytes.is_some(), "limits.tmp_bytes"),
    ];
    if let Some((_, name)) = unfit.iter().find(|(given, _)| *given) {
        return Err(Refusal::request(format!(
            "{name} needs namespaces: in tier landlock-strict a program has none"
        )));
    }
    if request.limits.processes.is_none() {
        return Err(Refusal::request("limits.processes is missing"));
    }
    let layout = match request.kind {
        Kind::Command => &machine.command,
        _ => &machine.cell,
    };
    let mut reach = Reach {
        read: Vec::new(),
        write: Vec::new(),
        devices: Vec::new(),
    };
    for mount in &layout.mounts {
        let path = CString::new(mount.source.as_os_str().as_bytes())
            .map_err(|_| Refusal::request("a path holds a NUL byte"))?;
        match mount.access {
            Access::Device => reach.devices.push(path),
            _ => reach.read.push(path),
        }
    }
    for bind in &request.binds {
        if bind.src != bind.dst {
            return Err(Refusal::request(format!(
                "bind {:?} at {:?} needs namespaces: in tier landlock-strict what is shown is shown where it is",
                bind.src, bind.dst
            )));
        }
        let path = absolute("bind src", &bind.src)?;
        if bind.writable {
            reach.write.push(path);
        } else {
            reach.read.push(path);
        }
    }
    Ok(Place::InPlace(reach))
}

/// The kernel counts this user's tasks together, so a sandbox's own share lies above those that are there.
pub fn processes(asked: u64) -> u64 {
    let uid = sys::effective_uid();
    let of_this_user = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit))
        .filter(|entry| entry.metadata().is_ok_and(|about| about.uid() == uid));
    // A directory's links are its subdirectories and two: one a thread.
    let threads = of_this_user.map(|entry| {
        std::fs::metadata(entry.path().join("task"))
            .map_or(1, |tasks| tasks.nlink().saturating_sub(2).max(1))
    });
    asked.saturating_add(threads.sum())
}

/// The paths of the domain.
pub fn rules(reach: &Reach) -> Result<Vec<(OwnedFd, Right)>, Refusal> {
    let of = |paths: &[CString], right| -> Result<Vec<_>, Refusal> {
        paths
            .iter()
            .map(|path| {
                Ok((
                    sys::open_path(path).at(Step::Landlock, || lossy(path))?,
                    right,
                ))
            })
            .collect()
    };
    let mut rules = of(&reach.read, Right::Read)?;
    rules.extend(of(&reach.write, Right::Write)?);
    rules.extend(of(&reach.devices, Right::Device)?);
    Ok(rules)
}

/// The walls of this tier, then the program.
pub fn confine(
    plan: &Plan,
    reach: &Reach,
    status: BorrowedFd<'_>,
    go: OwnedFd,
    report: Option<OwnedFd>,
) -> Result<Infallible, Refusal> {
    let report = report.ok_or_else(|| Refusal::new(Step::Fork, libc::EPROTO, "no report pipe"))?;
    guard(&go, report)?;
    drop(go);
    sys::chdir(&plan.cwd).at(Step::WorkingDirectory, || lossy(&plan.cwd))?;
    rlimits::apply(&plan.limits)?;
    let rules = rules(reach)?;
    caps::drop_for_executor(false)?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).at(Step::NoNewPrivs, String::new)?;
    domain::enter(plan.abi, rules, Outside::Closed)?;
    seccomp::install(Walls::LandlockOnly)?;
    start(plan, status)
}

/// Forks. Returns in the process that will be confined; the other stays outside its domain, so that it cannot be
/// signalled by it, and ends their common process group, which the filter lets nobody leave, when the program has
/// ended or the launcher is gone.
fn guard(go: &OwnedFd, report: OwnedFd) -> Result<(), Refusal> {
    let launcher = sys::pidfd_open(sys::getppid()).at(Step::ParentDeath, String::new)?;
    // Only if the launcher lives is this pidfd its own: it holds the other end of the pipe.
    if sys::poll(go.as_fd(), libc::POLLIN, 0).at(Step::ParentDeath, String::new)? != 0 {
        return Err(Refusal::new(
            Step::ParentDeath,
            libc::ESRCH,
            "the launcher is gone",
        ));
    }
    match sys::fork().at(Step::Fork, String::new)? {
        0 => Ok(()),
        program => watch(program, &launcher, &report),
    }
}

fn watch(program: libc::pid_t, launcher: &OwnedFd, report: &OwnedFd) -> ! {
    let watched = sys::pidfd_open(program);
    if let Ok(watched) = &watched
        && prepare([
            launcher.as_raw_fd(),
            report.as_raw_fd(),
            watched.as_raw_fd(),
        ])
        .is_ok()
    {
        stand_by(program, watched, launcher, report);
    }
    // Every end is the end of the group, this process in it.
    let _ = sys::kill(0, libc::SIGKILL);
    sys::exit_now(child::REFUSED)
}

/// Not killed with the launcher but told of its end, so that the group can be ended; looked into by nobody; heir of
/// orphans, so that they are still seen as this sandbox's; holding nothing of the program's open.
fn prepare(mut kept: [RawFd; 3]) -> std::io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    kept.sort_unstable();
    let mut next = 0;
    for number in kept {
        if number > next {
            sys::close_range(next, number - 1)?;
        }
        next = number + 1;
    }
    sys::close_range(next, RawFd::MAX)?;
    sys::prctl(libc::PR_SET_PDEATHSIG, 0).map(drop)
}

fn stand_by(program: libc::pid_t, watched: &OwnedFd, launcher: &OwnedFd, report: &OwnedFd) {
    loop {
        let Ok([ended, gone]) =
            sys::poll_each([watched.as_fd(), launcher.as_fd()], libc::POLLIN, REAP_MS)
        else {
            return;
        };
        if gone != 0 {
            return;
        }
        if ended != 0 {
            if let Ok((_, raw)) = sys::waitpid(program) {
                let _ = sys::write(report.as_fd(), &raw.to_le_bytes());
            }
            return;
        }
        sys::reap_others(program);
    }
}
