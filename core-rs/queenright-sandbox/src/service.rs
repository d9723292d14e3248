//! Host services: programs of the operator's that an action starts. They belong to the host and outlive everything
//! of ours: own session, no sandbox, none of our descriptors, limits or signals.
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use crate::child::ABOUT_TO_RUN;
use crate::message::Service;
use crate::plan::{absolute, arguments, environment};
use crate::step::{self, At, Refusal, Step};
use crate::sys::{self, Cloned};

/// How long a service may take from the fork to its program.
const DEADLINE_MS: i32 = 10_000;
/// `[mark][pid i32][start time u64]`, little endian: what the service says before it becomes its program. No refusal
/// begins with the mark.
const STARTED: usize = 13;

/// A started service: with its start time (clock ticks since boot, proc_pid_stat(5) field 22) the pid cannot be mistaken
/// for a later process.
#[derive(Debug, PartialEq, Eq)]
pub struct Started {
    pub pid: i32,
    pub start_time: u64,
}

struct Plan {
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    pidfile: PathBuf,
    output: OwnedFd,
    nothing: OwnedFd,
    open_files: (u64, u64),
}

/// Starts it through a short-lived child, so that its parent is the machine's first process and not the launcher.
/// `open_files` is the (soft, hard) limit the launcher itself was started with.
pub fn start(request: &Service, open_files: (u64, u64)) -> Result<Started, Refusal> {
    let output = absolute("output", &request.output)?;
    absolute("pidfile", &request.pidfile)?;
    let here = sys::open_path(c"/").at(Step::Output, String::new)?;
    let append =
        libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let plan = Plan {
        argv: arguments(&request.argv)?,
        env: environment(&request.env)?,
        cwd: absolute("cwd", &request.cwd)?,
        pidfile: PathBuf::from(&request.pidfile),
        output: sys::openat(here.as_fd(), &output, append, 0o640)
            .at(Step::Output, || request.output.clone())?,
        nothing: sys::openat(here.as_fd(), c"/dev/null", libc::O_RDWR, 0)
            .at(Step::Output, || "/dev/null".into())?,
        open_files,
    };
    let (status, child_status) = sys::pipe().at(Step::Descriptors, || "pipe".into())?;
    let (pid, pidfd) = match sys::clone3(0).at(Step::Clone, String::new)? {
        Cloned::Child => between(&plan, &child_status),
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((child_status, plan));
    let said = listen(status.as_fd());
    if said.is_err() {
        let _ = sys::pidfd_kill(pidfd.as_fd(), libc::SIGKILL);
    }
    sys::waitpid(pid).at(Step::Fork, String::new)?;
    parse(&said?)
}

/// The child between: leaves the launcher's session, forks once more, ends.
fn between(plan: &Plan, status: &OwnedFd) -> ! {
    let forked = sys::setsid()
        .at(Step::Session, String::new)
        .and_then(|()| sys::fork().at(Step::Fork, String::new));
    let refusal = match forked {
        Ok(0) => {
            let Err(refusal) = become_service(plan, status.as_fd());
            refusal
        }
        Ok(_) => sys::exit_now(0),
        Err(refusal) => refusal,
    };
    let _ = sys::write(status.as_fd(), &step::encode(&refusal));
    sys::exit_now(crate::child::REFUSED)
}

fn become_service(plan: &Plan, status: BorrowedFd<'_>) -> Result<Infallible, Refusal> {
    for (number, descriptor) in [(0, &plan.nothing), (1, &plan.output), (2, &plan.output)] {
        sys::place(descriptor.as_fd(), number).at(Step::Descriptors, String::new)?;
    }
    let kept = status.as_raw_fd();
    sys::close_range(3, kept - 1).at(Step::Descriptors, String::new)?;
    sys::close_range(kept + 1, RawFd::MAX).at(Step::Descriptors, String::new)?;
    sys::reset_signals().at(Step::Session, || "signals".into())?;
    sys::umask(0o022);
    sys::set_rlimit(libc::RLIMIT_NOFILE, plan.open_files.0, plan.open_files.1)
        .at(Step::Rlimits, String::new)?;
    sys::chdir(&plan.cwd).at(Step::WorkingDirectory, || {
        plan.cwd.to_string_lossy().into_owned()
    })?;
    let pid = sys::getpid();
    let start_time = start_time(pid)?;
    write_pidfile(&plan.pidfile, pid)?;
    let mut said = vec![ABOUT_TO_RUN];
    said.extend_from_slice(&pid.to_le_bytes());
    said.extend_from_slice(&start_time.to_le_bytes());
    sys::write(status, &said).at(Step::Exec, || "status pipe".into())?;
    let error = sys::execve(&plan.argv[0], &plan.argv, &plan.env);
    // The file names a process that never became the service.
    let _ = std::fs::remove_file(&plan.pidfile);
    Err(error).at(Step::Exec, || plan.argv[0].to_string_lossy().into_owned())
}

/// Whole or not at all: written beside and renamed, so that a reader never sees half a number.
fn write_pidfile(path: &Path, pid: i32) -> Result<(), Refusal> {
    let name = || path.display().to_string();
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{pid}"));
    std::fs::write(&beside, format!("{pid}\n")).at(Step::PidFile, name)?;
    std::fs::rename(&beside, path).at(Step::PidFile, name)
}

/// Field 22 of /proc/PID/stat. The second field may hold anything, even `) `, so counting starts after the last `)`.
pub fn start_time(pid: i32) -> Result<u64, Refusal> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read(&path).at(Step::PidFile, || path.clone())?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| Refusal::new(Step::PidFile, libc::EPROTO, path))
}

