//! The steps a new process takes between the clone and its program. Straight down, each one checked; the first that
//! fails is written to the status pipe and nothing runs.
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::cgroup::Joining;
use crate::domain::{self, Access as Right, Outside};
use crate::layout::{Access, Layout, Mount};
use crate::message::{Kind, Limits};
use crate::overlay::Overlay;
use crate::root::{self, GID, Tmp, Tree, UID};
use crate::seccomp::{self, Walls};
use crate::step::{self, At, Refusal, Step};
use crate::tier::Tier;
use crate::{caps, egress, init, overlay, rlimits, strict, sys};

/// Exit code of a process that gave up before its program ran.
pub const REFUSED: i32 = 125;
/// Written just before execve, so that the end of the status pipe without it means the process died on the way.
pub const ABOUT_TO_RUN: u8 = 0xee;

/// Everything a child needs to know, made before the clone.
pub struct Plan {
    pub kind: Kind,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    pub limits: Limits,
    pub abi: u32,
    /// The launcher runs as root.
    pub root: bool,
    /// Who makes this machine's namespaces, if anybody.
    pub tier: Tier,
    /// A command's descriptor over which its listener is sent: with it, it may connect to that port.
    pub egress: Option<usize>,
    pub place: Place,
}

/// Where the program runs.
pub enum Place {
    /// Cell and command: a world of their own.
    Own {
        layout: Layout,
        binds: Vec<Mount>,
        overlay: Option<Box<Overlay>>,
        hide: Vec<String>,
        tmp: Tmp,
        hostname: String,
        trees: Option<Trees>,
    },
    /// Executor: the host, held to these paths.
    Host {
        read: Vec<CString>,
        write: Vec<CString>,
        /// Among its own descriptors, directories to be read.
        descriptors: Vec<usize>,
    },
    /// Cell and command where no namespaces can be had and the operator said to go on: the host's own paths.
    InPlace(strict::Reach),
}

/// Copies of the mounts, made by the launcher when it is root and by the child otherwise.
pub struct Trees {
    pub host: Vec<Tree>,
    pub asked: Vec<Tree>,
    /// What lies below an overlay.
    pub lower: Option<Tree>,
}

/// The child's ends of its pipes to the launcher.
pub struct Pipes {
    pub status: OwnedFd,
    /// One byte when the launcher has written the id maps; ends when the launcher dies.
    pub go: OwnedFd,
    /// Where a command's first process reports how the command ended.
    pub report: Option<OwnedFd>,
    pub joining: Joining,
}

/// Takes every step and runs the program; never returns.
pub fn run(plan: Plan, pipes: Pipes, descriptors: Vec<OwnedFd>) -> ! {
    let Pipes {
        status,
        go,
        report,
        joining,
    } = pipes;
    let Err(refusal) = joining
        .join()
        .and_then(|()| take_steps(plan, status.as_fd(), go, report, descriptors));
    // If the launcher is gone there is nobody to tell, and the exit code says the same.
    let _ = sys::write(status.as_fd(), &step::encode(&refusal));
    sys::exit_now(REFUSED)
}

fn take_steps(
    mut plan: Plan,
    status: BorrowedFd<'_>,
    go: OwnedFd,
    report: Option<OwnedFd>,
    descriptors: Vec<OwnedFd>,
) -> Result<Infallible, Refusal> {
    keep_only(
        &plan,
        [
            Some(status),
            Some(go.as_fd()),
            report.as_ref().map(AsFd::as_fd),
        ],
        descriptors,
    )?;
    follow_parent()?;
    let mut byte = [0];
    if sys::read(go.as_fd(), &mut byte).at(Step::ParentDeath, String::new)? != 1 {
        return Err(Refusal::new(
            Step::ParentDeath,
            libc::ESRCH,
            "the launcher is gone",
        ));
    }
    sys::setsid().at(Step::Session, String::new)?;
    sys::reset_signals().at(Step::Session, || "signals".into())?;
    sys::umask(0o022);
    if let Place::InPlace(reach) = &plan.place {
        return strict::confine(&plan, reach, status, go, report);
    }
    enclose(&mut plan, go.as_fd())?;
    drop(go);
    confine(&plan, status, report)
}

