//! `_core.host`: the supervisor's own. One file a noun in `host/`, one `use` here.
use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod host {}
