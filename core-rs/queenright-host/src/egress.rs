//! The way of commands to the network: a proxy whose every connection is decided by the supervisor.
//!
//! A *door* is the listening socket of one command's own network namespace, so whoever connects to it is that command, whatever
//! it says. One thread serves all doors and never takes the interpreter's lock: it reads a request ([`queenright_core::egress`]),
//! puts it before the supervisor as an [`Event`] and waits for the [`Answer`]; it resolves only what was allowed, once, and
//! dials only an address that was shown. A connection carries one request: what follows it is never read. A tunnel is blind, unless the
//! answer is to open it: then TLS ends here, the request inside is put before the supervisor as any other, and a credential may be
//! given with the last answer.
mod authority;
mod event;
mod exchange;
mod proxy;
mod reader;
mod relay;
mod resolve;
mod scrubbed;
mod stream;
mod tls;
mod web;

pub use authority::{Authority, AuthorityError};
pub use event::{Answer, Asked, End, Event};
pub use proxy::{Bounds, Proxy};
pub use resolve::{Resolve, System};
pub use tls::{Opening, roots_of};
