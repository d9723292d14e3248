//! The head of a request to the proxy: `CONNECT host:port`, a method on `http://host/path`, or inside TLS that the proxy opened a
//! method on `/path`. One reading, or none.
use super::Bad;
use super::host::{Host, authority};
use super::path::{self, Path};
use crate::pattern::check_resource;

/// Bytes of a head.
pub const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Connect,
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn parse(text: &str) -> Result<Self, Bad> {
        Ok(match text {
            "CONNECT" => Self::Connect,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => {
                return Err(Bad {
                    status: 501,
                    reason: "methods are CONNECT, GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS",
                });
            }
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// The verb that a grant names it by.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Connect => "net.connect",
            Self::Get => "web.get",
            Self::Head => "web.head",
            Self::Post => "web.post",
            Self::Put => "web.put",
            Self::Patch => "web.patch",
            Self::Delete => "web.delete",
            Self::Options => "web.options",
        }
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch | Self::Delete)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub host: Host,
    pub port: u16,
    /// None for CONNECT.
    pub path: Option<Path>,
    /// Those that are sent on, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// It waits for `100 Continue` before it sends its body.
    pub waits: bool,
    /// It came inside TLS, and goes on so.
    pub tls: bool,
}

/// Where the head ends, if it has ended. Refuses as soon as it cannot become one.
pub fn end(bytes: &[u8]) -> Result<Option<usize>, Bad> {
    let mut previous = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        // A line that only some readers take for ended.
        if (byte == b'\n') != (previous == b'\r') {
            return Err(Bad::request("a line ends with CR LF, and holds neither"));
        }
        if byte == b'\n' && bytes[..=place].ends_with(b"\r\n\r\n") {
            return Ok(Some(place + 1));
        }
        previous = byte;
    }
    if bytes.len() >= MAX_HEAD {
        return Err(Bad {
            status: 431,
            reason: "the head is longer than 32768 bytes",
        });
    }
    Ok(None)
}

/// Reads a whole head, as [`end`] found it.
pub fn parse(head: &[u8]) -> Result<Request, Bad> {
    read(head, None)
}

/// Reads a whole head that came inside TLS, which was opened for this host and port: it can be for no other.
pub fn parse_inside(head: &[u8], host: &Host, port: u16) -> Result<Request, Bad> {
    read(head, Some((host, port)))
}

fn read(head: &[u8], inside: Option<(&Host, u16)>) -> Result<Request, Bad> {
    let text = std::str::from_utf8(head)
        .ok()
        .filter(|text| text.is_ascii())
        .and_then(|text| text.strip_suffix("\r\n\r\n"))
        .ok_or(Bad::request("a head is ASCII and ends with an empty line"))?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or("");
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(Bad::request("a request line is METHOD TARGET HTTP/1.1"));
    };
    let method = Method::parse(method)?;
    // Clients as common as Python's open tunnels by HTTP/1.0; everything else of that version lacks a Host and chunks.
    if version != "HTTP/1.1" && !(version == "HTTP/1.0" && method == Method::Connect) {
        return Err(Bad {
            status: 505,
            reason: "the version is HTTP/1.1",
        });
    }
    let headers = lines.map(header).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > MAX_HEADERS {
        return Err(Bad {
            status: 431,
            reason: "more than 100 headers",
        });
    }
    let (host, port, path) = match inside {
        None => whom(method, target)?,
        Some((host, port)) => (host.clone(), port, Some(place(method, target)?)),
    };
    let assumed = if inside.is_some() || port == 443 {
        443
    } else {
        80
    };
    same_host(&headers, (&host, port), assumed, version)?;
    let body = body(method, &headers)?;
    let waits = expectation(&headers)?;
    for name in ["authorization", "content-type"] {
        only(&headers, name)?;
    }
    if find(&headers, "upgrade").is_some() {
        return Err(Bad::request(
            "no upgrade through a plain request: open a tunnel with CONNECT",
        ));
    }
    let named: Vec<String> = all(&headers, "connection")
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let goes_on = |(name, _): &(String, String)| {
        !OURS.contains(&name.as_str()) && !name.starts_with("proxy-") && !named.contains(name)
    };
    Ok(Request {
        method,
        host,
        port,
        path,
        headers: headers.into_iter().filter(goes_on).collect(),
        body,
        waits,
        tls: inside.is_some(),
    })
}

/// Headers that speak of one connection, or that the proxy writes itself from what it checked.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Headers = [(String, String)];

