//! The one place where a refusal of the core becomes an exception of `queenright.errors`.
use pyo3::exceptions::PyRuntimeError;
use pyo3::import_exception;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use queenright_core::error::{Error, Kind};

import_exception!(queenright.errors, Conflict);
import_exception!(queenright.errors, ForeignAwaitable);
import_exception!(queenright.errors, InvalidProof);
import_exception!(queenright.errors, InvalidSignature);
import_exception!(queenright.errors, MailboxFull);
import_exception!(queenright.errors, Malformed);
import_exception!(queenright.errors, StepOverlap);
import_exception!(queenright.errors, Unknown);
import_exception!(queenright.errors, WrongPassphrase);

/// `core_call().mapped()?`
pub trait Mapped<T> {
    fn mapped(self) -> PyResult<T>;
}

impl<T> Mapped<T> for Result<T, Error> {
    fn mapped(self) -> PyResult<T> {
        self.map_err(|error| Python::attach(|py| to_python(py, &error)))
    }
}

pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind {
        Kind::Malformed => py.get_type::<Malformed>(),
        Kind::InvalidSignature => py.get_type::<InvalidSignature>(),
        Kind::InvalidProof => py.get_type::<InvalidProof>(),
        Kind::WrongPassphrase => py.get_type::<WrongPassphrase>(),
        Kind::Unknown => py.get_type::<Unknown>(),
        Kind::Conflict => py.get_type::<Conflict>(),
    };
    let facts = PyDict::new(py);
    let built = facts
        .set_item("hint", &error.hint)
        .and_then(|()| class.call((&error.message,), Some(&facts)));
    match built {
        Ok(value) => PyErr::from_value(value),
        Err(broken) => PyRuntimeError::new_err(format!("{}: {broken}", error.message)),
    }
}
