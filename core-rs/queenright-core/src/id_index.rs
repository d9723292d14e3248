//! Where in an arena an agent lives: a hash table of 4-byte places, five to ten bytes an agent.
//!
//! Ids are digests that agents can choose among, so the hash is keyed: nobody who does not know the seed can make ids
//! that fall together.
use hashbrown::HashTable;

use crate::agent_id::AgentId;

#[derive(Clone, Debug)]
pub struct IdIndex {
    places: HashTable<u32>,
    seed: [u64; 2],
}

impl IdIndex {
    /// `seed`: 16 random bytes, kept to oneself.
    pub fn new(seed: [u8; 16]) -> Self {
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&seed[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Self {
            places: HashTable::new(),
            seed: [half(0), half(8)],
        }
    }

    /// Folded multiplication of two keyed halves of the id; its bytes are uniform already unless somebody chose them.
    fn hash(seed: [u64; 2], id: &AgentId) -> u64 {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&id.0[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let product = u128::from(word(0) ^ seed[0]) * u128::from(word(8) ^ seed[1]);
        // The two halves of the product, folded; truncation is the point.
        #[allow(clippy::cast_possible_truncation)]
        let folded = (product as u64) ^ ((product >> 64) as u64);
        folded ^ word(16)
    }

    /// The place of an id; `id_at` says who lives in a place.
    pub fn find<'a>(&self, id: &AgentId, id_at: impl Fn(u32) -> &'a AgentId) -> Option<u32> {
        self.places
            .find(Self::hash(self.seed, id), |place| id_at(*place) == id)
            .copied()
    }

    /// Remember a place. The caller has seen that the id is not there yet.
    pub fn insert<'a>(&mut self, id: &AgentId, place: u32, id_at: impl Fn(u32) -> &'a AgentId) {
        let seed = self.seed;
        self.places
            .insert_unique(Self::hash(seed, id), place, |place| {
                Self::hash(seed, id_at(*place))
            });
    }

    /// Forget an id; the place it had.
    pub fn remove<'a>(&mut self, id: &AgentId, id_at: impl Fn(u32) -> &'a AgentId) -> Option<u32> {
        let hash = Self::hash(self.seed, id);
        let found = self
            .places
            .find_entry(hash, |place| id_at(*place) == id)
            .ok()?;
        Some(found.remove().0)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
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
            acts in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..300), seed: [u8; 16]
        ) {
            let ids: Vec<AgentId> = (0..=255).map(|n| { let mut id = [7; 32]; id[31] = n; AgentId(id) }).collect();
            let mut index = IdIndex::new(seed);
            let mut model = HashMap::new();
            for (n, insert) in acts {
                let id = &ids[usize::from(n)];
                let at = |place: u32| &ids[place as usize];
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
