//! Making one sandbox: check the request, clone, write the id maps, wait for the child's word.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::cgroup::Group;
use crate::child::{self, ABOUT_TO_RUN, Pipes, Place, Trees};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::message::{Kind, Spawn};
use crate::overlay;
use crate::root::{self, GID, UID};
use crate::step::{self, At, Refusal, Step};
use crate::sys::{self, Cloned};
use crate::tier::Tier;
use crate::{bwrap, plan};

/// Kernel uid of slot 0. Above every range that distributions, systemd and subuid give out.
pub const FIRST_UID: u32 = 0x7000_0000;
/// Slots 0 to 0x0fff_ffff, below the uids that some systems take for negative.
pub const MAX_SLOT: u32 = 0x0fff_ffff;
/// A sandbox takes milliseconds; one that takes this long is stuck in a mount and is given up.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// A sandbox is the first thing the kernel ends when memory runs out, before anything of the operator's.
const OOM_SCORE: &str = "500";

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// What the launcher knows about itself and the machine.
pub struct Machine {
    pub root: bool,
    pub abi: u32,
    pub cell: Layout,
    pub command: Layout,
    pub groups: Groups,
    pub tier: Tier,
    /// Why the tier is not `Full`: what was refused.
    pub instead_of: String,
}

impl Machine {
    pub fn examine(landlock_abi_cap: u32) -> Result<Self, Refusal> {
        let root = sys::effective_uid() == 0;
        if root {
            let map = std::fs::read_to_string("/proc/self/uid_map")
                .at(Step::Identity, || "uid_map".into())?;
            if !has_slots(&map) {
                let why = "root of a user namespace that lacks the uids agents would get, and no agent runs as root";
                return Err(Refusal::new(Step::Identity, libc::EPERM, why));
            }
        }
        Ok(Self {
            root,
            abi: crate::domain::choose_abi(landlock_abi_cap)?,
            cell: Layout::find(Kind::Cell)?,
            command: Layout::find(Kind::Command)?,
            groups: Groups::find(),
            tier: Tier::Full,
            instead_of: String::new(),
        })
    }
}

/// Whether one line of a uid_map (inside, outside, count) covers every slot.
fn has_slots(map: &str) -> bool {
    let (first, last) = (u64::from(FIRST_UID), u64::from(FIRST_UID + MAX_SLOT));
    map.lines().any(|line| {
        let mut fields = line
            .split_ascii_whitespace()
            .map(|field| field.parse::<u64>().ok());
        match (fields.next().flatten(), fields.nth(1).flatten()) {
            (Some(inside), Some(count)) => inside <= first && last < inside.saturating_add(count),
            _ => false,
        }
    })
}

/// What is ended so that all of a sandbox ends.
pub enum Whole {
    /// The process we made, the first of its pid namespace.
    Namespace,
    /// The first process of a namespace that bubblewrap made; the process we made is bubblewrap's.
    First(OwnedFd),
    /// A process group of the host's, led by the process we made.
    Group,
}

/// A running sandbox. `pid` is its first process; `pidfd` the process that was made here and is reaped here.
pub struct Running {
    pub pid: libc::pid_t,
    pub pidfd: OwnedFd,
    pub whole: Whole,
    pub report: Option<OwnedFd>,
    pub kind: Kind,
    pub group: Option<Group>,
    pub memory_bytes: u64,
    /// The memory watch has ended it.
    pub over: bool,
    /// How many processes the kernel listed in it when it was told to end; 0 before that.
    pub processes: usize,
}

impl Running {
    /// Looks, once: after the first kill they are on their way out.
    pub fn count(&mut self) {
        if self.processes == 0 {
            let listed = self.group.as_ref().and_then(Group::processes);
            self.processes = listed.unwrap_or_else(|| crate::memory::count(self.pid));
        }
    }
}

