//! The path of a request, in the one spelling that every server reads alike.
use super::Bad;

/// Bytes of path and query together.
pub const MAX_TARGET: usize = 8 * 1024;

/// A path and its query, as they are sent on, and the path's segments as a grant names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub text: Box<str>,
    pub query: Option<Box<str>>,
    pub segments: Vec<String>,
}

const UNLIKE: Bad = Bad::request(
    "a path that servers read differently: no empty, `.` or `..` parts, no backslash, no escaped `/`, `\\`, `%`, control \
     character, letter or digit",
);

/// Reads `/path?query`. A segment keeps letters, digits and `. _ - @ + =`; anything else, `~` too, becomes `~` and two hex
/// digits, so that different paths have different names. A last empty segment (`/a/`) has the name of `/a`.
pub fn read(text: &str) -> Result<Path, Bad> {
    if text.len() > MAX_TARGET {
        return Err(Bad {
            status: 414,
            reason: "path and query are longer than 8192 bytes",
        });
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\';
    if !query.unwrap_or("").bytes().all(plain) {
        return Err(Bad::request("a query is visible ASCII without # and \\"));
    }
    let rest = path
        .strip_prefix('/')
        .ok_or(Bad::request("a path begins with /"))?;
    let mut parts: Vec<&str> = rest.split('/').collect();
    if parts.last() == Some(&"") {
        parts.pop();
    }
    Ok(Path {
        text: path.into(),
        query: query.map(Into::into),
        segments: parts.into_iter().map(segment).collect::<Result<_, _>>()?,
    })
}

fn segment(part: &str) -> Result<String, Bad> {
    let mut name = String::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = match byte {
            b'%' => (escape(bytes.next(), bytes.next())?, true),
            byte => (byte, false),
        };
        let literal = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        let never = byte < 0x20 || byte == 0x7f || b"/\\%".contains(&byte);
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if never || (escaped && unreserved) || (!escaped && !literal) {
            return Err(UNLIKE);
        }
        if byte.is_ascii_alphanumeric() || b"._-@+=".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("~{byte:02x}"));
        }
    }
    // Some servers cut a segment at `;` before they look for dots.
    let before_parameters = part.split(';').next().unwrap_or(part);
    match before_parameters {
        "" | "." | ".." => Err(UNLIKE),
        _ => Ok(name),
    }
}

fn escape(high: Option<u8>, low: Option<u8>) -> Result<u8, Bad> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => u8::try_from(high * 16 + low).map_err(|_| UNLIKE),
        _ => Err(UNLIKE),
    }
}
