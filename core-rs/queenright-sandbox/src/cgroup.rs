//! Memory and process counts held by the kernel for a sandbox as a whole, where this machine lets us make cgroups.
//!
//! Version 2 where the launcher's own cgroup is delegated to it (`systemd-run --user -p Delegate=yes`), version 1 as
//! root. Elsewhere there is no hard limit of memory; then [`crate::memory`] watches, and the status says "soft".
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use crate::message::Limits;
use crate::step::{At, Refusal, Step};
use crate::sys;

/// Where groups are made.
#[derive(Debug)]
pub enum Control {
    V2 {
        base: PathBuf,
    },
    V1 {
        memory: PathBuf,
        pids: PathBuf,
    },
    /// None, and why.
    Absent(String),
}

/// The group of one sandbox. Its directories go when it does; the kernel refuses while a process is left.
#[derive(Debug)]
pub struct Group {
    version: u8,
    memory: PathBuf,
    /// The same directory in version 2.
    pids: PathBuf,
}

/// One mounted hierarchy: where it is, and which part of it the mount shows.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    point: PathBuf,
    root: PathBuf,
    kind: String,
    options: String,
}

impl Control {
    /// Finds what works by doing it: a directory made and a limit set, or the reason why not.
    pub fn find() -> Self {
        let (Ok(mounts), Ok(groups)) = (
            fs::read_to_string("/proc/self/mountinfo"),
            fs::read_to_string("/proc/self/cgroup"),
        ) else {
            return Self::Absent("/proc/self does not say which cgroups there are".into());
        };
        let hierarchies = hierarchies(&mounts);
        match version_2(&hierarchies, &groups) {
            Ok(base) => Self::V2 { base },
            Err(second) => match version_1(&hierarchies, &groups) {
                Ok((memory, pids)) => Self::V1 { memory, pids },
                Err(first) => Self::Absent(format!("cgroup 2: {second}; cgroup 1: {first}")),
            },
        }
    }

    pub fn is_hard(&self) -> bool {
        !matches!(self, Self::Absent(_))
    }

    /// Makes the group `number`, without limits yet.
    pub fn create(&self, number: u64) -> Result<Option<(Group, Joining)>, Refusal> {
        let at = |base: &PathBuf| base.join(number.to_string());
        let group = match self {
            Self::Absent(_) => return Ok(None),
            Self::V2 { base } => Group {
                version: 2,
                memory: at(base),
                pids: at(base),
            },
            Self::V1 { memory, pids } => Group {
                version: 1,
                memory: at(memory),
                pids: at(pids),
            },
        };
        match group.fill() {
            Ok(joining) => Ok(Some((group, joining))),
            Err(refusal) => {
                group.remove();
                Err(refusal)
            }
        }
    }

    /// Removes the directories that held the groups.
    pub fn remove(&self) {
        let bases: &[&PathBuf] = match self {
            Self::V2 { base } => &[base],
            Self::V1 { memory, pids } => &[memory, pids],
            Self::Absent(_) => &[],
        };
        for base in bases {
            // A group whose last process is still being taken down stays; the next launcher removes it.
            let _ = fs::remove_dir(base);
        }
    }
}

impl Group {
    fn fill(&self) -> Result<Joining, Refusal> {
        make(&self.memory)?;
        if self.version == 2 {
            set(&self.memory, "memory.oom.group", "1")?;
            return Ok(Joining::nothing());
        }
        make(&self.pids)?;
        let open = |directory: &Path| {
            let path = directory.join("tasks");
            let file = fs::OpenOptions::new().write(true).open(&path);
            file.map(OwnedFd::from)
                .at(Step::Cgroup, || path.display().to_string())
        };
        Ok(Joining(vec![open(&self.memory)?, open(&self.pids)?]))
    }

    /// Sets its limits, once, before any process is in it.
    pub fn limit(&self, limits: &Limits) -> Result<(), Refusal> {
        let bytes = limits.memory_bytes.to_string();
        if self.version == 2 {
            set(&self.memory, "memory.max", &bytes)?;
            set_if_there(&self.memory, "memory.swap.max", "0")?;
        } else {
            set(&self.memory, "memory.limit_in_bytes", &bytes)?;
            set_if_there(&self.memory, "memory.memsw.limit_in_bytes", &bytes)?;
        }
        match limits.processes {
            Some(processes) => set(&self.pids, "pids.max", &processes.to_string()),
            None => Ok(()),
        }
    }

