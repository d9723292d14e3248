//! A command's one way out: a listening socket on the loopback of its own network namespace, held by whoever asked for it.
//!
//! The command can connect to that port and to nothing else. Whoever accepts on the socket knows by the descriptor which
//! command it is, and decides what becomes of each connection; the command never holds the listener.
use std::os::fd::{AsFd as _, RawFd};

use crate::message::Kind;
use crate::step::{At, Refusal, Step};
use crate::sys;
use crate::tier::Tier;

/// Where it listens, on 127.0.0.1.
pub const PORT: u16 = 3128;
/// Landlock's first version that can hold a process to one port.
pub const MIN_ABI: u32 = 4;
/// Connections that wait to be accepted; the kernel lets further ones wait on the connecting side.
const BACKLOG: i32 = 128;
/// What the packet with the listener says.
const WORD: &[u8] = b"egress";

/// Refuses a way out where it could not be held to one port, by what is missing.
pub fn check(kind: Kind, tier: Tier, abi: u32) -> Result<(), Refusal> {
    if kind != Kind::Command {
        return Err(Refusal::request("egress is for a command"));
    }
    if tier != Tier::Full {
        let why = format!(
            "tier {} has no network namespace of our making to listen in",
            tier.name()
        );
        return Err(Refusal::new(Step::Egress, libc::EOPNOTSUPP, why));
    }
    if abi < MIN_ABI {
        let why = format!(
            "Landlock ABI {MIN_ABI} is needed to allow one port only, and {abi} is used here"
        );
        return Err(Refusal::new(Step::Egress, libc::EOPNOTSUPP, why));
    }
    Ok(())
}

/// Listens, sends the listener over descriptor `reply` and closes both. The loopback interface is up.
pub fn hand_out(reply: usize) -> Result<(), Refusal> {
    let name = |what: &str| format!("127.0.0.1:{PORT}: {what}");
    let listener = sys::listen_on_loopback(PORT, BACKLOG).at(Step::Egress, || name("listener"))?;
    let socket = sys::held(reply).at(Step::Egress, || name("reply"))?;
    sys::send(socket.as_fd(), WORD, Some(listener.as_fd())).at(Step::Egress, || name("reply"))?;
    let number = RawFd::try_from(reply)
        .map_err(|_| Refusal::new(Step::Egress, libc::EBADF, name("reply")))?;
    sys::close_range(number, number).at(Step::Egress, || name("reply"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_refused_where_it_could_not_be_one_port_only() {
        assert!(check(Kind::Command, Tier::Full, 4).is_ok());
        assert!(check(Kind::Cell, Tier::Full, 6).is_err());
        assert!(check(Kind::Executor, Tier::Full, 6).is_err());
        for (tier, abi, named) in [
            (Tier::Full, 3, "Landlock ABI 4"),
            (Tier::Bwrap, 6, "tier bwrap"),
            (Tier::Landlock, 6, "tier landlock-strict"),
        ] {
            let refusal = check(Kind::Command, tier, abi).unwrap_err();
            assert!(refusal.detail.contains(named), "{refusal}");
            assert_eq!(refusal.step, Step::Egress);
        }
    }
}
