use pyo3::prelude::*;
use queenright_core::error::Error;
use queenright_core::operator_key::{self as core, Protection};
use queenright_core::sshsig;

use crate::error::Mapped;

/// No `__repr__`, no pickling: the key's only textual form is its file.
#[pyclass(frozen, module = "queenright.core.operator")]
pub struct OperatorKey(core::OperatorKey);

#[pymethods]
impl OperatorKey {
    #[staticmethod]
    fn generate(seed: &[u8], comment: &str) -> PyResult<Self> {
        core::OperatorKey::generate(seed, comment)
            .map(Self)
            .mapped()
    }

    #[staticmethod]
    #[pyo3(signature = (data, passphrase=None))]
    fn open(py: Python<'_>, data: &[u8], passphrase: Option<&[u8]>) -> PyResult<Self> {
        py.detach(|| core::OperatorKey::open(data, passphrase))
            .map(Self)
            .mapped()
    }

    #[getter]
    fn public_line(&self) -> String {
        self.0.public_line()
    }

    #[getter]
    fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }

    #[pyo3(signature = (passphrase=None, salt=None))]
    fn to_openssh(
        &self,
        py: Python<'_>,
        passphrase: Option<&[u8]>,
        salt: Option<&[u8]>,
    ) -> PyResult<String> {
        let protection = match (passphrase, salt) {
            (None, None) => None,
            (Some(passphrase), Some(salt)) => Some(Protection { passphrase, salt }),
            _ => return Err(Error::malformed("a passphrase and a salt go together")).mapped(),
        };
        let file = py.detach(|| self.0.to_openssh(protection)).mapped()?;
        Ok(file.as_str().to_owned())
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> PyResult<String> {
        self.0.sign(namespace, message).mapped()
    }
}

#[pyfunction]
pub fn needs_passphrase(data: &[u8]) -> PyResult<bool> {
    core::needs_passphrase(data).mapped()
}

#[pyfunction]
pub fn sshsig_payload(namespace: &str, message: &[u8]) -> PyResult<Vec<u8>> {
    sshsig::payload(namespace, message).mapped()
}

#[pyfunction]
pub fn sshsig_armor(key_line: &str, namespace: &str, signature_blob: &[u8]) -> PyResult<String> {
    sshsig::armor(key_line, namespace, signature_blob).mapped()
}