    /// Version 2: puts a process that waits into the group. Version 1's has put itself there.
    pub fn take(&self, pid: libc::pid_t) -> Result<(), Refusal> {
        match self.version {
            2 => set(&self.memory, "cgroup.procs", &pid.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether the kernel has ended a process of the group for want of memory.
    pub fn ran_out(&self) -> bool {
        let file = if self.version == 2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        fs::read_to_string(self.memory.join(file)).is_ok_and(|text| {
            let mut counts = text
                .lines()
                .filter_map(|line| line.strip_prefix("oom_kill "));
            counts.any(|count| count.trim() != "0")
        })
    }

    /// How many processes are in it.
    pub fn processes(&self) -> Option<usize> {
        let listed = fs::read_to_string(self.pids.join("cgroup.procs")).ok()?;
        Some(listed.lines().count())
    }

    /// True once its directories are gone; false while the kernel still holds a process of it.
    pub fn remove(&self) -> bool {
        [&self.memory, &self.pids]
            .into_iter()
            .all(|directory| match fs::remove_dir(directory) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            })
    }
}

/// Files by which a process of one thread puts itself into a group of version 1.
///
/// Moving another process waits until every processor has passed a quiet state, 5 to 15 ms; a thread that moves itself
/// does not (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
pub struct Joining(Vec<OwnedFd>);

impl Joining {
    /// Where there is nothing to join.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// The caller's first step.
    pub fn join(self) -> Result<(), Refusal> {
        for file in self.0 {
            sys::write(file.as_fd(), b"0").at(Step::Cgroup, || "tasks".into())?;
        }
        Ok(())
    }
}

fn make(directory: &Path) -> Result<(), Refusal> {
    fs::create_dir(directory).at(Step::Cgroup, || directory.display().to_string())
}

fn set(directory: &Path, file: &str, value: &str) -> Result<(), Refusal> {
    put(&directory.join(file), value).at(Step::Cgroup, || {
        format!("{}/{file} = {value}", directory.display())
    })
}

/// Swap accounting is a choice of the kernel's builder; without it there is no file, and no swap to bound here.
fn set_if_there(directory: &Path, file: &str, value: &str) -> Result<(), Refusal> {
    if directory.join(file).exists() {
        set(directory, file, value)
    } else {
        Ok(())
    }
}

/// cgroup files take one value a write and are never made by writing.
fn put(path: &Path, value: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    sys::write(file.as_fd(), value.as_bytes()).map(drop)
}

fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, _, options) = (right.next()?, right.next()?, right.next()?);
        kind.starts_with("cgroup").then(|| Hierarchy {
            point: point.into(),
            root: root.into(),
            kind: kind.into(),
            options: options.into(),
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Where `path` of /proc/self/cgroup lies in a hierarchy's mount.
fn place(hierarchy: &Hierarchy, path: &str) -> Result<PathBuf, String> {
    let below = Path::new(path).strip_prefix(&hierarchy.root);
    below
        .map(|below| hierarchy.point.join(below))
        .map_err(|_| format!("{path} is outside {:?}", hierarchy.point))
}

fn own_path<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let named = controllers.split(',').any(|name| name == controller);
        (named || (controller.is_empty() && controllers.is_empty())).then_some(path)
    })
}

/// `queenright-<pid namespace>-<pid>`: who made it, also where two containers share a hierarchy.
fn base_name(pid: &str) -> Result<String, String> {
    use std::os::unix::fs::MetadataExt as _;
    let namespace =
        fs::metadata("/proc/self/ns/pid").map_err(|error| format!("/proc/self/ns/pid: {error}"))?;
    Ok(format!("queenright-{}-{pid}", namespace.ino()))
}

/// Removes what launchers that were killed have left. Those that still run keep theirs, empty or not.
fn remove_stale(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for base in entries.flatten().map(|entry| entry.path()) {
        let name = base.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.strip_prefix(prefix)) else {
            continue;
        };
        if pid.parse::<u32>().is_err() || Path::new("/proc").join(pid).exists() {
            continue;
        }
        for group in fs::read_dir(&base).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(group.path());
        }
        let _ = fs::remove_dir(&base);
    }
}