/// The walls a process puts around itself, in whatever root it is by now, and then its program.
pub fn confine(
    plan: &Plan,
    status: BorrowedFd<'_>,
    report: Option<OwnedFd>,
) -> Result<Infallible, Refusal> {
    sys::chdir(&plan.cwd).at(Step::WorkingDirectory, || lossy(&plan.cwd))?;
    rlimits::apply(&plan.limits)?;
    let rules = rules(plan)?;
    let closed = match plan.egress {
        Some(_) => Outside::ClosedBut(egress::PORT),
        None => Outside::Closed,
    };
    let outside = match (&plan.place, plan.tier) {
        (Place::Host { .. }, _) => {
            caps::drop_for_executor(plan.root).map(|()| Outside::NetworkAndSignals)?
        }
        (_, Tier::Bwrap) => caps::see_none().map(|()| closed)?,
        (_, Tier::Full | Tier::Landlock) => caps::drop_all().map(|()| closed)?,
    };
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).at(Step::NoNewPrivs, String::new)?;
    domain::enter(plan.abi, rules, outside)?;
    seccomp::install(match plan.egress {
        Some(_) => Walls::WayOut,
        None => Walls::Usual(plan.kind),
    })?;
    if let Some(report) = report {
        init::split(report)?;
    }
    start(plan, status)
}

/// The last step of every sandbox.
pub fn start(plan: &Plan, status: BorrowedFd<'_>) -> Result<Infallible, Refusal> {
    sys::write(status, &[ABOUT_TO_RUN]).at(Step::Exec, || "status pipe".into())?;
    let program: &CStr = &plan.argv[0];
    Err(sys::execve(program, &plan.argv, &plan.env)).at(Step::Exec, || lossy(program))
}

pub fn lossy(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}

/// Dies with the launcher. Forgotten by the kernel at every change of uid, so asked for again after it.
pub fn follow_parent() -> Result<(), Refusal> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
        .at(Step::ParentDeath, String::new)
        .map(drop)
}

