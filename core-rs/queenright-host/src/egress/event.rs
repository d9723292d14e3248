//! What crosses between the proxy's thread and the supervisor: events one way, answers the other.
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use queenright_core::egress::inside::Credential;

use super::tls::Opening;

/// A request, as the supervisor decides on it. `verb` and `resource` are what grants name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub verb: &'static str,
    pub resource: String,
    pub method: &'static str,
    pub host: String,
    pub port: u16,
    /// With its query; empty for a tunnel.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub has_body: bool,
    /// It came inside TLS that was opened for its host.
    pub tls: bool,
}

/// How an exchange ended. `code` is "" when the upstream answered, or the tunnel came to its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub code: &'static str,
    /// Something of it may have reached the upstream.
    pub began: bool,
    /// The upstream's status; 0 when it gave none, and for a tunnel.
    pub status: u16,
    /// Bytes of bodies or of the tunnel, to the upstream and from it.
    pub up: u64,
    pub down: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// May this be done? Answered by `Resolve` or `Refuse`, a tunnel also by `Open`: then the request inside is asked about
    /// under the same number.
    Asked { id: u64, door: u64, asked: Asked },
    /// Its addresses, each as a grant names it and with what it is if not of the public network; its body if it was to be
    /// held. Answered by `Go` or `Refuse`.
    Resolved {
        id: u64,
        addresses: Vec<(String, Option<&'static str>)>,
        body: Option<Vec<u8>>,
    },
    /// Comes once for each that was asked about; for an opened tunnel only if the request inside was.
    Ended { id: u64, end: End },
    /// So many times something came through the door that no decision was asked about.
    Refused {
        door: u64,
        reason: &'static str,
        count: u64,
    },
}

#[derive(Debug, Clone)]
pub enum Answer {
    /// Find its addresses. `hold`: read its body whole first, because a person decides about exactly these bytes.
    Resolve { hold: bool },
    /// End the tunnel's TLS here, and ask about what comes inside.
    Open(Box<Opening>),
    /// Dial what was shown.
    Go,
    /// The same, and put this into the request: only inside TLS.
    GoWith(Box<Credential>),
    /// `body` is JSON for the command to read.
    Refuse { status: u16, body: String },
}

/// Events for the supervisor, and a socket that is readable while there are some. The asked ones are as many as there are
/// connections at most; the refused ones are counted by door and reason, so that a loop of them is one event.
pub(super) struct Queue {
    inner: Mutex<Waiting>,
    wake: UnixStream,
    woken: UnixStream,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    refused: BTreeMap<(u64, &'static str), u64>,
}

impl Queue {
    pub fn new() -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self {
            inner: Mutex::default(),
            wake,
            woken,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held; if something did, the events are still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full socket is readable already, which is all it has to say.
        let _ = (&self.wake).write(b"e");
    }

    pub fn put(&self, event: Event) {
        self.lock().events.push_back(event);
        self.wake();
    }

    pub fn refused(&self, door: u64, reason: &'static str) {
        *self.lock().refused.entry((door, reason)).or_default() += 1;
        self.wake();
    }

    /// Everything there is.
    pub fn take(&self) -> Vec<Event> {
        let mut bytes = [0; 512];
        while matches!(io::Read::read(&mut &self.woken, &mut bytes), Ok(count) if count == bytes.len())
        {
        }
        let mut inner = self.lock();
        let refused = std::mem::take(&mut inner.refused);
        let mut events: Vec<Event> = inner.events.drain(..).collect();
        events.extend(
            refused
                .into_iter()
                .map(|((door, reason), count)| Event::Refused {
                    door,
                    reason,
                    count,
                }),
        );
        events
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

/// What an address is, as the supervisor sees it: one of this machine's own is never of the public network.
pub(super) fn kind_of(address: IpAddr) -> Option<&'static str> {
    queenright_core::egress::address::special(address).or_else(|| {
        // Only an address of this machine can be bound. Where anything can (ip_nonlocal_bind) everything is refused.
        std::net::UdpSocket::bind((address, 0))
            .is_ok()
            .then_some("an address of this machine")
    })
}
