//! Hash trees of RFC 6962 / RFC 9162 section 2.1 over SHA-256.
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

pub const HASH_LENGTH: usize = 32;
pub type Hash = [u8; HASH_LENGTH];

/// The hash of one entry's bytes: SHA-256(0x00 || data).
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// The hash of two subtrees: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of no leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over leaf hashes, for the one-off trees (a batch of births, the members of a group of asks).
#[must_use]
pub fn root(leaf_hashes: &[Hash]) -> Hash {
    let mut level = leaf_hashes.to_vec();
    let mut length = level.len();
    while length > 1 {
        for at in 0..length / 2 {
            level[at] = node_hash(&level[2 * at], &level[2 * at + 1]);
        }
        if length % 2 == 1 {
            // One without a sibling goes up as it is: the left subtree is the largest full one (RFC 9162 section 2.1.1).
            level[length / 2] = level[length - 1];
        }
        length = length.div_ceil(2);
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// A growing tree that can prove any of its earlier states.
///
/// `levels[k][i]` is the root of leaves `i * 2^k .. (i + 1) * 2^k`, kept once complete: 64 bytes a leaf in all.
#[derive(Clone, Default)]
pub struct MerkleTree {
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add a leaf's hash and return its index.
    pub fn append(&mut self, leaf_hash: Hash) -> u64 {
        let index = self.size();
        let mut hash = leaf_hash;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            let nodes = &self.levels[level];
            if nodes.len() % 2 == 1 {
                return index;
            }
            hash = node_hash(&nodes[nodes.len() - 2], &nodes[nodes.len() - 1]);
            level += 1;
        }
    }

    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root when the tree had `size` leaves.
    pub fn root(&self, size: u64) -> Result<Hash> {
        self.has(size)?;
        Ok(self.subtree(0, size))
    }

    /// The path from leaf `index` to the root at `size` (RFC 9162 section 2.1.3.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>> {
        self.has(size)?;
        if index >= size {
            return Err(Error::unknown(format!("no leaf {index} among {size}")));
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree at `new_size` only adds to the tree at `old_size` (RFC 9162 section 2.1.4.1).
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Result<Vec<Hash>> {
        self.has(new_size)?;
        if old_size == 0 || old_size > new_size {
            return Err(Error::malformed(format!(
                "no consistency proof from size {old_size} to {new_size}"
            )));
        }
        let (mut start, mut end) = (0, new_size);
        let mut path = Vec::new();
        // Down the edge between old and new until a subtree holds old leaves only; all of `start..old_size` is old.
        while end != old_size {
            let middle = start + split(end - start);
            if old_size <= middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        if start != 0 {
            path.push(self.subtree(start, end));
        }
        path.reverse();
        Ok(path)
    }

    fn has(&self, size: u64) -> Result<()> {
        if size > self.size() {
            return Err(Error::unknown(format!(
                "no tree of size {size}: it has {} leaves",
                self.size()
            )));
        }
        Ok(())
    }

    /// The root of leaves `start..end`; `start` is a multiple of the largest power of two below the length.
    fn subtree(&self, start: u64, end: u64) -> Hash {
        let length = end - start;
        if length == 0 {
            return empty_root();
        }
        if length.is_power_of_two() {
            let level = length.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(length);
        node_hash(&self.subtree(start, middle), &self.subtree(middle, end))
    }
}

/// The largest power of two smaller than `length` (at least 2).
fn split(length: u64) -> u64 {
    1 << (63 - (length - 1).leading_zeros())
}

/// The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2), for whoever has the root signed rather than given.
pub fn root_by_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<Hash> {
    if index >= size {
        return Err(Error::malformed(format!("no leaf {index} among {size}")));
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(refused("longer than its tree is high"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("shorter than its tree is high"));
    }
    Ok(hash)
}

/// Check an inclusion proof (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<()> {
    if root_by_inclusion(index, size, leaf, proof)? != *root {
        return Err(refused("for another leaf, place or root"));
    }
    Ok(())
}

/// Check a consistency proof (RFC 9162 section 2.1.4.2). Equal sizes need equal roots and an empty proof.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<()> {
    if old_size > new_size {
        return Err(Error::malformed(format!(
            "a tree cannot shrink from {old_size} to {new_size} leaves"
        )));
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(refused("where none is needed"));
        }
        if old_size == 0 && *old_root != empty_root() {
            return Err(refused("from an empty tree with another root"));
        }
        if old_size == new_size && old_root != new_root {
            return Err(refused("for two roots of one size"));
        }
        return Ok(());
    }
    let mut proof = proof.iter();
    let first = if old_size.is_power_of_two() {
        old_root
    } else {
        proof
            .next()
            .ok_or_else(|| refused("shorter than its tree is high"))?
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for sibling in proof {
        if last == 0 {
            return Err(refused("longer than its tree is high"));
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("shorter than its tree is high"));
    }
    if old != *old_root || new != *new_root {
        return Err(refused("for other roots"));
    }
    Ok(())
}

fn refused(why: &str) -> Error {
    Error::new(Kind::InvalidProof, format!("a proof {why}"))
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
