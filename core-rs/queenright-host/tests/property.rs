//! The engine against a model small enough to be read: a map, a list, a set.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use queenright_host::{Error, Record, SqliteStore, Store};

#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    leaves: Vec<Vec<u8>>,
    spent: BTreeSet<(String, Vec<u8>)>,
}

impl Model {
    fn apply(&mut self, record: &Record) -> Result<(), &'static str> {
        match record.clone() {
            Record::Put { table, key, value } => {
                self.rows.insert((table, key), value);
            }
            Record::Insert { table, key, value } => {
                if self.rows.contains_key(&(table.clone(), key.clone())) {
                    return Err("exists");
                }
                self.rows.insert((table, key), value);
            }
            Record::Delete { table, key } => {
                self.rows.remove(&(table, key));
            }
            Record::Expect { table, key, value } => {
                if self.rows.get(&(table, key)) != value.as_ref() {
                    return Err("unexpected");
                }
            }
            Record::Leaf { data } => self.leaves.push(data),
            Record::Spend { scope, nonce } => {
                if !self.spent.insert((scope, nonce)) {
                    return Err("spent");
                }
            }
            Record::Count {
                table,
                key,
                delta,
                maximum,
            } => {
                let now = match self.rows.get(&(table.clone(), key.clone())) {
                    None => 0,
                    Some(bytes) if bytes.len() == 8 => {
                        i128::from(u64::from_be_bytes(bytes[..].try_into().unwrap()))
                    }
                    Some(_) => return Err("not_a_counter"),
                };
                let next = now + i128::from(delta);
                if next < 0 {
                    return Err("below_zero");
                }
                if next > i128::from(u64::MAX) || (delta > 0 && next > i128::from(maximum)) {
                    return Err("above_maximum");
                }
                self.rows.insert(
                    (table, key),
                    u64::try_from(next).unwrap().to_be_bytes().to_vec(),
                );
            }
        }
        Ok(())
    }

    fn submit(&mut self, records: &[Record]) -> Result<(), (usize, &'static str)> {
        let mut next = self.clone();
        for (index, record) in records.iter().enumerate() {
            next.apply(record).map_err(|reason| (index, reason))?;
        }
        *self = next;
        Ok(())
    }
}

fn record() -> impl Strategy<Value = Record> {
    let table = || prop_oneof![Just("t".to_owned()), Just("u".to_owned())];
    let key = || prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..3);
    let value = || prop::collection::vec(any::<u8>(), 0..9);
    let delta = prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN)];
    let maximum = prop_oneof![0u64..5, Just(u64::MAX)];
    prop_oneof![
        (table(), key(), value()).prop_map(|(table, key, value)| Record::Put { table, key, value }),
        (table(), key(), value()).prop_map(|(table, key, value)| Record::Insert {
            table,
            key,
            value
        }),
        (table(), key()).prop_map(|(table, key)| Record::Delete { table, key }),
        (table(), key()).prop_map(|(table, key)| Record::Expect {
            table,
            key,
            value: None
        }),
        (table(), key(), value()).prop_map(|(table, key, v)| Record::Expect {
            table,
            key,
            value: Some(v)
        }),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(|data| Record::Leaf { data }),
        (table(), 0u8..20).prop_map(|(scope, nonce)| Record::Spend {
            scope,
            nonce: vec![nonce]
        }),
        (table(), key(), delta, maximum).prop_map(|(table, key, delta, maximum)| Record::Count {
            table,
            key,
            delta,
            maximum
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(
        submissions in prop::collection::vec(prop::collection::vec(record(), 0..5), 1..25),
        reopen_every in 1usize..8,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut store = SqliteStore::open(&path).unwrap();
        let mut model = Model::default();
        for (turn, records) in submissions.iter().enumerate() {
            let first = model.leaves.len() as u64;
            match (model.submit(records), store.submit(records)) {
                (Ok(()), Ok(receipt)) => {
                    prop_assert_eq!((receipt.first_leaf, receipt.leaves), (first, model.leaves.len() as u64 - first));
                }
                (Err(want), Err(Error::Refused { index, reason })) => prop_assert_eq!(want, (index, reason)),
                (want, got) => prop_assert!(false, "model {want:?}, store {got:?}"),
            }
            if turn % reopen_every == 0 {
                drop(store);
                store = SqliteStore::open(&path).unwrap();
            }
        }
        for table in ["t", "u"] {
            for prefix in [&b""[..], b"\x00", b"\xff"] {
                let want: Vec<_> = model.rows.iter()
                    .filter(|((t, key), _)| t == table && key.starts_with(prefix))
                    .map(|((_, key), value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(store.count(table, prefix).unwrap(), want.len() as u64);
                prop_assert_eq!(store.scan(table, prefix, None, None).unwrap(), want);
            }
        }
        prop_assert_eq!(store.leaves(0, 1000).unwrap(), model.leaves);
    }
}
