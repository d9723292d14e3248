//! The head of an upstream's answer: where it ends, how long what follows is, and what of it goes to the client.
use super::Bad;

/// Bytes of a head.
pub const MAX_HEAD: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    Nothing,
    Length(u64),
    Chunked,
    UntilClosed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub follows: Follows,
    /// What follows is in a coding (compressed): it cannot be searched.
    pub coded: bool,
    /// For the client, whose connection ends with this answer.
    pub head: Vec<u8>,
}

const BAD: Bad = Bad {
    status: 502,
    reason: "the upstream's answer is not HTTP",
};

/// Where the head ends, if it has.
pub fn end(bytes: &[u8]) -> Result<Option<usize>, Bad> {
    match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(place) => Ok(Some(place + 4)),
        None if bytes.len() >= MAX_HEAD => Err(BAD),
        None => Ok(None),
    }
}

/// Reads a whole head. `bodiless`: the request was a HEAD.
pub fn parse(head: &[u8], bodiless: bool) -> Result<Reply, Bad> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(BAD)?;
    // A lone CR or LF is a line's end to some readers only.
    let lone = |pair: &[u8]| (pair[1] == b'\n') != (pair[0] == b'\r');
    if text.contains(&0) || text.starts_with(b"\n") || text.windows(2).any(lone) {
        return Err(BAD);
    }
    let mut lines = text
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().ok_or(BAD)?;
    let rest = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))
        .ok_or(BAD)?;
    let (digits, words) = rest.split_at_checked(3).ok_or(BAD)?;
    let status: u16 = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|status| (100..=599).contains(status))
        .ok_or(BAD)?;
    let mut out = format!("HTTP/1.1 {status}").into_bytes();
    out.extend_from_slice(words);
    out.extend_from_slice(b"\r\n");
    let (mut length, mut chunked, mut coded) = (None, false, false);
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':').ok_or(BAD)?;
        let (name, value) = (
            line[..colon].to_ascii_lowercase(),
            line[colon + 1..].trim_ascii(),
        );
        if name.is_empty()
            || !name
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        {
            return Err(BAD);
        }
        match name.as_slice() {
            b"content-length" => {
                let text = std::str::from_utf8(value).map_err(|_| BAD)?;
                let number: u64 = text.parse().map_err(|_| BAD)?;
                if length
                    .replace(number)
                    .is_some_and(|earlier| earlier != number)
                {
                    return Err(BAD);
                }
            }
            b"transfer-encoding" => {
                // Twice is a coding within a coding.
                coded |= chunked || !value.eq_ignore_ascii_case(b"chunked");
                chunked = true;
            }
            b"content-encoding" => {
                coded |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
            }
            b"connection" | b"keep-alive" | b"upgrade" | b"trailer" => continue,
            name if name.starts_with(b"proxy-") => continue,
            _ => {}
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    if chunked && length.is_some() {
        return Err(BAD);
    }
    let follows = match (bodiless || matches!(status, 100..=199 | 204 | 304), length) {
        (true, _) => Follows::Nothing,
        (false, Some(length)) => Follows::Length(length),
        (false, None) if chunked => Follows::Chunked,
        (false, None) => Follows::UntilClosed,
    };
    Ok(Reply {
        status,
        follows,
        coded: coded && follows != Follows::Nothing,
        head: out,
    })
}
