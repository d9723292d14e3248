//! The names of the steps that make a sandbox, and what a person can do when one fails.
use std::fmt;

macro_rules! steps {
    ($($variant:ident $name:literal $hint:literal;)*) => {
        /// One step on the way to a running sandbox. The discriminant crosses the child's status pipe.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step { $($variant),* }

        impl Step {
            pub const ALL: &'static [Step] = &[$(Step::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $(Step::$variant => $name),* }
            }

            /// What to do about it; empty where only the caller's request was at fault.
            pub fn hint(self) -> &'static str {
                match self { $(Step::$variant => $hint),* }
            }
        }
    };
}

steps! {
    Request "request" "";
    Descriptors "descriptors" "raise the limit of open files (ulimit -n)";
    Clone "clone" "user namespaces are forbidden here: set sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0, or in a container allow them (docker: --security-opt seccomp=unconfined)";
    UidMap "uid_map" "the kernel refused to map this user into a new user namespace: check /proc is mounted and not masked";
    ParentDeath "parent_death" "";
    Identity "identity" "start it as an ordinary user, or as a root that has every uid and CAP_SETUID and CAP_SETGID";
    Session "session" "";
    OomScore "oom_score" "check that /proc is mounted and writable";
    Source "source" "the path must exist, be readable by the supervisor and hold no symbolic link";
    Private "mount_private" "AppArmor may forbid mounts in user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with `userns` for this program";
    NewRoot "new_root" "mounting tmpfs in a user namespace is forbidden here";
    Bind "bind" "";
    Dev "dev" "check that /dev holds null, zero, full, random and urandom";
    Hide "hide" "a path to hide must be a directory inside the sandbox";
    Tmp "tmp" "mounting tmpfs in a user namespace is forbidden here";
    Overlay "overlay" "the full tier, and overlayfs in a user namespace: Linux 5.11 or newer with CONFIG_OVERLAY_FS";
    Proc "proc" "a container that masks parts of /proc forbids a fresh one: run it with an unmasked /proc (docker: --security-opt systempaths=unconfined)";
    Etc "etc" "";
    NoNesting "max_user_namespaces" "/proc/sys is read-only here: run the container with an unmasked /proc";
    Loopback "loopback" "";
    Hostname "hostname" "";
    Egress "egress" "a command's way to named hosts needs the full tier and Landlock ABI 4: Linux 6.7 or newer";
    Pivot "pivot_root" "the root directory must be a mount point (not the initramfs)";
    Rlimits "rlimits" "the limit asked for is above this process's hard limit";
    Cgroup "cgroup" "the launcher could not place the process in its cgroup";
    Caps "capabilities" "";
    NoNewPrivs "no_new_privs" "";
    Landlock "landlock" "enable Landlock: kernel 5.13 or newer with landlock in the lsm= list";
    Seccomp "seccomp" "the kernel needs CONFIG_SECCOMP_FILTER";
    WorkingDirectory "cwd" "the working directory must exist inside the sandbox";
    Fork "fork" "";
    Exec "exec" "argv[0] must be an absolute path of a program inside the sandbox";
    Deadline "deadline" "the machine is overloaded or a mount hangs";
    Tier "tier" "";
    Bwrap "bwrap" "bubblewrap makes the namespaces where this program may not: install it (apt install bubblewrap), version 0.10 or one with --ro-bind-fd, and allow it user namespaces";
    Kill "kill" "";
    Output "output" "";
    PidFile "pidfile" "";
}

/// Why a sandbox was not made. Nothing of it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub step: Step,
    pub errno: i32,
    pub detail: String,
}

impl Refusal {
    pub fn new(step: Step, errno: i32, detail: impl Into<String>) -> Self {
        Self {
            step,
            errno,
            detail: detail.into(),
        }
    }

    /// A request that is wrong in itself (EINVAL).
    pub fn request(detail: impl Into<String>) -> Self {
        Self::new(Step::Request, libc::EINVAL, detail)
    }

    pub fn message(&self) -> String {
        let cause = std::io::Error::from_raw_os_error(self.errno);
        match (self.step, self.detail.is_empty()) {
            (Step::Request, _) => self.detail.clone(),
            (_, false) if self.errno == 0 => self.detail.clone(),
            (_, true) => format!("{cause}"),
            (_, false) => format!("{}: {cause}", self.detail),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.step.name(), self.message())
    }
}

impl std::error::Error for Refusal {}

/// Turns the error of a system call into a refusal at a step.
pub trait At<T> {
    fn at(self, step: Step, detail: impl FnOnce() -> String) -> Result<T, Refusal>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, step: Step, detail: impl FnOnce() -> String) -> Result<T, Refusal> {
        self.map_err(|error| {
            Refusal::new(step, error.raw_os_error().unwrap_or(libc::EIO), detail())
        })
    }
}

/// Longest detail that fits the child's status pipe in one atomic write (PIPE_BUF is 4096).
const MAX_DETAIL: usize = 1024;

/// `[step u8][errno i32 little endian][detail UTF-8]`: what a child writes before it gives up.
pub fn encode(refusal: &Refusal) -> Vec<u8> {
    let mut bytes = vec![refusal.step as u8];
    bytes.extend_from_slice(&refusal.errno.to_le_bytes());
    let detail = refusal.detail.as_bytes();
    bytes.extend_from_slice(&detail[..detail.len().min(MAX_DETAIL)]);
    bytes
}

pub fn decode(bytes: &[u8]) -> Refusal {
    let broken = || {
        Refusal::new(
            Step::Exec,
            libc::EPROTO,
            "the child ended without saying why",
        )
    };
    let Some((&step, rest)) = bytes.split_first() else {
        return broken();
    };
    let Some((errno, detail)) = rest.split_first_chunk::<4>() else {
        return broken();
    };
    let Some(&step) = Step::ALL.get(usize::from(step)) else {
        return broken();
    };
    Refusal::new(
        step,
        i32::from_le_bytes(*errno),
        String::from_utf8_lossy(detail).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_status_pipe() {
        for &step in Step::ALL {
            let refusal = Refusal::new(step, libc::EPERM, "a/b");
            assert_eq!(decode(&encode(&refusal)), refusal);
        }
    }

    #[test]
    fn broken_status_bytes_are_still_a_refusal() {
        for bytes in [&b""[..], b"\xff", b"\x01\x02", b"\xff\0\0\0\0"] {
            assert_eq!(decode(bytes).errno, libc::EPROTO);
        }
    }
}
