use pyo3::prelude::*;
use queenright_core::sshsig as core;

use crate::error::Mapped;

#[pyfunction]
pub fn parse_key_line(line: &str) -> PyResult<KeyLine> {
    core::parse_key_line(line).map(KeyLine).mapped()
}

#[pyfunction]
pub fn verify_sshsig(
    py: Python<'_>,
    key_line: &str,
    namespace: &str,
    message: &[u8],
    armored: &str,
) -> PyResult<SshSignature> {
    py.detach(|| core::verify(key_line, namespace, message, armored))
        .map(SshSignature)
        .mapped()
}

#[pyclass(frozen, module = "queenright.core")]
pub struct KeyLine(core::KeyLine);

#[pymethods]
impl KeyLine {
    #[getter]
    fn line(&self) -> &str {
        &self.0.line
    }

    #[getter]
    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    #[getter]
    fn kind(&self) -> &str {
        self.0.kind
    }

    #[getter]
    fn comment(&self) -> &str {
        &self.0.comment
    }

    #[getter]
    fn public_key(&self) -> &[u8] {
        &self.0.public_key
    }
}

#[pyclass(frozen, module = "queenright.core")]
pub struct SshSignature(core::Verified);

#[pymethods]
impl SshSignature {
    #[getter]
    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    #[getter]
    fn kind(&self) -> &str {
        self.0.kind
    }

    #[getter]
    fn touched(&self) -> bool {
        self.0.touched
    }

    #[getter]
    fn pin(&self) -> bool {
        self.0.pin
    }

    #[getter]
    fn counter(&self) -> u32 {
        self.0.counter
    }
}
