//! What a command says when it wants to reach the network, read strictly: one request, one reading of it.
//!
//! Everything here is text to value, without I/O: the proxy that moves bytes is the host's. A request is refused where two
//! readers could disagree about it (where it ends, whom it is for, which path it names), because a check of one reading and an
//! upstream of the other is how allow-lists are passed.
pub mod address;
pub mod chunks;
pub mod head;
pub mod host;
pub mod inside;
pub mod path;
pub mod reply;
pub mod scrub;
#[cfg(test)]
mod tests;

use std::fmt;

/// Why a request is answered without being asked about: the status for the client and the reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    pub status: u16,
    pub reason: &'static str,
}

impl Bad {
    pub(crate) const fn request(reason: &'static str) -> Self {
        Self {
            status: 400,
            reason,
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Bad {}
