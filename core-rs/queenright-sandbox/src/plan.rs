//! Checking a request: everything it says, before anything is made.
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::child::{Place, Plan};
use crate::layout::{self, Access, Mount};
use crate::message::{Kind, Layered, Reach, Spawn};
use crate::overlay::Overlay;
use crate::root::Tmp;
use crate::spawn::{MAX_SLOT, Machine};
use crate::step::{Refusal, Step};
use crate::tier::Tier;
use crate::{egress, strict, sys};

/// HOST_NAME_MAX.
const MAX_HOSTNAME: usize = 64;

fn c_string(what: &str, text: &str) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_| Refusal::request(format!("{what} {text:?} holds a NUL byte")))
}

pub fn arguments(argv: &[String]) -> Result<Vec<CString>, Refusal> {
    match argv.first() {
        Some(program) if program.starts_with('/') => {}
        Some(program) => {
            return Err(Refusal::request(format!(
                "argv[0] {program:?} is not an absolute path"
            )));
        }
        None => return Err(Refusal::request("argv is empty")),
    }
    argv.iter().map(|word| c_string("argv", word)).collect()
}

pub fn environment(env: &BTreeMap<String, String>) -> Result<Vec<CString>, Refusal> {
    let line = |(name, value): (&String, &String)| {
        if name.is_empty() || name.contains('=') {
            return Err(Refusal::request(format!(
                "env name {name:?} is empty or holds ="
            )));
        }
        // Named, not shown: what an environment holds may be secret.
        CString::new(format!("{name}={value}"))
            .map_err(|_| Refusal::request(format!("env {name:?} holds a NUL byte")))
    };
    env.iter().map(line).collect()
}

pub fn absolute(what: &str, path: &str) -> Result<CString, Refusal> {
    if !Path::new(path).is_absolute() {
        return Err(Refusal::request(format!("{what} {path:?} is not absolute")));
    }
    c_string(what, path)
}

/// Checks everything a request says before anything is made.
pub fn check(machine: &Machine, request: Spawn, descriptors: &[OwnedFd]) -> Result<Plan, Refusal> {
    let refuse = |why: String| Err(Refusal::request(why));
    if request.fds != descriptors.len() {
        return refuse(format!(
            "fds says {}, but {} descriptors came",
            request.fds,
            descriptors.len()
        ));
    }
    if !(3..=sys::MAX_DESCRIPTORS).contains(&request.fds) {
        return refuse(format!(
            "fds is {}: a program gets 3 to {}",
            request.fds,
            sys::MAX_DESCRIPTORS
        ));
    }
    let place = match request.kind {
        Kind::Executor => on_host(&request)?,
        Kind::Cell | Kind::Command if machine.tier == Tier::Landlock => {
            strict::check(machine, &request)?
        }
        Kind::Cell | Kind::Command => of_its_own(machine, &request)?,
    };
    if request.overlay.is_some() && machine.tier != Tier::Full {
        let why = format!(
            "tier {} has no overlay, so nothing that a command changes could be kept or dropped as a whole",
            machine.tier.name()
        );
        return Err(Refusal::new(Step::Overlay, libc::EOPNOTSUPP, why));
    }
    if let Some(reply) = request.egress {
        egress::check(request.kind, machine.tier, machine.abi)?;
        // Numbers 0 to 2 are the command's own, and an overlay's socket comes last.
        if reply < 3 || reply + 1 + usize::from(request.overlay.is_some()) != request.fds {
            return refuse(format!(
                "egress is {reply}: it is the last of the {} descriptors but an overlay's, after the command's own",
                request.fds
            ));
        }
    }
    let mut limits = request.limits;
    if matches!(place, Place::InPlace(_)) {
        limits.processes = limits.processes.map(strict::processes);
    }
    Ok(Plan {
        kind: request.kind,
        argv: arguments(&request.argv)?,
        env: environment(&request.env)?,
        cwd: absolute("cwd", &request.cwd)?,
        limits,
        abi: machine.abi,
        root: machine.root,
        tier: machine.tier,
        egress: request.egress,
        place,
    })
}

