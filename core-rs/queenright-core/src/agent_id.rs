//! An agent's name for machines: the digest of its birth certificate.
use std::fmt;

use crate::error::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub [u8; 32]);

impl AgentId {
    /// The runtime itself, as the sender of its own messages.
    pub const RUNTIME: Self = Self([0; 32]);

    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        match bytes.try_into() {
            Ok(id) => Ok(Self(id)),
            Err(_) => Err(Error::malformed(format!(
                "an agent's id has 32 bytes, not {}",
                bytes.len()
            ))),
        }
    }
}

/// The short form people see.
impl fmt::Display for AgentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("agent-")?;
        self.0[..6]
            .iter()
            .try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_thirty_two_bytes_are_an_id() {
        assert!(AgentId::from_slice(&[0; 31]).is_err());
        assert!(AgentId::from_slice(&[0; 33]).is_err());
        assert_eq!(
            AgentId::from_slice(&[0xab; 32]).unwrap().to_string(),
            "agent-abababababab"
        );
    }
}
