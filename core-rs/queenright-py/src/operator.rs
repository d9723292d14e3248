//! `_core.operator`: what needs an operator's private key. Never imported by the supervisor.
mod key;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod operator {
    #[pymodule_export]
    use super::key::{OperatorKey, needs_passphrase, sshsig_armor, sshsig_payload};

    #[pymodule_export]
    const SALT_LENGTH: usize = queenright_core::operator_key::SALT_LENGTH;
}
