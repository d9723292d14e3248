use proptest::prelude::*;

use super::*;

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The eight inputs of the certificate-transparency test suite and the roots after each.
const INPUTS: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
        0x6f,
    ],
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn tree(size: u64) -> (Vec<Hash>, MerkleTree) {
    let leaves: Vec<Hash> = (0..size)
        .map(|index| leaf_hash(&index.to_be_bytes()))
        .collect();
    let mut tree = MerkleTree::new();
    for (index, leaf) in leaves.iter().enumerate() {
        assert_eq!(tree.append(*leaf), index as u64);
    }
    (leaves, tree)
}

/// The definition of RFC 9162 section 2.1.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

#[test]
fn roots_of_the_published_inputs() {
    let mut tree = MerkleTree::new();
    assert_eq!(hex(&tree.root(0).unwrap()), ROOTS[0]);
    for (input, expected) in INPUTS.iter().zip(&ROOTS[1..]) {
        tree.append(leaf_hash(input));
        assert_eq!(hex(&tree.root(tree.size()).unwrap()), *expected);
    }
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(
            hex(&tree.root(size as u64).unwrap()),
            *expected,
            "an earlier size is still known"
        );
    }
}

#[test]
fn every_proof_of_every_small_tree_verifies() {
    let (leaves, tree) = tree(40);
    for size in 1..=40 {
        let root = tree.root(size).unwrap();
        assert_eq!(root, naive_root(&leaves[..size as usize]));
        assert_eq!(root, super::root(&leaves[..size as usize]));
        for index in 0..size {
            let proof = tree.inclusion(index, size).unwrap();
            verify_inclusion(index, size, &leaves[index as usize], &proof, &root).unwrap();
        }
        for old in 1..=size {
            let proof = tree.consistency(old, size).unwrap();
            verify_consistency(old, size, &tree.root(old).unwrap(), &root, &proof).unwrap();
        }
    }
}

#[test]
fn what_a_tree_has_not_is_refused() {
    let (_, tree) = tree(5);
    assert!(tree.root(6).is_err());
    assert!(tree.inclusion(5, 5).is_err());
    assert!(tree.inclusion(0, 6).is_err());
    assert!(tree.consistency(0, 5).is_err());
    assert!(tree.consistency(5, 4).is_err());
    assert!(tree.consistency(5, 6).is_err());
}

#[test]
fn two_roots_of_one_size_are_refused() {
    let (_, tree) = tree(3);
    let root = tree.root(3).unwrap();
    verify_consistency(3, 3, &root, &root, &[]).unwrap();
    assert!(verify_consistency(3, 3, &root, &empty_root(), &[]).is_err());
    assert!(verify_consistency(3, 3, &root, &root, &[root]).is_err());
    assert!(verify_consistency(3, 2, &root, &root, &[]).is_err());
    assert!(verify_consistency(0, 3, &root, &root, &[]).is_err());
    verify_consistency(0, 3, &empty_root(), &root, &[]).unwrap();
}

proptest! {
    #[test]
    fn a_proof_with_one_wrong_thing_is_refused(size in 2_u64..200, index in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..256_usize) {
        let (leaves, tree) = tree(size);
        let index = index.index(size as usize) as u64;
        let root = tree.root(size).unwrap();
        let leaf = leaves[index as usize];
        let proof = tree.inclusion(index, size).unwrap();
        let flip = |hash: &Hash| {
            let mut copy = *hash;
            copy[bit / 8] ^= 1 << (bit % 8);
            copy
        };
        let mut edited = proof.clone();
        let place = at.index(proof.len());
        edited[place] = flip(&edited[place]);
        prop_assert!(verify_inclusion(index, size, &leaf, &edited, &root).is_err());
        prop_assert!(verify_inclusion(index, size, &flip(&leaf), &proof, &root).is_err());
        prop_assert!(verify_inclusion(index, size, &leaf, &proof, &flip(&root)).is_err());
        prop_assert!(verify_inclusion((index + 1) % size, size, &leaf, &proof, &root).is_err());
        prop_assert!(verify_inclusion(index, size, &leaf, &proof[1..], &root).is_err());
        prop_assert!(verify_inclusion(index, size, &leaf, &[&proof[..], &[leaf]].concat(), &root).is_err());
        prop_assert!(verify_inclusion(size, size, &leaf, &proof, &root).is_err());
    }

    #[test]
    fn a_rewritten_past_is_never_consistent(size in 2_u64..120, old in any::<prop::sample::Index>(), edited in any::<prop::sample::Index>()) {
        let (mut leaves, tree) = tree(size);
        let old = old.index(size as usize - 1) as u64 + 1;
        let old_root = tree.root(old).unwrap();
        leaves[edited.index(old as usize)] = leaf_hash(b"another");
        let mut forged = MerkleTree::new();
        for leaf in &leaves {
            forged.append(*leaf);
        }
        let forged_root = forged.root(size).unwrap();
        for proof in [tree.consistency(old, size).unwrap(), forged.consistency(old, size).unwrap()] {
            prop_assert!(verify_consistency(old, size, &old_root, &forged_root, &proof).is_err());
        }
    }
}

#[test]
fn the_root_of_a_one_off_tree_is_that_of_a_growing_one() {
    let leaves: Vec<Hash> = (0..130_u8).map(|number| leaf_hash(&[number])).collect();
    let mut tree = MerkleTree::new();
    assert_eq!(root(&[]), tree.root(0).unwrap());
    for (size, leaf) in (1..).zip(&leaves) {
        tree.append(*leaf);
        assert_eq!(
            root(&leaves[..size]),
            tree.root(size as u64).unwrap(),
            "{size} leaves"
        );
    }
}
