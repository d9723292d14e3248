use pyo3::prelude::*;
use queenright_core::digest as core;

use crate::error::Mapped;

#[pyfunction]
pub fn digest(kind: &str, data: &[u8]) -> PyResult<[u8; core::LENGTH]> {
    core::digest(kind, data).mapped()
}
