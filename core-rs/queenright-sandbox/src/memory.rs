//! The watch over sandboxes' memory where no cgroup can hold it: a look every second, and the end for one that is over.
//!
//! Softer than a cgroup: between two looks a sandbox may exceed its limit, and memory that no process has mapped is
//! not seen. RLIMIT_DATA bounds each process in any case.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

pub const INTERVAL: Duration = Duration::from_secs(1);

/// Whether this kernel lists a process's children (CONFIG_PROC_CHILDREN): without it there is nothing to watch by.
pub fn can_watch() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// Whether the processes below and including `first` hold more than `limit` bytes.
///
/// The quick sum counts shared pages for each process; only where that is over does the exact one decide.
pub fn is_over(first: libc::pid_t, limit: u64) -> bool {
    let pids = family(first);
    pids.iter().map(|&pid| resident(pid)).sum::<u64>() > limit
        && pids
            .iter()
            .map(|&pid| proportional(pid).unwrap_or_else(|| resident(pid)))
            .sum::<u64>()
            > limit
}

/// How many processes `first` and its descendants are: at least the first, which is not reaped yet.
pub fn count(first: libc::pid_t) -> usize {
    family(first).len()
}

/// `first` and its descendants. All of a namespace's processes are: orphans become children of its first process.
fn family(first: libc::pid_t) -> BTreeSet<libc::pid_t> {
    let mut found = BTreeSet::from([first]);
    let mut left = vec![first];
    while let Some(pid) = left.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children
                .split_ascii_whitespace()
                .filter_map(|word| word.parse().ok())
            {
                if found.insert(child) {
                    left.push(child);
                }
            }
        }
    }
    found
}

/// The kB of one line of a /proc file, in bytes. A process that has just ended holds nothing.
fn kilobytes(path: String, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let count: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    count.checked_mul(1024)
}

fn resident(pid: libc::pid_t) -> u64 {
    kilobytes(format!("/proc/{pid}/status"), "VmRSS:").unwrap_or(0)
}

fn proportional(pid: libc::pid_t) -> Option<u64> {
    kilobytes(format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_child_are_one_family_and_hold_memory() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let own = crate::sys::getpid();
        let found = family(own);
        assert!(found.contains(&own) && found.contains(&(child.id() as libc::pid_t)));
        assert!(is_over(own, 1024) && !is_over(own, u64::MAX));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