fn on_host(request: &Spawn) -> Result<Place, Refusal> {
    let unfit = [
        (request.uid_slot.is_some(), "uid_slot"),
        (request.hostname.is_some(), "hostname"),
        (!request.binds.is_empty(), "binds"),
        (!request.hide.is_empty(), "hide"),
        (request.limits.processes.is_some(), "limits.processes"),
        (request.limits.tmp_bytes.is_some(), "limits.tmp_bytes"),
        (request.overlay.is_some(), "overlay"),
        (request.egress.is_some(), "egress"),
    ];
    if let Some((_, name)) = unfit.iter().find(|(given, _)| *given) {
        return Err(Refusal::request(format!("an executor has no {name}")));
    }
    let Some(Reach {
        read,
        write,
        descriptors,
    }) = &request.landlock
    else {
        return Err(Refusal::request("an executor needs landlock paths"));
    };
    if let Some(number) = descriptors.iter().find(|number| **number >= request.fds) {
        return Err(Refusal::request(format!(
            "landlock.descriptors names {number} of {} descriptors",
            request.fds
        )));
    }
    let paths = |what: &str, list: &[String]| {
        list.iter()
            .map(|path| absolute(what, path))
            .collect::<Result<_, _>>()
    };
    Ok(Place::Host {
        read: paths("landlock.read", read)?,
        write: paths("landlock.write", write)?,
        descriptors: descriptors.clone(),
    })
}

fn of_its_own(machine: &Machine, request: &Spawn) -> Result<Place, Refusal> {
    let refuse = |why: String| Err(Refusal::request(why));
    if request.landlock.is_some() {
        return refuse(
            "landlock paths are for an executor: a cell or command has what its binds show".into(),
        );
    }
    match (machine.root, request.uid_slot) {
        (true, None) => {
            return refuse(
                "uid_slot is needed: the launcher is root, and no agent runs as root".into(),
            );
        }
        (true, Some(slot)) if slot > MAX_SLOT => {
            return refuse(format!("uid_slot {slot} is above {MAX_SLOT}"));
        }
        (false, Some(_)) => return refuse("uid_slot needs a launcher that is root".into()),
        (true, Some(_)) | (false, None) => {}
    }
    let Some(bytes) = request.limits.tmp_bytes else {
        return refuse("limits.tmp_bytes is missing".into());
    };
    if request.limits.processes.is_none() {
        return refuse("limits.processes is missing".into());
    }
    if bytes == 0 {
        return refuse("limits.tmp_bytes is 0, which tmpfs takes for no limit".into());
    }
    let Some(hostname) = request.hostname.clone() else {
        return refuse("hostname is missing".into());
    };
    let letters = hostname
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if hostname.is_empty() || hostname.len() > MAX_HOSTNAME || !letters {
        return refuse(format!(
            "hostname {hostname:?} is not 1 to {MAX_HOSTNAME} letters, digits, - and ."
        ));
    }
    let mut binds = Vec::new();
    for bind in &request.binds {
        absolute("bind src", &bind.src)?;
        let access = if bind.writable {
            Access::Writable
        } else {
            Access::ReadOnly
        };
        binds.push(Mount {
            source: PathBuf::from(&bind.src),
            target: layout::target("bind dst", &bind.dst)?,
            access,
        });
    }
    let overlay = match &request.overlay {
        Some(layered) => Some(Box::new(overlay(request, layered)?)),
        None => None,
    };
    let hide = request
        .hide
        .iter()
        .map(|path| layout::target("hide", path))
        .collect::<Result<_, _>>()?;
    let (layout, programs) = match request.kind {
        Kind::Command => (machine.command.clone(), true),
        _ => (machine.cell.clone(), false),
    };
    Ok(Place::Own {
        layout,
        binds,
        overlay,
        hide,
        tmp: Tmp { bytes, programs },
        hostname,
        trees: None,
    })
}

fn overlay(request: &Spawn, layered: &Layered) -> Result<Overlay, Refusal> {
    let refuse = |why: String| Err(Refusal::request(why));
    if request.kind != Kind::Command {
        return refuse("an overlay is for a command".into());
    }
    // Numbers 0 to 2 are the command's own.
    if layered.reply < 3 || layered.reply + 1 != request.fds {
        return refuse(format!(
            "overlay.reply is {}: it is the last of the {} descriptors, after the command's own",
            layered.reply, request.fds
        ));
    }
    if layered.bytes == 0 || layered.inodes == 0 {
        return refuse(
            "overlay.bytes or overlay.inodes is 0, which tmpfs takes for no limit".into(),
        );
    }
    absolute("overlay src", &layered.src)?;
    Ok(Overlay {
        lower: Mount {
            source: PathBuf::from(&layered.src),
            target: layout::target("overlay dst", &layered.dst)?,
            access: Access::ReadOnly,
        },
        bytes: layered.bytes,
        inodes: layered.inodes,
        reply: layered.reply,
    })
}
