//! `_core.operator`: what needs an operator's private key. Never imported by the supervisor.
use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod operator {}
