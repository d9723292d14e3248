//! Tier bwrap, the launcher's side: bubblewrap makes the namespaces and mounts what the layout says, by descriptors
//! that were opened without following a link; [`crate::inside`] does the rest in there.
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

use crate::child::{self, Place, Plan};
use crate::inside::Inside;
use crate::layout::{Access, Mount};
use crate::message::Limits;
use crate::root::{DEV_LINKS, FILES, GID, SHM_BYTES, UID};
use crate::spawn::{self, DEADLINE, Machine, Running, Whole};
use crate::stale;
use crate::step::{self, At, Refusal, Step};
use crate::sys::{self, Cloned};

/// The one place it is taken from: a profile that lets it make user namespaces names this path.
pub const PROGRAM: &CStr = c"/usr/bin/bwrap";
/// What it says about itself is a few dozen bytes; what it complains of, a line.
const MAX_WORDS: usize = 1024;
const FLAGS: [&str; 9] = [
    "--unshare-user",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup",
    "--disable-userns",
    "--die-with-parent",
    "--as-pid-1",
];
const COVERED: [&str; 7] = [
    "keys",
    "key-users",
    "kallsyms",
    "kcore",
    "sysrq-trigger",
    "sched_debug",
    "timer_list",
];
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Descriptors that the second stage or bubblewrap gets, by their own numbers.
struct Handed {
    arguments: OwnedFd,
    inside: OwnedFd,
    program: OwnedFd,
    nothing: OwnedFd,
    words: OwnedFd,
    start: OwnedFd,
    status: OwnedFd,
    others: Vec<OwnedFd>,
    launcher: libc::pid_t,
    /// What a later launcher finds it by, if this one is killed.
    name: String,
}

