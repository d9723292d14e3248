//! From a 32-byte id to its place in an arena: a hash table of places only, since the arena holds the ids themselves. Five
//! to ten bytes an id.
//!
//! Ids are digests that agents can choose among, so the hash is keyed anew in every process, as std's maps are: nobody
//! who does not know the key can aim many of them at one bucket.
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

pub type Id = [u8; 32];

#[derive(Clone, Debug)]
pub struct IdIndex {
    places: HashTable<u32>,
    keys: [u64; 2],
}

impl Default for IdIndex {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            places: HashTable::new(),
            keys: [random.hash_one(0_u8), random.hash_one(1_u8)],
        }
    }
}

impl IdIndex {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The place whose id (as `id_at` tells) is this one.
    pub fn find<'a>(&self, id: &Id, id_at: impl Fn(u32) -> Option<&'a Id>) -> Option<u32> {
        self.places
            .find(hash(self.keys, id), |place| id_at(*place) == Some(id))
            .copied()
    }

    /// Room for this many more without growing again in between.
    pub fn reserve<'a>(&mut self, more: usize, id_at: impl Fn(u32) -> Option<&'a Id>) {
        let keys = self.keys;
        self.places
            .reserve(more, |place| hash(keys, id_at(*place).unwrap_or(&[0; 32])));
    }

    /// Adds an id that is not there: the caller has looked.
    pub fn insert<'a>(&mut self, id: &Id, place: u32, id_at: impl Fn(u32) -> Option<&'a Id>) {
        let keys = self.keys;
        self.places.insert_unique(hash(keys, id), place, |place| {
            hash(keys, id_at(*place).unwrap_or(&[0; 32]))
        });
    }

    /// Forgets an id; the place it had.
    pub fn remove<'a>(&mut self, id: &Id, id_at: impl Fn(u32) -> Option<&'a Id>) -> Option<u32> {
        self.places
            .find_entry(hash(self.keys, id), |place| id_at(*place) == Some(id))
            .ok()
            .map(|entry| entry.remove().0)
    }
}

/// Folded multiplication of two keyed parts of the id, whose bytes are uniform already unless somebody chose them: a
/// third of the time of a general keyed hash.
fn hash(keys: [u64; 2], id: &Id) -> u64 {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let product = u128::from(word(0) ^ keys[0]) * u128::from(word(8) ^ keys[1]);
    // The halves of the product, folded; cutting it is the point.
    #[allow(clippy::cast_possible_truncation)]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded ^ word(16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Behaves as a map from ids to places, also for ids that share most of their bytes.
        #[test]
        fn finds_what_was_inserted_and_nothing_else(
            acts in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..300)
        ) {
            let ids: Vec<Id> = (0..=255).map(|n| { let mut id = [7; 32]; id[31] = n; id }).collect();
            let mut index = IdIndex::default();
            let mut model = HashMap::new();
            for (n, insert) in acts {
                let id = &ids[usize::from(n)];
                let at = |place: u32| ids.get(place as usize);
                prop_assert_eq!(index.find(id, at), model.get(&n).copied());
                if insert && !model.contains_key(&n) {
                    index.insert(id, u32::from(n), at);
                    model.insert(n, u32::from(n));
                } else if !insert {
                    prop_assert_eq!(index.remove(id, at), model.remove(&n));
                }
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }
}
