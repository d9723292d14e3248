//! The second stage of tier bwrap: started by bubblewrap as the first process of the namespaces it made, it puts the
//! same walls around itself as a process in namespaces of our own, and becomes the program.
use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::child::{self, Place, Plan};
use crate::layout::{Access, Layout, Mount};
use crate::message::{Kind, Limits};
use crate::root::Tmp;
use crate::step::{self, At, Refusal, Step};
use crate::sys;
use crate::tier::Tier;

/// What the launcher tells it, through a memory file.
#[derive(Serialize, Deserialize)]
pub struct Inside {
    pub kind: Kind,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub limits: Limits,
    pub abi: u32,
    /// (where in the sandbox, access), the launcher's own and the caller's.
    pub mounts: Vec<(String, Access)>,
    pub binds: Vec<(String, Access)>,
    pub status: RawFd,
    pub go: RawFd,
    pub report: RawFd,
    /// The caller's, in order: they become 0, 1, 2, ...
    pub descriptors: Vec<RawFd>,
}

/// Runs the second stage; returns only if the file cannot be read.
pub fn run(file: RawFd) -> io::Error {
    match open(file) {
        Ok((inside, status, go, report, descriptors)) => {
            let Err(refusal) = take_steps(&inside, &status, go, report, descriptors);
            let _ = sys::write(status.as_fd(), &step::encode(&refusal));
            sys::exit_now(child::REFUSED)
        }
        Err(error) => error,
    }
}

type Opened = (Inside, OwnedFd, OwnedFd, OwnedFd, Vec<OwnedFd>);

fn open(file: RawFd) -> io::Result<Opened> {
    let mut bytes = Vec::new();
    let mut file = std::fs::File::from(sys::adopt(file)?);
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let inside: Inside = rmp_serde::from_slice(&bytes).map_err(io::Error::other)?;
    let descriptors = inside.descriptors.iter().map(|&raw| sys::adopt(raw));
    let descriptors = descriptors.collect::<io::Result<_>>()?;
    // They came through bubblewrap, and go no further: the end of the status pipe says that the program started.
    let ours = |raw| {
        let fd = sys::adopt(raw)?;
        sys::keep_across_exec(fd.as_fd(), false)?;
        Ok::<_, io::Error>(fd)
    };
    let (status, go, report) = (ours(inside.status)?, ours(inside.go)?, ours(inside.report)?);
    Ok((inside, status, go, report, descriptors))
}

fn take_steps(
    inside: &Inside,
    status: &OwnedFd,
    go: OwnedFd,
    report: OwnedFd,
    descriptors: Vec<OwnedFd>,
) -> Result<Infallible, Refusal> {
    let plan = plan(inside)?;
    let ours = [status.as_fd(), go.as_fd(), report.as_fd()].map(Some);
    child::keep_only(&plan, ours, descriptors)?;
    // Bubblewrap's own process ends with the launcher, and this one with it: asked for before the launcher's word, so
    // that whoever dies from here on, this process does not outlive it. (bubblewrap #633: its own is asked too late.)
    child::follow_parent()?;
    let mut byte = [0];
    if sys::read(go.as_fd(), &mut byte).at(Step::ParentDeath, String::new)? != 1 {
        let why = "the launcher is gone";
        return Err(Refusal::new(Step::ParentDeath, libc::ESRCH, why));
    }
    drop(go);
    if sys::getpid() != 1 {
        let why = "not the first process of its pid namespace";
        return Err(Refusal::new(Step::Bwrap, libc::EPROTO, why));
    }
    sys::setsid().at(Step::Session, String::new)?;
    sys::reset_signals().at(Step::Session, || "signals".into())?;
    sys::umask(0o022);
    child::confine(&plan, status.as_fd(), Some(report))
}

fn plan(inside: &Inside) -> Result<Plan, Refusal> {
    let text = |text: &String| {
        CString::new(text.as_str()).map_err(|_| Refusal::request("a text holds a NUL byte"))
    };
    let mounts = |list: &[(String, Access)]| {
        let mount = |(target, access): &(String, Access)| Mount {
            source: PathBuf::new(),
            target: target.clone(),
            access: *access,
        };
        list.iter().map(mount).collect()
    };
    Ok(Plan {
        kind: inside.kind,
        argv: inside.argv.iter().map(text).collect::<Result<_, _>>()?,
        env: inside.env.iter().map(text).collect::<Result<_, _>>()?,
        cwd: text(&inside.cwd)?,
        limits: inside.limits,
        abi: inside.abi,
        root: false,
        tier: Tier::Bwrap,
        egress: None,
        place: Place::Own {
            layout: Layout {
                mounts: mounts(&inside.mounts),
                links: Vec::new(),
            },
            binds: mounts(&inside.binds),
            overlay: None,
            hide: Vec::new(),
            tmp: Tmp {
                bytes: 0,
                programs: true,
            },
            hostname: String::new(),
            trees: None,
        },
    })
}
