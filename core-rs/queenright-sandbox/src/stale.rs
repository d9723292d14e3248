//! What bubblewrap left behind when its launcher was killed: processes that wait for a word nobody will say.
//!
//! Bubblewrap's child asks to die with its parent only after the clone. If launcher and bubblewrap are killed in between, the
//! child waits for ever, before any program of an agent has run in it. Every bubblewrap is started under a name that says
//! whose it is, so the next launcher of this user finds those whose launcher is gone, and ends them.
use std::fs;
use std::os::fd::AsFd as _;

use crate::service::start_time;
use crate::step::Refusal;
use crate::sys;

const PREFIX: &str = "queenright-bwrap-";

/// The name under which the launcher `pid` starts bubblewrap; with its start time the pid is unique.
pub fn name_for(pid: libc::pid_t) -> Result<String, Refusal> {
    Ok(format!("{PREFIX}{pid}-{}", start_time(pid)?))
}

/// Whose it is, if the first word of a command line is such a name.
fn owner(command_line: &[u8]) -> Option<(libc::pid_t, u64)> {
    let first = command_line.split(|&byte| byte == 0).next()?;
    let (pid, time) = std::str::from_utf8(first)
        .ok()?
        .strip_prefix(PREFIX)?
        .split_once('-')?;
    Some((pid.parse().ok()?, time.parse().ok()?))
}

/// Whether its launcher is gone: no process has that number, or another that began at another time.
fn is_stale(command_line: &[u8]) -> bool {
    owner(command_line).is_some_and(|(pid, time)| start_time(pid).ok() != Some(time))
}

/// Ends every such process that this user may end; how many.
pub fn end() -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| end_one(pid)).count()
}

fn end_one(pid: libc::pid_t) -> bool {
    let stale = || fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_stale(&line));
    if !stale() {
        return false;
    }
    // Looked at again once it is held by a descriptor: the number may have become another's in between.
    let Ok(held) = sys::pidfd_open(pid) else {
        return false;
    };
    stale() && sys::pidfd_kill(held.as_fd(), libc::SIGKILL).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Command;

    fn waiting(name: &str) -> std::process::Child {
        Command::new("/bin/sleep")
            .arg0(name)
            .arg("60")
            .spawn()
            .unwrap()
    }

    #[test]
    fn only_what_a_dead_launcher_left_is_ended() {
        let own = name_for(sys::getpid()).unwrap();
        // Above every pid_max (4194304), so no process has it; and our own number, of another time.
        let dead = format!("{PREFIX}4194305-1");
        let reused = format!("{PREFIX}{}-1", sys::getpid());
        let mut children: Vec<_> = [&own, &dead, &reused, &format!("{PREFIX}x-1")]
            .into_iter()
            .map(|name| waiting(name))
            .collect();
        assert!(end() >= 2);
        let ended: Vec<_> = children[1..3]
            .iter_mut()
            .map(|child| child.wait().unwrap().signal())
            .collect();
        assert_eq!(ended, [Some(libc::SIGKILL); 2]);
        for kept in [0, 3] {
            assert!(children[kept].try_wait().unwrap().is_none(), "{kept}");
            children[kept].kill().unwrap();
            children[kept].wait().unwrap();
        }
    }
}
