//! Refusals of the core. The face turns each kind into the exception of the same name.
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes or text that are not what their place demands.
    Malformed,
    /// A signature that does not verify.
    InvalidSignature,
    /// A proof over a hash tree that does not lead to the root.
    InvalidProof,
    /// A key file or vault that this passphrase, or none, does not open.
    WrongPassphrase,
    /// A name or id that nothing answers to.
    Unknown,
    /// Somebody else was first, or the state does not allow it.
    Conflict,
}

/// What was refused (`message`: lower case, with the value, never a secret) and the way out (`hint`, may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    pub hint: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: String::new(),
        }
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, message)
    }

    pub fn invalid_signature(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidSignature, message)
    }

    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
