//! `_core.cell`: what runs inside a cell. One file a noun in `cell/`, one `use` here.
use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod cell {}
