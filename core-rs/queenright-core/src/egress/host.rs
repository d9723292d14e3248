//! Whom a request is for: one spelling of a name or an address, and a port.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use super::Bad;

/// Characters of a name (RFC 1035), and of one of its labels.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Lower case, without a last dot.
    Name(Box<str>),
    Address(IpAddr),
}

impl Host {
    /// A name, a dotted IPv4 address in its one spelling, or an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, Bad> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or(Bad::request("an IPv6 address without its last bracket"))?;
            // The standard library takes no zone, which would name an interface of this machine.
            return inner
                .parse::<Ipv6Addr>()
                .map(|address| Self::Address(address.into()))
                .map_err(|_| Bad::request("not an IPv6 address"));
        }
        let labels: Vec<&str> = text.split('.').collect();
        if text.is_empty() || text.len() > MAX_NAME || !labels.iter().all(|label| is_label(label)) {
            return Err(Bad::request(
                "a host is a name of ASCII letters, digits and hyphens, or an address; no user, no last dot",
            ));
        }
        // What some readers take for a number (1, 0x7f.1, 017700000001) is an address in its one spelling or refused.
        if labels.last().is_some_and(|last| is_number(last)) {
            return text
                .parse::<Ipv4Addr>()
                .map(|address| Self::Address(address.into()))
                .map_err(|_| Bad::request("an IPv4 address is four decimal numbers"));
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }

    /// As one segment of a resource's name.
    pub fn segment(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Address(IpAddr::V6(address)) => address.to_string().replace(':', "~3a"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_label(label: &str) -> bool {
    let letters = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    // `xn--` is a name's one spelling in ASCII; other `??--` are reserved (RFC 5891, 4.2.3.1).
    let reserved = label.get(2..4) == Some("--")
        && !label.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("xn"));
    letters
        && !label.is_empty()
        && label.len() <= MAX_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !reserved
}

fn is_number(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// `host:port`, or `host` alone where there is a port to assume.
pub fn authority(text: &str, assumed: Option<u16>) -> Result<(Host, u16), Bad> {
    let after_brackets = text.find(']').map_or(0, |end| end + 1);
    let (host, port) = match text[after_brackets..].find(':') {
        Some(colon) => {
            let colon = after_brackets + colon;
            (&text[..colon], Some(&text[colon + 1..]))
        }
        None => (text, None),
    };
    let port = match (port, assumed) {
        (Some(digits), _) => port_of(digits)?,
        (None, Some(port)) => port,
        (None, None) => return Err(Bad::request("the port is missing")),
    };
    Ok((Host::parse(host)?, port))
}

fn port_of(digits: &str) -> Result<u16, Bad> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match digits.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(Bad::request("a port is a number from 1 to 65535")),
    }
}
