//! Names to addresses, once for each request.
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};

/// Where addresses come from. Called on a thread of its own, and may block.
pub trait Resolve: Send + Sync + 'static {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver, as any other program of it resolves.
pub struct System;

impl Resolve for System {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut found: Vec<IpAddr> = (name, 0)
            .to_socket_addrs()?
            .map(|found| found.ip())
            .collect();
        found.dedup();
        Ok(found)
    }
}
