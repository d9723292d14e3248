use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use queenright_core::error::Error;
use queenright_core::merkle::{self as core, HASH_LENGTH, Hash};

use crate::error::Mapped;

#[pyfunction]
pub fn leaf_hash(data: &[u8]) -> Hash {
    core::leaf_hash(data)
}

#[pyfunction]
pub fn node_hash(left: &[u8], right: &[u8]) -> PyResult<Hash> {
    Ok(core::node_hash(&hash(left)?, &hash(right)?))
}

#[pyfunction]
pub fn merkle_root(leaf_hashes: Vec<PyBackedBytes>) -> PyResult<Hash> {
    Ok(core::root(&hashes(&leaf_hashes)?))
}

#[pyfunction]
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &[u8],
    proof: Vec<PyBackedBytes>,
    root: &[u8],
) -> PyResult<()> {
    core::verify_inclusion(index, size, &hash(leaf)?, &hashes(&proof)?, &hash(root)?).mapped()
}

#[pyfunction]
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    old_root: &[u8],
    new_root: &[u8],
    proof: Vec<PyBackedBytes>,
) -> PyResult<()> {
    core::verify_consistency(
        old_size,
        new_size,
        &hash(old_root)?,
        &hash(new_root)?,
        &hashes(&proof)?,
    )
    .mapped()
}

#[pyclass(module = "queenright.core")]
pub struct MerkleTree(core::MerkleTree);

#[pymethods]
impl MerkleTree {
    #[new]
    fn new() -> Self {
        Self(core::MerkleTree::new())
    }

    fn append(&mut self, leaf_hash: &[u8]) -> PyResult<u64> {
        Ok(self.0.append(hash(leaf_hash)?))
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    #[pyo3(signature = (size=None))]
    fn root(&self, size: Option<u64>) -> PyResult<Hash> {
        self.0.root(size.unwrap_or(self.0.size())).mapped()
    }

    fn inclusion(&self, index: u64, size: u64) -> PyResult<Vec<Hash>> {
        self.0.inclusion(index, size).mapped()
    }

    fn consistency(&self, old_size: u64, new_size: u64) -> PyResult<Vec<Hash>> {
        self.0.consistency(old_size, new_size).mapped()
    }
}

fn hash(bytes: &[u8]) -> PyResult<Hash> {
    bytes
        .try_into()
        .map_err(|_| {
            Error::malformed(format!(
                "a hash of {} bytes, not {HASH_LENGTH}",
                bytes.len()
            ))
        })
        .mapped()
}

fn hashes(proof: &[PyBackedBytes]) -> PyResult<Vec<Hash>> {
    proof.iter().map(|bytes| hash(bytes)).collect()
}
