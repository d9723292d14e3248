use pyo3::prelude::*;
use pyo3::types::PyString;
use queenright_core::sanitize as core;

use crate::error::Mapped;

// A lone surrogate (undecodable bytes, read with surrogateescape) becomes U+FFFD: seen, and never an exception.

#[pyfunction]
#[pyo3(signature = (text, limit, *, newlines=false))]
pub fn sanitize(text: &Bound<'_, PyString>, limit: usize, newlines: bool) -> PyResult<String> {
    core::sanitize(&text.to_string_lossy(), limit, newlines).mapped()
}

#[pyfunction]
pub fn sanitize_name(text: &Bound<'_, PyString>, limit: usize) -> PyResult<String> {
    core::sanitize_name(&text.to_string_lossy(), limit).mapped()
}
