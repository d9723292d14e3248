//! `_core.shared`: what every process needs.
mod digest;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod shared {
    #[pymodule_export]
    use super::digest::digest;
}
