//! Sealing and opening one message.
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use queenright_core::error::Error;
use queenright_core::seal;

use crate::error::Mapped;

/// (encapsulated key, ciphertext). `seed` is 32 fresh random bytes. Raises Malformed on a key that is none.
#[pyfunction(name = "seal")]
pub fn seal_message<'py>(
    py: Python<'py>,
    receiver: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    seed: &[u8],
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let seed: &[u8; seal::KEY] = seed
        .try_into()
        .map_err(|_| Error::malformed(format!("a seal's seed has 32 bytes, not {}", seed.len())))
        .mapped()?;
    let (encapsulated, ciphertext) = py
        .detach(|| seal::seal(receiver, info, aad, plaintext, seed))
        .mapped()?;
    Ok((
        PyBytes::new(py, &encapsulated),
        PyBytes::new(py, &ciphertext),
    ))
}

/// The plaintext. Raises InvalidSignature if it was not sealed for this key with this `info` and `aad`.
#[pyfunction]
pub fn open_sealed<'py>(
    py: Python<'py>,
    private_key: &[u8],
    encapsulated: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let plaintext = py
        .detach(|| seal::open(private_key, encapsulated, info, aad, ciphertext))
        .mapped()?;
    Ok(PyBytes::new(py, &plaintext))
}
