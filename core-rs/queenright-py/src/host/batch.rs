//! What the supervisor sees of sealed mail: who sent it to whom, and that it was signed; never what it says.
use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use queenright_core::batch as core;
use queenright_core::error::Result as CoreResult;

use crate::error::Mapped;
use crate::shared::letter::{Letter, id};

/// A batch of volatile mail. Well formed, and worth nothing before `verify`.
#[pyclass(frozen, module = "queenright._core.host")]
pub struct Packet(core::Packet);

#[pymethods]
impl Packet {
    /// Raises Malformed for whatever no sealer writes.
    #[staticmethod]
    fn parse(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        py.detach(|| core::Packet::parse(data.to_vec()))
            .map(Self)
            .mapped()
    }

    /// Check the one signature; the batch's digest. Raises InvalidSignature, or Malformed for a key that is none.
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

    /// The packet's bytes with only these receivers' messages.
    fn only<'py>(
        &self,
        py: Python<'py>,
        receivers: Vec<PyBackedBytes>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let receivers = receivers
            .iter()
            .map(|receiver| id(receiver))
            .collect::<CoreResult<HashSet<_>>>()
            .mapped()?;
        let data = py
            .detach(|| self.0.only(|receiver| receivers.contains(receiver)))
            .mapped()?;
        Ok(PyBytes::new(py, &data))
    }

    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.head.sender)
    }

    #[getter]
    fn incarnation(&self) -> u64 {
        self.0.head.incarnation
    }

    #[getter]
    fn first(&self) -> u64 {
        self.0.head.first
    }

    /// Messages of the whole batch.
    #[getter]
    fn count(&self) -> u32 {
        self.0.head.count
    }

    /// Messages that are here with more than their leaf.
    fn __len__(&self) -> usize {
        self.0.messages.len()
    }

    #[getter]
    fn previous<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.head.previous)
    }

    /// (receiver, generation, messages, bytes of ciphertext, first sequence, last sequence) of each receiver.
    #[getter]
    #[allow(clippy::type_complexity)]
    fn pairs<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u64, u32, u64, u64, u64)> {
        self.0
            .pairs
            .iter()
            .map(|pair| {
                (
                    PyBytes::new(py, &pair.receiver),
                    pair.generation,
                    pair.messages,
                    pair.bytes,
                    pair.first_sequence,
                    pair.last_sequence,
                )
            })
            .collect()
    }
}

/// Check that the letters of one record are exactly one batch in its order, under one signature; the batch's digest. Raises
/// Malformed or InvalidSignature.
#[pyfunction]
pub fn verify_record<'py>(
    py: Python<'py>,
    letters: Vec<Bound<'py, Letter>>,
    runtime_key: &[u8],
    public_key: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let runtime = id(runtime_key).mapped()?;
    let letters: Vec<&core::Letter> = letters.iter().map(|letter| &letter.get().0).collect();
    let digest = py
        .detach(|| core::verify_record(&letters, &runtime, public_key))
        .mapped()?;
    Ok(PyBytes::new(py, &digest))
}