fn prepare(parent: &Path) -> Result<PathBuf, String> {
    remove_stale(parent, &base_name("")?);
    let base = parent.join(base_name(&sys::getpid().to_string())?);
    fs::create_dir(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    Ok(base)
}

fn version_1(hierarchies: &[Hierarchy], groups: &str) -> Result<(PathBuf, PathBuf), String> {
    let find = |controller: &str| {
        let mounted = hierarchies
            .iter()
            .find(|one| {
                one.kind == "cgroup" && one.options.split(',').any(|option| option == controller)
            })
            .ok_or_else(|| format!("no {controller} hierarchy is mounted"))?;
        let path =
            own_path(groups, controller).ok_or_else(|| format!("in no {controller} group"))?;
        prepare(&place(mounted, path)?)
    };
    let memory = find("memory")?;
    let tried = find("pids").and_then(|pids| {
        put(&memory.join("memory.limit_in_bytes"), "-1")
            .map_err(|error| format!("memory.limit_in_bytes: {error}"))?;
        Ok(pids)
    });
    match tried {
        Ok(pids) => Ok((memory, pids)),
        Err(why) => {
            let _ = fs::remove_dir(&memory);
            Err(why)
        }
    }
}

fn version_2(hierarchies: &[Hierarchy], groups: &str) -> Result<PathBuf, String> {
    const BOTH: &str = "+memory +pids";
    let mounted = hierarchies
        .iter()
        .find(|one| one.kind == "cgroup2")
        .ok_or("not mounted")?;
    let path = own_path(groups, "").ok_or("in no group")?;
    let own = place(mounted, path)?;
    let listed = |file: &str| {
        let text = fs::read_to_string(own.join(file)).unwrap_or_default();
        ["memory", "pids"]
            .iter()
            .all(|name| text.split_ascii_whitespace().any(|there| there == *name))
    };
    if !listed("cgroup.controllers") {
        return Err("no memory and pids controllers in this process's group".into());
    }
    if !listed("cgroup.subtree_control") {
        // A group hands controllers down only when no process is in it: ours, if they are all there are, step aside.
        step_aside(&own)?;
        put(&own.join("cgroup.subtree_control"), BOTH)
            .map_err(|error| format!("cgroup.subtree_control: {error}"))?;
    }
    let base = prepare(&own)?;
    put(&base.join("cgroup.subtree_control"), BOTH).map_err(|error| {
        let _ = fs::remove_dir(&base);
        format!("cgroup.subtree_control: {error}")
    })?;
    Ok(base)
}

fn step_aside(own: &Path) -> Result<(), String> {
    let ours = [sys::getpid(), sys::getppid()].map(|pid| pid.to_string());
    let inside = fs::read_to_string(own.join("cgroup.procs"))
        .map_err(|error| format!("cgroup.procs: {error}"))?;
    if let Some(other) = inside
        .lines()
        .find(|pid| !ours.iter().any(|mine| mine == pid))
    {
        return Err(format!(
            "not delegated: process {other} of someone else is in this group"
        ));
    }
    let aside = own.join("supervisor");
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(format!("not delegated: {error}"));
        }
        _ => {}
    }
    for pid in inside.lines() {
        put(&aside.join("cgroup.procs"), pid).map_err(|error| format!("not delegated: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 /docker/x /sys/fs/cgroup/pids rw,relatime shared:5 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate";
    const GROUPS: &str = "5:memory:/a/b\n4:pids:/docker/x/y\n1:name=systemd:/z\n0::/user.slice/u";

    #[test]
    fn the_own_group_is_found_through_mount_and_path() {
        let found = hierarchies(MOUNTS);
        assert_eq!(found.len(), 3);
        let at = |index: usize, controller: &str| {
            place(&found[index], own_path(GROUPS, controller).unwrap())
        };
        assert_eq!(
            at(0, "memory").unwrap(),
            Path::new("/sys/fs/cgroup/memory/a/b")
        );
        assert_eq!(at(1, "pids").unwrap(), Path::new("/sys/fs/cgroup/pids/y"));
        assert_eq!(
            at(2, "").unwrap(),
            Path::new("/sys/fs/cgroup/unified/user.slice/u")
        );
        assert!(place(&found[1], "/elsewhere").is_err());
    }

    #[test]
    fn only_what_a_dead_launcher_left_is_removed() {
        let parent = std::env::temp_dir().join(format!("queenright-stale-{}", sys::getpid()));
        let own = sys::getpid().to_string();
        // Above every pid_max (4194304), so no process has it.
        let dead = "4194305";
        for name in [
            "p-x",
            &format!("p-{own}"),
            &format!("p-{dead}"),
            &format!("q-{dead}"),
        ] {
            fs::create_dir_all(parent.join(name).join("1")).unwrap();
        }
        remove_stale(&parent, "p-");
        let mut left: Vec<_> = fs::read_dir(&parent)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(
            left,
            [format!("p-{own}"), "p-x".into(), format!("q-{dead}")].map(std::ffi::OsString::from)
        );
    }

    #[test]
    fn no_cgroups_is_a_reason_and_not_a_limit() {
        assert!(version_1(&[], GROUPS).unwrap_err().contains("memory"));
        assert!(version_2(&hierarchies(MOUNTS), GROUPS).is_err());
        assert!(!Control::Absent(String::new()).is_hard());
    }
}
