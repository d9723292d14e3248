//! `_core.host`: the supervisor's own. One file a noun in `host/`, one `use` here.
use pyo3::prelude::*;

mod store;

#[pymodule(submodule)]
pub mod host {
    #[pymodule_export]
    use super::store::{Refused, Store};
}
