//! The sealing keys of agents, derived by the supervisor and never stored.
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use queenright_core::error::Error;
use queenright_core::seal;

use crate::error::Mapped;

/// (private, public) X25519 key of `agent` in this generation, from the 32-byte sealing subkey by HKDF-SHA256
/// (RFC 5869). Raises Malformed on a subkey or id that has not 32 bytes.
#[pyfunction]
pub fn sealing_keypair<'py>(
    py: Python<'py>,
    subkey: &[u8],
    agent: &[u8],
    generation: u64,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    if subkey.len() != seal::KEY || agent.len() != seal::KEY {
        return Err(Error::malformed(
            "a sealing key is derived from a 32-byte subkey and a 32-byte agent id",
        ))
        .mapped();
    }
    let (private_key, public_key) = seal::agent_keypair(subkey, agent, generation).mapped()?;
    Ok((
        PyBytes::new(py, &private_key[..]),
        PyBytes::new(py, &public_key),
    ))
}