/// Makes the sandbox of a cell or command, or nothing.
pub fn spawn(
    machine: &Machine,
    plan: Plan,
    limits: Limits,
    descriptors: Vec<OwnedFd>,
) -> Result<Running, Refusal> {
    let kind = plan.kind;
    let pipe = || sys::pipe().at(Step::Descriptors, || "pipe".into());
    let (status, child_status) = pipe()?;
    let (child_start, start) = pipe()?;
    let (child_go, go) = pipe()?;
    let (report, child_report) = pipe()?;
    let (info, child_info) = pipe()?;
    let (words, child_words) = pipe()?;
    let inside = inside(
        &plan,
        [&child_status, &child_go, &child_report],
        &descriptors,
    )?;
    let Arguments { bytes, named } = arguments(&plan, &child_info)?;
    let here = sys::open_path(c"/").at(Step::Descriptors, String::new)?;
    let open = |path: &CStr, flags| {
        sys::openat(here.as_fd(), path, flags, 0).at(Step::Descriptors, || child::lossy(path))
    };
    let handed = Handed {
        arguments: file(&bytes)?,
        inside: file(&inside)?,
        program: open(c"/proc/self/exe", libc::O_RDONLY)?,
        nothing: open(c"/dev/null", libc::O_RDWR)?,
        words: child_words,
        start: child_start,
        status: child_status,
        others: [child_go, child_report, child_info]
            .into_iter()
            .chain(named)
            .chain(descriptors)
            .collect(),
        launcher: sys::getpid(),
        name: stale::name_for(sys::getpid())?,
    };
    let (group, joining) = machine.groups.make(&limits)?;
    let (pid, pidfd) = match spawn::clone(0, group.as_ref())? {
        Cloned::Child => {
            let Err(refusal) = joining.join().and_then(|()| become_bwrap(&handed));
            let _ = sys::write(handed.status.as_fd(), &step::encode(&refusal));
            sys::exit_now(child::REFUSED)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((handed, plan, joining));
    let mut first = None;
    let taken = group.as_ref().map_or(Ok(()), |group| group.take(pid));
    let ready = taken
        .and_then(|()| spawn::expendable(pid))
        .and_then(|()| word(&start))
        .and_then(|()| first_process(pid, info.as_fd()))
        .and_then(|(number, fd)| {
            separate(number)?;
            first = Some((number, fd));
            word(&go)
        })
        .and_then(|()| spawn::await_exec(status.as_fd(), pidfd.as_fd()));
    match (ready, first) {
        (Ok(()), Some((number, first))) => Ok(Running {
            pid: number,
            pidfd,
            report: Some(report),
            kind,
            group,
            memory_bytes: limits.memory_bytes,
            over: false,
            processes: 0,
            whole: Whole::First(first),
        }),
        (ready, first) => {
            // Without its word the second stage ends by itself; this is for whatever else it may be doing.
            drop((start, go));
            if let Some((_, first)) = first {
                let _ = sys::pidfd_kill(first.as_fd(), libc::SIGKILL);
            }
            spawn::end(pidfd.as_fd());
            if let Some(group) = group {
                machine.groups.leave(group);
            }
            Err(explain(ready.err(), words.as_fd()))
        }
    }
}

/// A refusal of our own steps as it is; where the process only ended, what bubblewrap said.
fn explain(refusal: Option<Refusal>, words: BorrowedFd<'_>) -> Refusal {
    let mut bytes = [0; MAX_WORDS];
    let count = match sys::poll(words, libc::POLLIN, 0) {
        Ok(events) if events & libc::POLLIN != 0 => sys::read(words, &mut bytes).unwrap_or(0),
        _ => 0,
    };
    let said = String::from_utf8_lossy(&bytes[..count]);
    let said: String = said
        .trim()
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    match refusal {
        Some(refusal) if refusal.step != Step::Exec || refusal.errno != libc::ECHILD => refusal,
        _ if said.is_empty() => Refusal::new(Step::Bwrap, 0, "bubblewrap ended without a word"),
        _ => Refusal::new(Step::Bwrap, 0, said),
    }
}

fn become_bwrap(handed: &Handed) -> Result<Infallible, Refusal> {
    let at = |result: std::io::Result<()>| result.at(Step::Descriptors, String::new);
    for (fd, number) in [
        (&handed.nothing, 0),
        (&handed.nothing, 1),
        (&handed.words, 2),
    ] {
        at(sys::place(fd.as_fd(), number))?;
    }
    // Everything else of the launcher's closes with the exec.
    let mine = [
        &handed.arguments,
        &handed.inside,
        &handed.program,
        &handed.status,
    ];
    for fd in mine.into_iter().chain(&handed.others) {
        at(sys::keep_across_exec(fd.as_fd(), true))?;
    }
    child::follow_parent()?;
    // It may have died before that was asked for; from here on this process dies with it, also while it waits.
    if sys::getppid() != handed.launcher {
        let why = "the launcher is gone";
        return Err(Refusal::new(Step::ParentDeath, libc::ESRCH, why));
    }
    let mut byte = [0];
    if sys::read(handed.start.as_fd(), &mut byte).at(Step::ParentDeath, String::new)? != 1 {
        let why = "the launcher is gone";
        return Err(Refusal::new(Step::ParentDeath, libc::ESRCH, why));
    }
    sys::reset_signals().at(Step::Session, || "signals".into())?;
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let stage = format!("/proc/self/fd/{}", number(&handed.program));
    let (arguments, inside) = (number(&handed.arguments), number(&handed.inside));
    let argv = [
        &handed.name,
        "--args",
        &arguments,
        "--",
        &stage,
        "--inside",
        &inside,
    ];
    let argv = argv.into_iter().map(|word| text(word.as_bytes()));
    let argv = argv.collect::<Result<Vec<_>, _>>()?;
    Err(sys::execve(PROGRAM, &argv, &[])).at(Step::Bwrap, || child::lossy(PROGRAM))
}

fn text(bytes: &[u8]) -> Result<CString, Refusal> {
    CString::new(bytes).map_err(|_| Refusal::request("a text holds a NUL byte"))
}

/// A memory file with these bytes, to be read from its start.
fn file(bytes: &[u8]) -> Result<OwnedFd, Refusal> {
    let name = || "memory file".to_owned();
    let mut file =
        std::fs::File::from(sys::memory_file(c"queenright").at(Step::Descriptors, name)?);
    file.write_all(bytes).at(Step::Descriptors, name)?;
    std::io::Seek::rewind(&mut file).at(Step::Descriptors, name)?;
    Ok(file.into())
}

fn inside(
    plan: &Plan,
    [status, go, report]: [&OwnedFd; 3],
    descriptors: &[OwnedFd],
) -> Result<Vec<u8>, Refusal> {
    let Place::Own { layout, binds, .. } = &plan.place else {
        return Err(Refusal::request("an executor is not bubblewrap's"));
    };
    let words = |list: &[CString]| list.iter().map(|word| child::lossy(word)).collect();
    let targets = |mounts: &[Mount]| {
        let target = |mount: &Mount| (mount.target.clone(), mount.access);
        mounts.iter().map(target).collect()
    };
    let inside = Inside {
        kind: plan.kind,
        argv: words(&plan.argv),
        env: words(&plan.env),
        cwd: child::lossy(&plan.cwd),
        limits: plan.limits,
        abi: plan.abi,
        mounts: targets(&layout.mounts),
        binds: targets(binds),
        status: status.as_raw_fd(),
        go: go.as_raw_fd(),
        report: report.as_raw_fd(),
        descriptors: descriptors.iter().map(AsRawFd::as_raw_fd).collect(),
    };
    rmp_serde::to_vec_named(&inside)
        .map_err(|error| Refusal::new(Step::Request, libc::EINVAL, error.to_string()))
}

/// Bubblewrap's arguments, each ended by a NUL, and the descriptors that they name by number.
#[derive(Default)]
struct Arguments {
    bytes: Vec<u8>,
    named: Vec<OwnedFd>,
}

impl Arguments {
    fn say(&mut self, words: &[&str]) {
        for word in words {
            self.bytes.extend_from_slice(word.as_bytes());
            self.bytes.push(0);
        }
    }

    /// Shows a piece of the host. A device has no option by descriptor, and its path is the host's own.
    fn show(&mut self, mount: &Mount) -> Result<(), Refusal> {
        let name = || mount.source.display().to_string();
        let target = format!("/{}", mount.target);
        let option = match mount.access {
            Access::Device => {
                self.say(&["--dev-bind", &name(), &target]);
                return Ok(());
            }
            Access::ReadOnly => "--ro-bind-fd",
            Access::Writable => "--bind-fd",
        };
        let source = text(mount.source.as_os_str().as_bytes())?;
        let opened = sys::open_path(&source).at(Step::Source, name)?;
        self.say(&[option, &opened.as_raw_fd().to_string(), &target]);
        self.named.push(opened);
        Ok(())
    }

    fn contents(&mut self, name: &str, content: &str) -> Result<(), Refusal> {
        let content = file(content.as_bytes())?;
        let number = content.as_raw_fd().to_string();
        self.say(&["--perms", "0444", "--file", &number, &format!("/{name}")]);
        self.named.push(content);
        Ok(())
    }
}

/// The same root as [`crate::root::enter`] makes, but for what docs/guarantees.md names.
fn arguments(plan: &Plan, info: &OwnedFd) -> Result<Arguments, Refusal> {
    let Place::Own {
        layout,
        binds,
        hide,
        tmp,
        hostname,
        ..
    } = &plan.place
    else {
        return Err(Refusal::request("an executor is not bubblewrap's"));
    };
    let mut out = Arguments::default();
    out.say(&FLAGS);
    out.say(&["--uid", &UID.to_string(), "--gid", &GID.to_string()]);
    out.say(&["--hostname", hostname]);
    out.say(&["--info-fd", &info.as_raw_fd().to_string()]);
    for mount in &layout.mounts {
        out.show(mount)?;
    }
    for (target, name) in &layout.links {
        let target = target.to_string_lossy();
        out.say(&["--symlink", &target, &format!("/{name}")]);
    }
    for (target, name) in DEV_LINKS {
        out.say(&["--symlink", target, &format!("/{name}")]);
    }
    for (place, bytes) in [("/dev/shm", SHM_BYTES), ("/tmp", tmp.bytes)] {
        out.say(&[
            "--perms",
            "1777",
            "--size",
            &bytes.to_string(),
            "--tmpfs",
            place,
        ]);
    }
    out.say(&["--proc", "/proc"]);
    // It has no option for a /proc of processes only: what of the kernel a user may read there is covered.
    out.say(&["--tmpfs", "/proc/sys", "--remount-ro", "/proc/sys"]);
    for name in COVERED {
        let nothing = file(&[])?;
        let (number, place) = (nothing.as_raw_fd().to_string(), format!("/proc/{name}"));
        if std::path::Path::new(&place).exists() {
            out.say(&["--perms", "0000", "--ro-bind-data", &number, &place]);
            out.named.push(nothing);
        }
    }
    for (name, content) in FILES {
        out.contents(name, content)?;
    }
    for bind in binds {
        out.show(bind)?;
    }
    for path in hide {
        let path = format!("/{path}");
        out.say(&["--perms", "0555", "--tmpfs", &path, "--remount-ro", &path]);
    }
    out.say(&["--remount-ro", "/"]);
    Ok(out)
}

fn word(pipe: &OwnedFd) -> Result<(), Refusal> {
    sys::write(pipe.as_fd(), b"g")
        .at(Step::ParentDeath, || "go pipe".into())
        .map(drop)
}

/// Which process bubblewrap made, as it says, and made sure of: a child of the process we started, by a descriptor.
fn first_process(
    bwrap: libc::pid_t,
    info: BorrowedFd<'_>,
) -> Result<(libc::pid_t, OwnedFd), Refusal> {
    let refuse = |why: &str| Refusal::new(Step::Bwrap, libc::EPROTO, why);
    let started = Instant::now();
    let mut said = Vec::new();
    let number = loop {
        let left = DEADLINE.saturating_sub(started.elapsed());
        let wait = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        if sys::poll(info, libc::POLLIN, wait).at(Step::Deadline, || "bubblewrap".into())? == 0 {
            return Err(Refusal::new(Step::Deadline, libc::ETIMEDOUT, "bubblewrap"));
        }
        let mut bytes = [0; 512];
        match sys::read(info, &mut bytes).at(Step::Bwrap, || "info pipe".into())? {
            // It ended: what it complained of says more.
            0 => return Err(Refusal::new(Step::Exec, libc::ECHILD, "bubblewrap ended")),
            count => said.extend_from_slice(&bytes[..count]),
        }
        if said.len() > MAX_WORDS {
            return Err(refuse("it says more than a pid"));
        }
        if let Some(number) = child_pid(&said) {
            break number;
        }
    };
    let fd = sys::pidfd_open(number).at(Step::Bwrap, || "the sandbox's first process".into())?;
    let status = std::fs::read_to_string(format!("/proc/{number}/status"))
        .at(Step::Bwrap, || format!("/proc/{number}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    match parent.and_then(|text| text.trim().parse().ok()) {
        Some(parent) if bwrap == parent => Ok((number, fd)),
        _ => Err(refuse("the process it names is not its child")),
    }
}

/// `"child-pid": N` of a JSON object, once the digits have an end.
fn child_pid(said: &[u8]) -> Option<libc::pid_t> {
    let text = std::str::from_utf8(said).ok()?;
    let (_, rest) = text.split_once("\"child-pid\":")?;
    let rest = rest.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// Every namespace is another than ours, as seen from outside: an option that did nothing is no sandbox.
fn separate(first: libc::pid_t) -> Result<(), Refusal> {
    for name in NAMESPACES {
        let look = |process: &str| {
            std::fs::read_link(format!("/proc/{process}/ns/{name}"))
                .at(Step::Bwrap, || format!("{name} namespace"))
        };
        if look("self")? == look(&first.to_string())? {
            let why = format!("bubblewrap left the {name} namespace as it was");
            return Err(Refusal::new(Step::Bwrap, libc::EPROTO, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_read_only_when_it_is_whole() {
        assert_eq!(child_pid(b"{\n    \"child-pid\": 1234\n}\n"), Some(1234));
        assert_eq!(child_pid(b"{\"child-pid\": 12, \"x\": 3}"), Some(12));
        for not_yet in [
            &b""[..],
            b"{\"child-pid\": 12",
            b"{\"child",
            b"{\"child-pid\": x}",
        ] {
            assert_eq!(child_pid(not_yet), None);
        }
    }

    #[test]
    fn the_same_namespaces_are_no_sandbox() {
        let refusal = separate(sys::getpid()).unwrap_err();
        assert!(refusal.detail.contains("user namespace"), "{refusal}");
    }
}
