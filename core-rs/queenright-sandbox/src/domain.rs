//! The Landlock domain of a sandbox: a second wall behind the mount namespace, the only one of an executor.
use std::os::fd::{AsFd as _, OwnedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::step::{At, Refusal, Step};
use crate::sys;

/// The highest ABI whose rights this crate knows what to do with, and is tested at.
pub const MAX_ABI: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, list and execute.
    Read,
    /// Everything but making device nodes and device ioctls.
    Write,
    /// Read and write a device node.
    Device,
}

/// What a domain takes away besides files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// TCP, abstract Unix sockets and signals to anyone outside: agents' code.
    Closed,
    /// The same, but for connecting to this one port (Landlock ABI 4 or newer).
    ClosedBut(u16),
    /// Abstract Unix sockets only: executors use the network and signal the services they manage.
    NetworkAndSignals,
}

/// The highest ABI at hand, at most `cap`. Refuses where there is none.
pub fn choose_abi(cap: u32) -> Result<u32, Refusal> {
    let kernel =
        sys::landlock_abi().at(Step::Landlock, || "this kernel offers no Landlock".into())?;
    match kernel.min(cap).min(MAX_ABI) {
        0 => Err(Refusal::new(
            Step::Landlock,
            libc::EOPNOTSUPP,
            "Landlock ABI 1 or newer is needed",
        )),
        abi => Ok(abi),
    }
}

fn version(abi: u32) -> ABI {
    match abi {
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => ABI::Unsupported,
    }
}

fn rights(access: Access, abi: ABI, directory: bool) -> BitFlags<AccessFs> {
    let all = match access {
        Access::Read => AccessFs::from_read(abi),
        Access::Write => {
            AccessFs::from_all(abi)
                & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev)
        }
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile,
    };
    if directory {
        all
    } else {
        all & AccessFs::from_file(abi)
    }
}

/// Puts this thread, and all it starts, into a domain of exactly `rules`, with every right of `abi` required.
pub fn enter(abi: u32, rules: Vec<(OwnedFd, Access)>, outside: Outside) -> Result<(), Refusal> {
    let refuse = |why: String| Refusal::new(Step::Landlock, libc::EPERM, why);
    let number = abi;
    let abi = version(abi);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(|error| refuse(error.to_string()))?;
    if let Outside::ClosedBut(port) = outside
        && number < 4
    {
        return Err(refuse(format!(
            "ABI {number} cannot allow port {port} alone"
        )));
    }
    if number >= 4 && outside != Outside::NetworkAndSignals {
        ruleset = ruleset
            .handle_access(AccessNet::from_all(abi))
            .map_err(|error| refuse(error.to_string()))?;
    }
    if number >= 6 {
        let scope = match outside {
            Outside::Closed | Outside::ClosedBut(_) => Scope::from_all(abi),
            Outside::NetworkAndSignals => Scope::AbstractUnixSocket.into(),
        };
        ruleset = ruleset
            .scope(scope)
            .map_err(|error| refuse(error.to_string()))?;
    }
    let mut created = ruleset
        .create()
        .map_err(|error| refuse(error.to_string()))?;
    for (path, access) in rules {
        let directory = sys::is_directory(path.as_fd()).at(Step::Landlock, String::new)?;
        created = created
            .add_rule(PathBeneath::new(path, rights(access, abi, directory)))
            .map_err(|error| refuse(error.to_string()))?;
    }
    if let Outside::ClosedBut(port) = outside {
        created = created
            .add_rule(NetPort::new(port, AccessNet::ConnectTcp))
            .map_err(|error| refuse(error.to_string()))?;
    }
    let status = created
        .restrict_self()
        .map_err(|error| refuse(error.to_string()))?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(refuse(format!("not fully enforced: {:?}", status.ruleset)));
    }
    Ok(())
}