fn header(line: &str) -> Result<(String, String), Bad> {
    let (name, value) = line
        .split_once(':')
        .ok_or(Bad::request("a header without a colon"))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // This refuses a folded line too, which begins with a space, and a space before the colon.
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Bad::request(
            "a header's name is a token, with no space around it",
        ));
    }
    if !value
        .bytes()
        .all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic())
    {
        return Err(Bad::request("a header's value holds a control character"));
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

fn all<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(own, _)| own == name)
        .map(|(_, value)| value.as_str())
}

fn find<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a str> {
    all(headers, name).next()
}

/// A header that stands once or not at all.
fn only<'a>(headers: &'a Headers, name: &'a str) -> Result<Option<&'a str>, Bad> {
    let mut values = all(headers, name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Bad::request("a header twice that may stand once")),
        (value, None) => Ok(value),
    }
}

fn whom(method: Method, target: &str) -> Result<(Host, u16, Option<Path>), Bad> {
    if method == Method::Connect {
        let (host, port) = authority(target, None)?;
        return Ok((host, port, None));
    }
    let rest = target.strip_prefix("http://").ok_or(Bad::request(
        "a target is http://host/path; https goes through CONNECT",
    ))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = authority(&rest[..end], Some(80))?;
    let path = match &rest[end..] {
        "" => path::read("/")?,
        text => path::read(text)?,
    };
    Ok((host, port, Some(path)))
}

/// The target of a request inside TLS.
fn place(method: Method, target: &str) -> Result<Path, Bad> {
    if method == Method::Connect || !target.starts_with('/') {
        return Err(Bad::request("inside TLS a target is /path"));
    }
    path::read(target)
}

fn same_host(
    headers: &Headers,
    (host, port): (&Host, u16),
    assumed: u16,
    version: &str,
) -> Result<(), Bad> {
    match only(headers, "host")? {
        None if version == "HTTP/1.0" => Ok(()),
        Some(value) if authority(value, Some(assumed))? == (host.clone(), port) => Ok(()),
        _ => Err(Bad::request("one Host header, which names the target")),
    }
}

fn body(method: Method, headers: &Headers) -> Result<Body, Bad> {
    let length = only(headers, "content-length")?;
    let coding = only(headers, "transfer-encoding")?;
    let body = match (length, coding) {
        (Some(_), Some(_)) => {
            return Err(Bad::request(
                "Content-Length and Transfer-Encoding together",
            ));
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Body::Chunked,
        (None, Some(_)) => return Err(Bad::request("the one transfer coding is chunked")),
        (Some(digits), None) => {
            let plain =
                (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            match digits.parse() {
                Ok(0) if plain => Body::None,
                Ok(length) if plain => Body::Length(length),
                _ => return Err(Bad::request("Content-Length is one number")),
            }
        }
        (None, None) => Body::None,
    };
    if body != Body::None && !method.has_body() {
        return Err(Bad::request("this method carries no body"));
    }
    Ok(body)
}

fn expectation(headers: &Headers) -> Result<bool, Bad> {
    match only(headers, "expect")? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(_) => Err(Bad {
            status: 417,
            reason: "the one expectation is 100-continue",
        }),
    }
}

impl Request {
    /// What a grant names: `host:api.example.com/443`, and a plain request's path below it.
    pub fn resource(&self) -> Result<String, Bad> {
        let mut name = format!("host:{}/{}", self.host.segment(), self.port);
        for segment in self.path.iter().flat_map(|path| &path.segments) {
            name.push('/');
            name.push_str(segment);
        }
        check_resource(&name).map_err(|_| Bad {
            status: 414,
            reason: "no grant can name this path: it is longer than 256 characters or deeper than 14 parts",
        })?;
        Ok(name)
    }

    /// The head for the upstream: what was checked, written anew, and nothing of the connection it came over.
    pub fn upstream(&self) -> Vec<u8> {
        let mut out = String::new();
        if let Some(path) = &self.path {
            out.push_str(&format!("{} {}", self.method.name(), path.text));
            if let Some(query) = &path.query {
                out.push('?');
                out.push_str(query);
            }
            out.push_str(&format!(" HTTP/1.1\r\nhost: {}", self.host));
            if self.port != if self.tls { 443 } else { 80 } {
                out.push_str(&format!(":{}", self.port));
            }
            out.push_str("\r\nconnection: close\r\n");
        }
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.body {
            Body::Length(length) => out.push_str(&format!("content-length: {length}\r\n")),
            Body::Chunked => out.push_str("transfer-encoding: chunked\r\n"),
            Body::None if self.method.has_body() => out.push_str("content-length: 0\r\n"),
            Body::None => {}
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}
