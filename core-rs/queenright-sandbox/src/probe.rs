//! What this machine offers, found by trying each thing for real in a process that then ends.
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

use crate::domain::{self, MAX_ABI, Outside};
use crate::message::Kind;
use crate::seccomp::Walls;
use crate::spawn::{self, Machine};
use crate::step::{At, Refusal, Step};
use crate::sys::{self, Cloned};
use crate::tier::{self, Tier};
use crate::{cgroup, egress, memory, seccomp};

/// One thing tried. `required` means no sandbox without it.
struct Trial {
    name: &'static str,
    required: bool,
    result: Result<(), Refusal>,
}

/// A probe takes milliseconds; a machine that hangs in one does not offer it.
const DEADLINE_MS: i32 = 10_000;

/// The report as one JSON object. Works without a supervisor, and without any of what it looks for.
pub fn examine(landlock_abi_cap: u32) -> String {
    let spaces = libc::CLONE_NEWUSER;
    let own = |flag: libc::c_int| attempt(spaces | flag, || Ok(()));
    let files = spaces | libc::CLONE_NEWNS;
    let abi = domain::choose_abi(landlock_abi_cap);
    let control = cgroup::Control::find();
    let trial = |name, required, result| Trial {
        name,
        required,
        result,
    };
    let trials = [
        trial("user_namespace", true, own(0)),
        trial("mount_namespace", true, own(libc::CLONE_NEWNS)),
        trial("pid_namespace", true, own(libc::CLONE_NEWPID)),
        trial(
            "network_namespace",
            true,
            attempt(spaces | libc::CLONE_NEWNET, loopback),
        ),
        trial("ipc_namespace", true, own(libc::CLONE_NEWIPC)),
        trial("uts_namespace", true, own(libc::CLONE_NEWUTS)),
        trial("cgroup_namespace", true, own(libc::CLONE_NEWCGROUP)),
        trial("tmpfs", true, attempt(files, || small_tmpfs().map(drop))),
        trial(
            "proc",
            true,
            attempt(files | libc::CLONE_NEWPID, fresh_proc),
        ),
        trial("overlayfs", true, attempt(files, overlay)),
        trial("seccomp", true, attempt(0, filtered)),
        trial(
            "landlock",
            true,
            abi.clone()
                .and_then(|abi| attempt(0, move || confined(abi))),
        ),
        trial(
            "egress",
            false,
            abi.clone()
                .and_then(|abi| egress::check(Kind::Command, Tier::Full, abi).map(|()| abi))
                .and_then(|abi| attempt(spaces | libc::CLONE_NEWNET, move || one_port(abi))),
        ),
        trial("sandbox", true, whole(landlock_abi_cap, Tier::Full)),
        trial("bubblewrap", false, whole(landlock_abi_cap, Tier::Bwrap)),
        trial(
            "landlock_strict",
            false,
            abi.clone()
                .and_then(tier::strict_enough)
                .and_then(|()| whole(landlock_abi_cap, Tier::Landlock)),
        ),
        trial(
            "memory_cgroup",
            false,
            match &control {
                cgroup::Control::Absent(why) => Err(Refusal::new(Step::Cgroup, 0, why.clone())),
                _ => Ok(()),
            },
        ),
        trial(
            "memory_watch",
            false,
            if memory::can_watch() {
                Ok(())
            } else {
                Err(Refusal::new(
                    Step::Proc,
                    libc::ENOENT,
                    "/proc/PID/task/TID/children",
                ))
            },
        ),
    ];
    control.remove();
    let kernel_abi = sys::landlock_abi().unwrap_or(0);
    let max = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").ok();
    let max: Option<u64> = max.and_then(|text| text.trim().parse().ok());
    let features: Vec<String> = trials.iter().map(json_trial).collect();
    format!(
        "{{\"version\":{},\"root\":{},\"tier\":{},\"landlock\":{{\"kernel\":{kernel_abi},\"used\":{},\"full\":{MAX_ABI}}},\
         \"max_user_namespaces\":{},\"features\":[{}]}}\n",
        json_string(env!("CARGO_PKG_VERSION")),
        sys::effective_uid() == 0,
        json_string(chosen(landlock_abi_cap)),
        abi.unwrap_or(0),
        max.map_or_else(|| "null".into(), |max| max.to_string()),
        features.join(","),
    )
}

fn json_trial(trial: &Trial) -> String {
    let (step, errno, message, hint) = match &trial.result {
        Ok(()) => ("", 0, String::new(), ""),
        Err(refusal) => (
            refusal.step.name(),
            refusal.errno,
            refusal.message(),
            refusal.step.hint(),
        ),
    };
    format!(
        "{{\"name\":{},\"required\":{},\"present\":{},\"step\":{},\"errno\":{errno},\"message\":{},\"hint\":{}}}",
        json_string(trial.name),
        trial.required,
        trial.result.is_ok(),
        json_string(step),
        json_string(&message),
        json_string(hint),
    )
}

