//! From a 32-byte id to its place in an arena: a hash table of places only, since the arena holds the ids themselves.
//!
//! The hash is keyed anew in every process, as std's maps are: whoever chooses what an id is the digest of could
//! otherwise aim many of them at one bucket.
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

pub type Id = [u8; 32];

#[derive(Debug, Default)]
pub struct IdIndex {
    places: HashTable<u32>,
    keys: RandomState,
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
            .find(self.keys.hash_one(id), |place| id_at(*place) == Some(id))
            .copied()
    }

    /// Room for this many more without growing again in between.
    pub fn reserve<'a>(&mut self, more: usize, id_at: impl Fn(u32) -> Option<&'a Id>) {
        let keys = &self.keys;
        self.places.reserve(more, |place| {
            keys.hash_one(id_at(*place).unwrap_or(&[0; 32]))
        });
    }

    /// Adds an id that is not there: the caller has looked.
    pub fn insert<'a>(&mut self, id: &Id, place: u32, id_at: impl Fn(u32) -> Option<&'a Id>) {
        let keys = &self.keys;
        self.places
            .insert_unique(keys.hash_one(id), place, |place| {
                keys.hash_one(id_at(*place).unwrap_or(&[0; 32]))
            });
    }

    pub fn remove<'a>(&mut self, id: &Id, id_at: impl Fn(u32) -> Option<&'a Id>) -> Option<u32> {
        self.places
            .find_entry(self.keys.hash_one(id), |place| id_at(*place) == Some(id))
            .ok()
            .map(|entry| entry.remove().0)
    }
}
