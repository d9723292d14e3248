//! One message with its proof, for whoever wants to know who wrote it: the supervisor, a receiver, an auditor.
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use queenright_core::batch::{self as core, Id};
use queenright_core::error::{Error, Result as CoreResult};

use crate::error::Mapped;

pub fn id(bytes: &[u8]) -> CoreResult<Id> {
    bytes
        .try_into()
        .map_err(|_| Error::malformed(format!("an id has 32 bytes, not {}", bytes.len())))
}

/// One message with its proof. Well formed, and worth nothing before `verify` or `verify_record`.
#[pyclass(frozen, module = "queenright.core")]
pub struct Letter(pub core::Letter);

#[pymethods]
impl Letter {
    /// Raises Malformed for whatever no sealer writes.
    #[staticmethod]
    fn parse(data: &[u8]) -> PyResult<Self> {
        core::Letter::parse(data.to_vec()).map(Self).mapped()
    }

    /// Check alone that the key signed a batch with this message; the batch's digest.
    fn verify<'py>(
        &self,
        py: Python<'py>,
        runtime_key: &[u8],
        public_key: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let runtime = id(runtime_key).mapped()?;
        let digest = py.detach(|| self.0.verify(&runtime, public_key)).mapped()?;
        Ok(PyBytes::new(py, &digest))
    }

    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.head.sender)
    }

    #[getter]
    fn receiver<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.receiver)
    }

    #[getter]
    fn incarnation(&self) -> u64 {
        self.0.head.incarnation
    }

    #[getter]
    fn first(&self) -> u64 {
        self.0.head.first
    }

    #[getter]
    fn count(&self) -> u32 {
        self.0.head.count
    }

    #[getter]
    fn previous<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.head.previous)
    }

    #[getter]
    fn kind(&self) -> &str {
        &self.0.kind
    }

    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Bytes of ciphertext.
    #[getter]
    fn size(&self) -> usize {
        self.0.ciphertext().len()
    }
}
