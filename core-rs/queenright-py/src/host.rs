//! `_core.host`: the supervisor's own. One file a noun in `host/`, one `use` here.
mod seal;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod host {
    #[pymodule_export]
    use super::seal::sealing_keypair;
}