/// Makes the sandbox or nothing.
pub fn spawn(
    machine: &Machine,
    request: Spawn,
    descriptors: Vec<OwnedFd>,
) -> Result<Running, Refusal> {
    let (kind, uid_slot, limits) = (request.kind, request.uid_slot, request.limits);
    let mut plan = plan::check(machine, request, &descriptors)?;
    if machine.tier == Tier::Bwrap && matches!(plan.place, Place::Own { .. }) {
        return bwrap::spawn(machine, plan, limits, descriptors);
    }
    let whole = match plan.place {
        Place::Own { .. } => Whole::Namespace,
        Place::Host { .. } | Place::InPlace(_) => Whole::Group,
    };
    let (status, child_status) = sys::pipe().at(Step::Descriptors, || "pipe".into())?;
    let (child_go, go) = sys::pipe().at(Step::Descriptors, || "pipe".into())?;
    let reports = kind == Kind::Command || matches!(plan.place, Place::InPlace(_));
    let (report, child_report) = if reports {
        let (report, child) = sys::pipe().at(Step::Descriptors, || "pipe".into())?;
        (Some(report), Some(child))
    } else {
        (None, None)
    };
    let namespaces = match &mut plan.place {
        Place::Own {
            layout,
            binds,
            overlay,
            trees,
            ..
        } => {
            if machine.root {
                *trees = Some(Trees {
                    host: root::copy_trees(&layout.mounts)?,
                    asked: root::copy_trees(binds)?,
                    lower: overlay::copy_lower(overlay.as_deref())?,
                });
            }
            NAMESPACES
        }
        Place::Host { .. } | Place::InPlace(_) => 0,
    };
    let (group, joining) = machine.groups.make(&limits)?;
    let (pid, pidfd) = match clone(namespaces, group.as_ref())? {
        Cloned::Child => child::run(
            plan,
            Pipes {
                status: child_status,
                go: child_go,
                report: child_report,
                joining,
            },
            descriptors,
        ),
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((
        child_status,
        child_go,
        child_report,
        plan,
        descriptors,
        joining,
    ));
    let taken = group.as_ref().map_or(Ok(()), |group| group.take(pid));
    let ready = taken
        .and_then(|()| match kind {
            Kind::Executor => Ok(()),
            Kind::Cell | Kind::Command => expendable(pid),
        })
        .and_then(|()| let_go(machine, pid, namespaces != 0, uid_slot, go.as_fd()))
        .and_then(|()| await_exec(status.as_fd(), pidfd.as_fd()));
    if let Err(refusal) = ready {
        end(pidfd.as_fd());
        if let Some(group) = group {
            machine.groups.leave(group);
        }
        return Err(refusal);
    }
    Ok(Running {
        pid,
        pidfd,
        report,
        kind,
        group,
        memory_bytes: limits.memory_bytes,
        over: false,
        processes: 0,
        whole,
    })
}

/// A clone that fails leaves no empty group behind.
pub fn clone(namespaces: libc::c_int, group: Option<&Group>) -> Result<Cloned, Refusal> {
    sys::clone3(namespaces)
        .at(Step::Clone, String::new)
        .inspect_err(|_| {
            if let Some(group) = group {
                group.remove();
            }
        })
}

/// Kills a child that never got to run and takes it off the process table.
pub fn end(pidfd: BorrowedFd<'_>) {
    // It may have ended by itself already; the wait below is what counts.
    let _ = sys::pidfd_kill(pidfd, libc::SIGKILL);
    let _ = sys::poll(
        pidfd,
        libc::POLLIN,
        i32::try_from(DEADLINE.as_millis()).unwrap_or(i32::MAX),
    );
    let _ = sys::wait_pidfd(pidfd, false);
}

fn let_go(
    machine: &Machine,
    pid: libc::pid_t,
    own: bool,
    slot: Option<u32>,
    go: BorrowedFd<'_>,
) -> Result<(), Refusal> {
    if own {
        let (uid, gid) = match (machine.root, slot) {
            (true, Some(slot)) => (FIRST_UID + slot, FIRST_UID + slot),
            _ => (sys::effective_uid(), sys::effective_gid()),
        };
        if !machine.root {
            // Without it an ordinary user may not map a group; root maps first and then empties the groups.
            set(Step::UidMap, pid, "setgroups", "deny")?;
        }
        set(Step::UidMap, pid, "uid_map", &format!("{UID} {uid} 1\n"))?;
        set(Step::UidMap, pid, "gid_map", &format!("{GID} {gid} 1\n"))?;
    }
    sys::write(go, b"g")
        .at(Step::ParentDeath, || "go pipe".into())
        .map(drop)
}

/// First to go when memory runs out.
pub fn expendable(pid: libc::pid_t) -> Result<(), Refusal> {
    set(Step::OomScore, pid, "oom_score_adj", OOM_SCORE)
}

/// Maps this user alone into the user namespace of a probe.
pub fn map_self(pid: libc::pid_t) -> Result<(), Refusal> {
    set(Step::UidMap, pid, "setgroups", "deny")?;
    set(
        Step::UidMap,
        pid,
        "uid_map",
        &format!("{UID} {} 1\n", sys::effective_uid()),
    )?;
    set(
        Step::UidMap,
        pid,
        "gid_map",
        &format!("{GID} {} 1\n", sys::effective_gid()),
    )
}

/// Makes the sandbox and sees its program end well.
pub fn try_one(machine: &Machine, request: Spawn) -> Result<(), Refusal> {
    let here = sys::open_path(c"/").at(Step::Descriptors, String::new)?;
    let open = |_| {
        sys::openat(here.as_fd(), c"/dev/null", libc::O_RDWR, 0)
            .at(Step::Descriptors, || "/dev/null".into())
    };
    let descriptors = (0..3).map(open).collect::<Result<Vec<_>, _>>()?;
    let running = spawn(machine, request, descriptors)?;
    let ended =
        sys::poll(running.pidfd.as_fd(), libc::POLLIN, 10_000).at(Step::Deadline, String::new)?;
    end(running.pidfd.as_fd());
    let code = running
        .report
        .as_ref()
        .and_then(|report| crate::init::read_report(report.as_fd()));
    if let Some(group) = &running.group {
        group.remove();
    }
    match (ended, code) {
        (0, _) => Err(Refusal::new(
            Step::Deadline,
            libc::ETIMEDOUT,
            "/bin/true does not end",
        )),
        (_, Some(sys::End::Code(0))) => Ok(()),
        (_, other) => Err(Refusal::new(
            Step::Exec,
            libc::ECHILD,
            format!("/bin/true ended with {other:?}"),
        )),
    }
}

fn set(step: Step, pid: libc::pid_t, file: &str, text: &str) -> Result<(), Refusal> {
    let path = format!("/proc/{pid}/{file}");
    // Not truncated, not created, written in one call: the kernel takes these files whole or not at all.
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| sys::write(file.as_fd(), text.as_bytes()))
        .at(step, || file.to_owned())
        .map(drop)
}

