//! A request inside TLS that the proxy opened, and what becomes of it before it is sent on.
use std::fmt;

use zeroize::Zeroizing;

use super::Bad;
use super::head::Request;
use super::scrub::Scrub;

/// A header that is put into a request, with every shape in which its secret may come back. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    header: String,
    value: Zeroizing<Vec<u8>>,
    shapes: Vec<Zeroizing<Vec<u8>>>,
}

const BAD: Bad = Bad {
    status: 502,
    reason: "a credential is a header's name in lower case, and a value of visible ASCII and inner spaces",
};

impl Credential {
    /// Refuses what would not be one header.
    pub fn new(
        header: &str,
        value: Zeroizing<Vec<u8>>,
        shapes: Vec<Zeroizing<Vec<u8>>>,
    ) -> Result<Self, Bad> {
        let name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let visible = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let inner = value.first() != Some(&b' ') && value.last() != Some(&b' ');
        if header.is_empty()
            || !header.bytes().all(name)
            || value.is_empty()
            || !value.iter().all(visible)
            || !inner
        {
            return Err(BAD);
        }
        Ok(Self {
            header: header.to_owned(),
            value,
            shapes,
        })
    }

    /// For one stream that may hold it.
    pub fn scrub(&self) -> Scrub {
        Scrub::new(&self.shapes)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.header)
    }
}

/// What would give an answer in pieces, or in a coding, in which a secret is not found.
const UNSEARCHABLE: [&str; 3] = ["accept-encoding", "if-range", "range"];

impl Request {
    /// Takes away every header that a server may read as `name`: some take `_` for `-`.
    pub fn without(&mut self, name: &str) {
        let plain = |name: &str| name.replace('_', "-");
        let gone = plain(name);
        self.headers.retain(|(own, _)| plain(own) != gone);
    }

    /// The head for the upstream, with the credential in it.
    pub fn upstream_with(&self, credential: &Credential) -> Zeroizing<Vec<u8>> {
        let mut plain = self.clone();
        plain.without(&credential.header);
        for name in UNSEARCHABLE {
            plain.without(name);
        }
        let head = plain.upstream();
        // Room for all of it at once: what a growing vector leaves behind is not wiped.
        let mut out = Zeroizing::new(Vec::with_capacity(
            head.len() + credential.header.len() + credential.value.len() + 64,
        ));
        out.extend_from_slice(&head[..head.len() - 2]);
        out.extend_from_slice(b"accept-encoding: identity\r\n");
        out.extend_from_slice(credential.header.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&credential.value);
        out.extend_from_slice(b"\r\n\r\n");
        out
    }
}

#[cfg(test)]
#[path = "inside_tests.rs"]
mod inside_tests;