/// RFC 8259 section 7: what must be escaped is escaped, control characters by number.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Runs `test` in a child with the namespaces of `flags`, this user mapped in a new user namespace.
fn attempt(flags: libc::c_int, test: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
    let (said, say) = sys::pipe().at(Step::Descriptors, String::new)?;
    let (wait, go) = sys::pipe().at(Step::Descriptors, String::new)?;
    let (pid, pidfd) = match sys::clone3(flags).at(Step::Clone, String::new)? {
        Cloned::Child => {
            let mut byte = [0];
            let result = match sys::read(wait.as_fd(), &mut byte) {
                Ok(1) => test(),
                _ => sys::exit_now(1),
            };
            if let Err(refusal) = result {
                let _ = sys::write(say.as_fd(), &crate::step::encode(&refusal));
                sys::exit_now(1);
            }
            sys::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((say, wait));
    let mapped = if flags & libc::CLONE_NEWUSER == 0 {
        Ok(())
    } else {
        spawn::map_self(pid)
    };
    let result = mapped
        .and_then(|()| sys::write(go.as_fd(), b"g").at(Step::ParentDeath, String::new))
        .and_then(|_| {
            match sys::poll(pidfd.as_fd(), libc::POLLIN, DEADLINE_MS)
                .at(Step::Deadline, String::new)?
            {
                0 => Err(Refusal::new(
                    Step::Deadline,
                    libc::ETIMEDOUT,
                    "the probe hangs",
                )),
                _ => Ok(()),
            }
        });
    // It has ended, or must: a second signal to an ended process does nothing.
    let _ = sys::pidfd_kill(pidfd.as_fd(), libc::SIGKILL);
    drop(go);
    let (_, status) = sys::waitpid(pid).at(Step::Fork, String::new)?;
    result?;
    let mut bytes = [0; 2048];
    match (sys::end_of(status), sys::read(said.as_fd(), &mut bytes)) {
        (sys::End::Code(0), _) => Ok(()),
        (_, Ok(count)) if count > 0 => Err(crate::step::decode(&bytes[..count])),
        (end, _) => Err(Refusal::new(
            Step::Exec,
            libc::ECHILD,
            format!("the probe ended with {end:?}"),
        )),
    }
}

/// A way out as a command has it: a listener on loopback, and a domain that allows its port only.
fn one_port(abi: u32) -> Result<(), Refusal> {
    loopback()?;
    sys::listen_on_loopback(egress::PORT, 1).at(Step::Egress, || "listener".into())?;
    domain::enter(abi, Vec::new(), Outside::ClosedBut(egress::PORT))
}

fn loopback() -> Result<(), Refusal> {
    sys::loopback_up().at(Step::Loopback, String::new)
}

fn small_tmpfs() -> Result<OwnedFd, Refusal> {
    sys::make_all_private().at(Step::Private, String::new)?;
    let options = [(c"size", c"1m"), (c"mode", c"0755")];
    let made = sys::new_filesystem(c"tmpfs", &options, 0).at(Step::NewRoot, || "tmpfs".into())?;
    let root = sys::open_path(c"/").at(Step::NewRoot, String::new)?;
    sys::attach(made.as_fd(), root.as_fd(), c"").at(Step::NewRoot, || "attach".into())?;
    Ok(made)
}

fn fresh_proc() -> Result<(), Refusal> {
    sys::new_filesystem(c"proc", &[(c"subset", c"pid")], 0)
        .at(Step::Proc, || "proc".into())
        .map(drop)
}

fn overlay() -> Result<(), Refusal> {
    let name = || "overlay".to_owned();
    let tmpfs = small_tmpfs()?;
    for directory in [c"lower", c"upper", c"work"] {
        sys::mkdirat(tmpfs.as_fd(), directory, 0o755).at(Step::Overlay, name)?;
    }
    sys::fchdir(tmpfs.as_fd()).at(Step::Overlay, name)?;
    let options = [
        (c"lowerdir", c"lower"),
        (c"upperdir", c"upper"),
        (c"workdir", c"work"),
        (c"userxattr", c""),
    ];
    let filesystem = sys::new_filesystem(c"overlay", &options, 0).at(Step::Overlay, name)?;
    sys::mkdirat(filesystem.as_fd(), c"written", 0o755).at(Step::Overlay, name)
}

fn filtered() -> Result<(), Refusal> {
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).at(Step::NoNewPrivs, String::new)?;
    seccomp::install(Walls::Usual(Kind::Cell))?;
    // The filter is there only if it stops something that works without it.
    match sys::sethostname(b"probe") {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        _ => Err(Refusal::new(
            Step::Seccomp,
            libc::EPROTO,
            "the filter does not filter",
        )),
    }
}

fn confined(abi: u32) -> Result<(), Refusal> {
    domain::enter(abi, Vec::new(), Outside::Closed)?;
    match std::fs::read_dir("/") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(Refusal::new(
            Step::Landlock,
            libc::EPROTO,
            "the domain does not confine",
        )),
    }
}

/// A whole sandbox of one tier around /bin/true, made exactly as an agent's command is.
fn whole(landlock_abi_cap: u32, tier: Tier) -> Result<(), Refusal> {
    let mut machine = Machine::examine(landlock_abi_cap)?;
    if tier != Tier::Full && machine.root {
        machine.groups.remove();
        return Err(Refusal::new(Step::Tier, 0, tier::AS_ROOT));
    }
    machine.tier = tier;
    let result = tier::try_one(&machine);
    machine.groups.remove();
    result
}

/// What a launcher that starts now would use.
fn chosen(landlock_abi_cap: u32) -> &'static str {
    let chosen =
        Machine::examine(landlock_abi_cap).and_then(|machine| tier::choose(machine, false));
    chosen.map_or("none", |machine| {
        machine.groups.remove();
        machine.tier.name()
    })
}
