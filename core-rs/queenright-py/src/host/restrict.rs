//! What the supervisor does to its own process before it holds a secret.
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use queenright_sandbox::step::Refusal;
use queenright_sandbox::{harden, restrict};

pyo3::import_exception!(queenright.errors, SandboxRefused);

fn refused(py: Python<'_>, refusal: &Refusal) -> PyErr {
    let facts = PyDict::new(py);
    let built = facts
        .set_item("step", refusal.step.name())
        .and_then(|()| facts.set_item("errno", refusal.errno))
        .and_then(|()| facts.set_item("hint", refusal.step.hint()))
        .and_then(|()| {
            py.get_type::<SandboxRefused>()
                .call((refusal.to_string(),), Some(&facts))
        });
    match built {
        Ok(value) => PyErr::from_value(value),
        Err(broken) => broken,
    }
}

/// Put this process into a Landlock domain that reads `read` and changes `write`; returns the ABI used.
///
/// The paths exist and hold no symbolic link. Raises SandboxRefused where Landlock is missing, where a path cannot be
/// opened, and once a second thread runs (it would stay outside).
#[pyfunction]
pub fn restrict_self(py: Python<'_>, read: Vec<String>, write: Vec<String>) -> PyResult<u32> {
    restrict::restrict_self(&read, &write).map_err(|refusal| refused(py, &refusal))
}

/// Make this process not dumpable and its core limit 0, soft and hard. Raises OSError.
#[pyfunction]
pub fn harden_process() -> PyResult<()> {
    harden::harden_process().map_err(|error| PyOSError::new_err(error.to_string()))
}