/// Puts the caller's descriptors at 0, 1, 2, ... and closes every one that is neither theirs nor ours.
///
/// The launcher keeps the low numbers occupied, so ours never lie where theirs go. This comes first: with a low limit
/// of open files, later steps could not open theirs beside what was inherited.
pub fn keep_only(
    plan: &Plan,
    ours: [Option<BorrowedFd<'_>>; 3],
    descriptors: Vec<OwnedFd>,
) -> Result<(), Refusal> {
    for (number, descriptor) in (0..).zip(&descriptors) {
        sys::place(descriptor.as_fd(), number)
            .at(Step::Descriptors, || format!("descriptor {number}"))?;
    }
    let first = RawFd::try_from(descriptors.len())
        .map_err(|_| Refusal::new(Step::Descriptors, libc::EMFILE, ""))?;
    drop(descriptors);
    let mut keep: Vec<RawFd> = ours
        .into_iter()
        .flatten()
        .map(|fd| fd.as_raw_fd())
        .collect();
    if let Place::Own {
        trees: Some(trees), ..
    } = &plan.place
    {
        keep.extend(
            trees
                .host
                .iter()
                .chain(&trees.asked)
                .chain(&trees.lower)
                .map(|tree| tree.fd.as_raw_fd()),
        );
    }
    keep.sort_unstable();
    let mut next = first;
    for number in keep {
        if number > next {
            sys::close_range(next, number - 1).at(Step::Descriptors, String::new)?;
        }
        next = number + 1;
    }
    sys::close_range(next, RawFd::MAX).at(Step::Descriptors, String::new)
}

/// Moves a cell or command into its own world; an executor stays in the host's.
fn enclose(plan: &mut Plan, go: BorrowedFd<'_>) -> Result<(), Refusal> {
    let Place::Own {
        layout,
        binds,
        overlay,
        hide,
        tmp,
        hostname,
        trees,
    } = &mut plan.place
    else {
        return Ok(());
    };
    sys::make_all_private().at(Step::Private, String::new)?;
    let trees = match trees.take() {
        Some(trees) => trees,
        None => Trees {
            host: root::copy_trees(&layout.mounts)?,
            asked: root::copy_trees(binds)?,
            lower: overlay::copy_lower(overlay.as_deref())?,
        },
    };
    if plan.root {
        take_identity(go)?;
    }
    sys::sethostname(hostname.as_bytes()).at(Step::Hostname, || hostname.clone())?;
    if plan.kind == Kind::Command {
        sys::loopback_up().at(Step::Loopback, String::new)?;
    }
    if let Some(reply) = plan.egress {
        egress::hand_out(reply)?;
    }
    forbid_nesting()?;
    let layered = overlay.as_deref().zip(trees.lower.as_ref());
    root::enter(layout, &trees.host, &trees.asked, layered, hide, tmp)
}

/// Leaves kernel uid 0 for the one user this namespace knows, keeping the capabilities that the mounts still need.
fn take_identity(go: BorrowedFd<'_>) -> Result<(), Refusal> {
    caps::keep_across_setuid()?;
    sys::clear_groups().at(Step::Identity, || "supplementary groups".into())?;
    sys::become_ids(UID, GID).at(Step::Identity, || "the sandbox's uid".into())?;
    follow_parent()?;
    // The launcher may have died in between: its end of the pipe tells.
    match sys::poll(go, libc::POLLIN, 0).at(Step::ParentDeath, String::new)? {
        0 => Ok(()),
        _ => Err(Refusal::new(
            Step::ParentDeath,
            libc::ESRCH,
            "the launcher is gone",
        )),
    }
}

/// No user namespace can be made below this one. The file shows the limit of whoever opens it, in any /proc.
fn forbid_nesting() -> Result<(), Refusal> {
    const FILE: &CStr = c"/proc/sys/user/max_user_namespaces";
    let root = sys::open_path(c"/").at(Step::NoNesting, String::new)?;
    let file =
        sys::openat(root.as_fd(), FILE, libc::O_WRONLY, 0).at(Step::NoNesting, || lossy(FILE))?;
    match sys::write(file.as_fd(), b"0").at(Step::NoNesting, || lossy(FILE))? {
        1 => Ok(()),
        _ => Err(Refusal::new(Step::NoNesting, libc::EIO, lossy(FILE))),
    }
}

/// The paths of the Landlock domain, as they are called in the process's root.
fn rules(plan: &Plan) -> Result<Vec<(OwnedFd, Right)>, Refusal> {
    let open = |path: &CStr| sys::open_path(path).at(Step::Landlock, || lossy(path));
    let inside = |path: String| {
        CString::new(path)
            .map_err(|_| Refusal::new(Step::Landlock, libc::EINVAL, "NUL"))
            .and_then(|path| open(&path))
    };
    let mut rules = Vec::new();
    match &plan.place {
        Place::Host {
            read,
            write,
            descriptors,
        } => {
            for path in read {
                rules.push((open(path)?, Right::Read));
            }
            for path in write {
                rules.push((open(path)?, Right::Write));
            }
            for number in descriptors {
                rules.push((
                    sys::held(*number).at(Step::Landlock, || format!("descriptor {number}"))?,
                    Right::Read,
                ));
            }
        }
        Place::Own {
            layout,
            binds,
            overlay,
            ..
        } => {
            // The directories that lead to a bind are our own empty ones: listing them shows only the binds.
            let mut tops: Vec<&str> = vec!["proc", "dev", "etc"];
            tops.extend(
                layout
                    .mounts
                    .iter()
                    .chain(binds)
                    .chain(overlay.iter().map(|overlay| &overlay.lower))
                    .filter_map(|mount| mount.target.split('/').next()),
            );
            tops.sort_unstable();
            tops.dedup();
            for top in tops {
                rules.push((inside(format!("/{top}"))?, Right::Read));
            }
            for mount in layout.mounts.iter().chain(binds) {
                match mount.access {
                    Access::ReadOnly => {}
                    Access::Writable => {
                        rules.push((inside(format!("/{}", mount.target))?, Right::Write))
                    }
                    Access::Device => {
                        rules.push((inside(format!("/{}", mount.target))?, Right::Device))
                    }
                }
            }
            if let Some(overlay) = overlay {
                let path = format!("/{}", overlay.lower.target);
                rules.push((inside(path)?, Right::Write));
            }
            for own in [c"/tmp", c"/dev/shm"] {
                rules.push((open(own)?, Right::Write));
            }
        }
        Place::InPlace(reach) => rules.extend(strict::rules(reach)?),
    }
    Ok(rules)
}
