//! Hash trees: a proof leads to the root it was made for, and to no other.
use queenright_core::merkle::{
    Hash, MerkleTree, leaf_hash, root, verify_consistency, verify_inclusion,
};

use crate::input::Input;

/// A proof is as long as its tree is high: 64 hashes prove anything in the largest tree there is.
const HIGHEST: usize = 64;

fn hashes(input: &mut Input<'_>) -> Vec<Hash> {
    let count = input.byte() % 80;
    (0..count).map(|_| input.key()).collect()
}

/// Any proof of anything: refused or not, in bounded time, and never by a proof longer than a tree can be high.
pub fn given(data: &[u8]) {
    let mut input = Input::new(data);
    let (first, second) = (input.number(), input.number());
    let (leaf, top) = (input.key(), input.key());
    let proof = hashes(&mut input);
    if verify_inclusion(first, second, &leaf, &proof, &top).is_ok() {
        assert!(first < second && proof.len() <= HIGHEST);
        assert_eq!(
            proof.is_empty(),
            leaf == top,
            "nobody finds a tree that holds its own root"
        );
    }
    if verify_consistency(first, second, &leaf, &top, &proof).is_ok() {
        assert!(first <= second && proof.len() <= HIGHEST + 1);
        assert!(first != second || leaf == top, "two roots of one size");
    }
}

/// Proofs of a tree that was grown: each holds, and none with another leaf, root or hash in it.
pub fn made(data: &[u8]) {
    let mut input = Input::new(data);
    let size = 1 + u64::from(input.byte());
    let mut tree = MerkleTree::new();
    let leaves: Vec<Hash> = (0..size)
        .map(|index| leaf_hash(&index.to_be_bytes()))
        .collect();
    for leaf in &leaves {
        tree.append(*leaf);
    }
    let old = 1 + input.number() % size;
    let now = old + input.number() % (size - old + 1);
    let top = tree.root(now).expect("a size it has had");
    let first = tree.root(old).expect("a size it has had");
    assert_eq!(
        top,
        root(&leaves[..now as usize]),
        "two ways to one root differ"
    );

    let index = input.number() % now;
    let leaf = leaves[index as usize];
    let path = tree.inclusion(index, now).expect("a leaf it has");
    verify_inclusion(index, now, &leaf, &path, &top).expect("a genuine proof holds");
    let growth = tree.consistency(old, now).expect("sizes it has had");
    verify_consistency(old, now, &first, &top, &growth).expect("a genuine proof holds");

    let (what, bit) = (input.byte(), input.byte());
    let spoil = |hash: &Hash| {
        let mut hash = *hash;
        hash[usize::from(bit >> 3)] ^= 1 << (bit & 7);
        hash
    };
    let spoil_one = |proof: &[Hash]| {
        let mut proof = proof.to_vec();
        let at = usize::from(what) % proof.len();
        proof[at] = spoil(&proof[at]);
        proof
    };
    assert!(verify_inclusion(index, now, &spoil(&leaf), &path, &top).is_err());
    assert!(verify_inclusion(index, now, &leaf, &path, &spoil(&top)).is_err());
    let other = (index + 1 + u64::from(what)) % now;
    assert_eq!(
        verify_inclusion(other, now, &leaf, &path, &top).is_ok(),
        other == index
    );
    if !path.is_empty() {
        assert!(verify_inclusion(index, now, &leaf, &spoil_one(&path), &top).is_err());
        assert!(verify_inclusion(index, now, &leaf, &path[1..], &top).is_err());
    }
    assert!(verify_inclusion(index, now, &leaf, &[&path[..], &[top]].concat(), &top).is_err());
    if old != now {
        assert!(verify_consistency(old, now, &spoil(&first), &top, &growth).is_err());
        assert!(verify_consistency(old, now, &first, &spoil(&top), &growth).is_err());
        assert!(verify_consistency(old, now, &first, &top, &spoil_one(&growth)).is_err());
        assert!(verify_consistency(old, now, &first, &top, &[]).is_err());
    }
}
