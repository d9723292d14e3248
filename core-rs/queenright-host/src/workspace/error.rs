//! What a workspace refuses, and why.
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// More bytes or files than the workspace may hold.
    Quota,
    /// A path changed since, or somebody else was first.
    Conflict,
    /// A name, type or size that no version may hold.
    Malformed,
    /// No such version or path.
    Unknown,
    /// The machine failed: disk, permissions, a damaged record.
    Failed,
}

/// What was refused (lower case, with the value) and the way out, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    pub hint: &'static str,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: "",
        }
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Turns the error of a system call into a refusal that says what was being done.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::failed(format!("{}: {error}", what())))
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(std::io::Error::from).doing(what)
    }
}

/// Bytes of a path that a message shows.
const SHOWN: usize = 200;

/// An agent's path in a message: nothing in it reaches a terminal as a control, and its length is bounded.
pub fn shown(path: &[u8]) -> String {
    let cut = &path[..path.len().min(SHOWN)];
    let more = if path.len() > SHOWN { "..." } else { "" };
    format!("\"{}{more}\"", cut.escape_ascii())
}
