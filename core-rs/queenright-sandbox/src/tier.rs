//! Which isolation this machine gives agents: found by making a sandbox, never assumed, never lowered in silence.
use crate::domain::MAX_ABI;
use crate::message::{Kind, Limits, Spawn};
use crate::spawn::{self, Machine};
use crate::step::{Refusal, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Namespaces of our own making, and every wall inside them.
    Full,
    /// Namespaces made by bubblewrap where we may not make them; the same walls inside.
    Bwrap,
    /// No namespaces: Landlock and a stricter filter, by an operator's word only.
    Landlock,
}

impl Tier {
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Bwrap => "bwrap",
            Self::Landlock => "landlock-strict",
        }
    }
}

const MIB: u64 = 1024 * 1024;
pub const AS_ROOT: &str = "only an ordinary user's launcher goes on without namespaces of its own: as root bubblewrap makes \
                       no user namespace, and without one agents would be root";

/// The machine with its tier: the first of ours, bubblewrap's and, if the operator said so, none that makes a whole
/// sandbox. Otherwise the step at which ours failed, with what bubblewrap said.
pub fn choose(mut machine: Machine, landlock_alone: bool) -> Result<Machine, Refusal> {
    let Err(own) = try_one(&machine) else {
        return Ok(machine);
    };
    if !forbidden(&own) {
        return Err(own);
    }
    let theirs = match machine.root {
        true => Refusal::new(Step::Tier, 0, AS_ROOT),
        false => {
            machine.tier = Tier::Bwrap;
            match try_one(&machine) {
                Ok(()) => {
                    machine.instead_of = own.to_string();
                    return Ok(machine);
                }
                Err(refusal) => refusal,
            }
        }
    };
    if landlock_alone && !machine.root {
        strict_enough(machine.abi)?;
        machine.tier = Tier::Landlock;
        try_one(&machine)?;
        machine.instead_of = format!("{own}; {theirs}");
        return Ok(machine);
    }
    let why = match own.detail.as_str() {
        "" => format!("bubblewrap is no way round it ({})", theirs.message()),
        detail => format!(
            "bubblewrap is no way round it ({}); {detail}",
            theirs.message()
        ),
    };
    Err(Refusal::new(own.step, own.errno, why))
}

/// Without namespaces agents of one uid are kept apart by Landlock's scopes, which came with its ABI 6.
pub fn strict_enough(abi: u32) -> Result<(), Refusal> {
    if abi >= MAX_ABI {
        return Ok(());
    }
    let why = format!(
        "landlock-strict needs Landlock ABI {MAX_ABI} (Linux 6.12), and {abi} is used here: below it agents of one uid \
         can signal each other and reach each other's abstract sockets"
    );
    Err(Refusal::new(Step::Tier, 0, why))
}

/// Whether it is namespaces and mounts that this process may not make. A machine short of memory or descriptors, or
/// without Landlock, is refused as it is: another's namespaces would not mend it.
fn forbidden(refusal: &Refusal) -> bool {
    let step = matches!(
        refusal.step,
        Step::Clone
            | Step::UidMap
            | Step::Private
            | Step::NewRoot
            | Step::Source
            | Step::Bind
            | Step::Dev
            | Step::Tmp
            | Step::Proc
            | Step::NoNesting
            | Step::Loopback
            | Step::Hostname
            | Step::Pivot
    );
    let word = [
        libc::EPERM,
        libc::EACCES,
        libc::ENOSPC,
        libc::EUSERS,
        libc::EINVAL,
        libc::ENOSYS,
    ];
    step && word.contains(&refusal.errno)
}

/// A whole sandbox around /bin/true, made exactly as an agent's command is.
pub fn try_one(machine: &Machine) -> Result<(), Refusal> {
    let in_place = machine.tier == Tier::Landlock;
    let limits = Limits {
        memory_bytes: 64 * MIB,
        open_files: 64,
        file_bytes: MIB,
        processes: Some(8),
        tmp_bytes: (!in_place).then_some(MIB),
    };
    let mut request = Spawn::probe(
        Kind::Command,
        vec!["/bin/true".into()],
        limits,
        machine.root.then_some(0),
    );
    if in_place {
        request.hostname = None;
    }
    spawn::try_one(machine, request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_forbidden_namespace_leads_to_another_tier() {
        for step in [Step::Clone, Step::UidMap, Step::Private, Step::Pivot] {
            assert!(forbidden(&Refusal::new(step, libc::EPERM, "")));
            for passing in [libc::EMFILE, libc::ENOMEM, libc::EAGAIN, libc::ETIMEDOUT] {
                assert!(!forbidden(&Refusal::new(step, passing, "")), "{passing}");
            }
        }
        for step in [
            Step::Landlock,
            Step::Seccomp,
            Step::Caps,
            Step::Rlimits,
            Step::Exec,
            Step::Deadline,
        ] {
            assert!(!forbidden(&Refusal::new(step, libc::EPERM, "")), "{step:?}");
        }
    }
}