fn listen(status: BorrowedFd<'_>) -> Result<Vec<u8>, Refusal> {
    let mut said = Vec::new();
    loop {
        if sys::poll(status, libc::POLLIN, DEADLINE_MS)
            .at(Step::Deadline, || "status pipe".into())?
            == 0
        {
            return Err(Refusal::new(
                Step::Deadline,
                libc::ETIMEDOUT,
                "the service did not start",
            ));
        }
        let mut bytes = [0; 2048];
        match sys::read(status, &mut bytes).at(Step::Exec, || "status pipe".into())? {
            0 => return Ok(said),
            count => said.extend_from_slice(&bytes[..count]),
        }
    }
}

fn parse(said: &[u8]) -> Result<Started, Refusal> {
    let Some((&[ABOUT_TO_RUN, ref fields @ ..], refusal)) = said.split_at_checked(STARTED) else {
        return Err(step::decode(said));
    };
    let Some((pid, time)) = fields.split_first_chunk::<4>() else {
        return Err(step::decode(said));
    };
    if !refusal.is_empty() {
        return Err(step::decode(refusal));
    }
    let time = time
        .try_into()
        .map_err(|_| Refusal::new(Step::Exec, libc::EPROTO, "start time"))?;
    Ok(Started {
        pid: i32::from_le_bytes(*pid),
        start_time: u64::from_le_bytes(time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_and_a_refusal_are_never_mistaken_for_each_other() {
        let refusal = Refusal::new(
            Step::PidFile,
            libc::ENOENT,
            "a path of more than thirteen bytes",
        );
        assert_eq!(parse(&step::encode(&refusal)), Err(refusal.clone()));
        let mut said = vec![ABOUT_TO_RUN];
        said.extend_from_slice(&7i32.to_le_bytes());
        said.extend_from_slice(&9u64.to_le_bytes());
        assert_eq!(
            parse(&said),
            Ok(Started {
                pid: 7,
                start_time: 9
            })
        );
        said.extend_from_slice(&step::encode(&refusal));
        assert_eq!(parse(&said), Err(refusal));
        assert!(parse(&[]).is_err());
    }
}
