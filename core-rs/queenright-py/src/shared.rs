//! `_core.shared`: what every process needs.
pub mod birth_batch;
pub mod canonical;
mod digest;
pub mod letter;
mod merkle;
mod sanitize;
pub mod signature;
mod sshsig;
mod view;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod shared {
    #[pymodule_export]
    use super::birth_batch::BirthBatch;
    #[pymodule_export]
    use super::canonical::{canonical, decode};
    #[pymodule_export]
    use super::digest::digest;
    #[pymodule_export]
    use super::letter::Letter;
    #[pymodule_export]
    use super::merkle::{
        MerkleTree, leaf_hash, merkle_root, node_hash, verify_consistency, verify_inclusion,
    };
    #[pymodule_export]
    use super::sanitize::{sanitize, sanitize_name};
    #[pymodule_export]
    use super::signature::{SigningKey, verify, verify_many};
    #[pymodule_export]
    use super::sshsig::{KeyLine, SshSignature, parse_key_line, verify_sshsig};
    #[pymodule_export]
    use super::view::View;

    #[pymodule_export]
    const MAX_BIRTHS: usize = queenright_core::birth_batch::MAX_MEMBERS;
    #[pymodule_export]
    const BIRTHS_A_PART: usize = queenright_core::birth_batch::PART;
    #[pymodule_export]
    const MAX_DEPTH: usize = queenright_core::canonical::MAX_DEPTH;
    #[pymodule_export]
    const MAX_VALUES: usize = queenright_core::canonical::MAX_VALUES;
}