/// Waits for the status pipe's end: after the mark it is the program's start, before it the child's death.
pub fn await_exec(status: BorrowedFd<'_>, pidfd: BorrowedFd<'_>) -> Result<(), Refusal> {
    let started = Instant::now();
    let mut said = Vec::new();
    loop {
        let left = DEADLINE.saturating_sub(started.elapsed());
        let wait = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        if sys::poll(status, libc::POLLIN, wait).at(Step::Deadline, || "status pipe".into())? == 0 {
            return Err(Refusal::new(
                Step::Deadline,
                libc::ETIMEDOUT,
                format!("no sandbox after {} s", DEADLINE.as_secs()),
            ));
        }
        let mut bytes = [0; 2048];
        match sys::read(status, &mut bytes).at(Step::Exec, || "status pipe".into())? {
            0 => break,
            count => said.extend_from_slice(&bytes[..count]),
        }
    }
    match said.split_first() {
        Some((&ABOUT_TO_RUN, [])) => Ok(()),
        Some((&ABOUT_TO_RUN, refusal)) => Err(step::decode(refusal)),
        Some(_) => Err(step::decode(&said)),
        None => {
            let how = match sys::wait_pidfd(pidfd, true) {
                Ok(Some(end)) => format!("the process ended before its program: {end:?}"),
                _ => "the process ended before its program".into(),
            };
            Err(Refusal::new(Step::Exec, libc::ECHILD, how))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_map_that_covers_every_slot_will_do() {
        assert!(has_slots("         0          0 4294967295\n"));
        assert!(has_slots("0 0 65536\n1879048192 1879048192 268435456\n"));
        for map in [
            "0 1000 1\n",
            "0 100000 65536\n",
            "1879048192 5 268435455\n",
            "",
            "a b c",
        ] {
            assert!(!has_slots(map), "{map}");
        }
    }
}
