use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use queenright_core::signature as core;

use crate::error::Mapped;

#[pyfunction]
pub fn verify(py: Python<'_>, public_key: &[u8], message: &[u8], signature: &[u8]) -> PyResult<()> {
    py.detach(|| core::verify(public_key, message, signature))
        .mapped()
}

#[pyfunction]
pub fn verify_many(
    py: Python<'_>,
    items: Vec<(PyBackedBytes, PyBackedBytes, PyBackedBytes)>,
) -> Vec<usize> {
    py.detach(|| {
        core::verify_many(
            items
                .iter()
                .map(|(key, message, signature)| (&**key, &**message, &**signature)),
        )
    })
}

/// No `__repr__`, no pickling: a key has no form outside the core.
#[pyclass(frozen, module = "queenright.core")]
pub struct SigningKey(pub core::SigningKey);

#[pymethods]
impl SigningKey {
    #[staticmethod]
    fn from_seed(seed: &[u8]) -> PyResult<Self> {
        core::SigningKey::from_seed(seed).map(Self).mapped()
    }

    #[getter]
    fn public_key(&self) -> [u8; core::PUBLIC_KEY_LENGTH] {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; core::SIGNATURE_LENGTH] {
        self.0.sign(message)
    }
}
