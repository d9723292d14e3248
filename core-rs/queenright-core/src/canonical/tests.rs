use proptest::prelude::*;

use super::*;
use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
}

struct Plain;

impl Build for Plain {
    type Value = Value;
    type Error = Error;

    fn nil(&mut self) -> Result<Value> {
        Ok(Value::Nil)
    }
    fn boolean(&mut self, value: bool) -> Result<Value> {
        Ok(Value::Bool(value))
    }
    fn unsigned(&mut self, value: u64) -> Result<Value> {
        Ok(Value::Unsigned(value))
    }
    fn signed(&mut self, value: i64) -> Result<Value> {
        Ok(Value::Negative(value))
    }
    fn float(&mut self, value: f64) -> Result<Value> {
        Ok(Value::Float(value))
    }
    fn text(&mut self, value: &str) -> Result<Value> {
        Ok(Value::Text(value.into()))
    }
    fn bytes(&mut self, value: &[u8]) -> Result<Value> {
        Ok(Value::Bytes(value.into()))
    }
    fn array(&mut self, items: Vec<Value>) -> Result<Value> {
        Ok(Value::Array(items))
    }
    fn map(&mut self, items: Vec<(&str, Value)>) -> Result<Value> {
        Ok(Value::Map(
            items
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        ))
    }
}

fn write(value: &Value, out: &mut Writer) -> Result<()> {
    match value {
        Value::Nil => out.nil(),
        Value::Bool(value) => out.boolean(*value),
        Value::Unsigned(value) => out.unsigned(*value),
        Value::Negative(value) => out.signed(*value),
        Value::Float(value) => out.float(*value),
        Value::Text(value) => out.text(value),
        Value::Bytes(value) => out.bytes(value),
        Value::Array(items) => {
            out.open_array(items.len())?;
            items.iter().try_for_each(|item| write(item, out))?;
            out.close()
        }
        Value::Map(items) => {
            out.open_map(items.len())?;
            for (key, item) in items {
                out.key(key)?;
                write(item, out)?;
            }
            out.close()
        }
    }
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Writer::new();
    write(value, &mut out).unwrap();
    out.finish().unwrap()
}

fn read(data: &[u8]) -> Result<Value> {
    decode(data, &mut Plain)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        // Shifting spreads the numbers over every width.
        (any::<u64>(), 0..64u32).prop_map(|(n, shift)| Value::Unsigned(n >> shift)),
        (i64::MIN..0, 0..63u32).prop_map(|(n, shift)| Value::Negative(n >> shift)),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(Value::Float),
        ".{0,40}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            proptest::collection::btree_map(".{0,6}", inner, 0..20)
                .prop_map(|map| Value::Map(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in any_value()) {
        prop_assert_eq!(read(&encode(&value)).unwrap(), value);
    }

    /// The heart of it: no two byte strings mean one value, so whatever reads at all writes back as itself.
    #[test]
    fn whatever_reads_at_all_writes_back_as_itself(value in any_value(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut data = encode(&value);
        for (at, byte) in edits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if let Ok(read) = read(&data) {
            prop_assert_eq!(encode(&read), data);
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_alias(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = read(&data) {
            prop_assert_eq!(encode(&read), data);
        }
    }

    #[test]
    fn every_cut_is_refused(value in any_value(), cut in any::<prop::sample::Index>()) {
        let data = encode(&value);
        prop_assert!(read(&data[..cut.index(data.len())]).is_err());
    }
}

#[test]
fn longer_forms_than_needed_are_refused() {
    let longer: &[&[u8]] = &[
        &[0xcc, 0x7f],
        &[0xcd, 0, 0xff],
        &[0xce, 0, 0, 0xff, 0xff],
        &[0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0xd0, 0x00],
        &[0xd0, 0xe0],
        &[0xd1, 0xff, 0x80],
        &[0xd2, 0xff, 0xff, 0x80, 0x00],
        &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0],
        &[0xd9, 1, b'a'],
        &[0xda, 0, 1, b'a'],
        &[0xc5, 0, 1, 0],
        &[0xc6, 0, 0, 0, 1, 0],
        &[0xdc, 0, 1, 0xc0],
        &[0xde, 0, 1, 0xa1, b'a', 0xc0],
        &[0xca, 0, 0, 0, 0],
    ];
    for data in longer {
        assert!(read(data).is_err(), "{data:02x?}");
    }
}

#[test]
fn types_that_are_never_written_are_refused() {
    for data in [
        &[0xc1][..],
        &[0xd4, 1, 1],
        &[0xc7, 1, 1, 1],
        &[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
        &[0xa1, 0xff],
        &[0x81, 0x01, 0x01],
        &[],
        &[0xc0, 0xc0],
    ] {
        assert!(read(data).is_err(), "{data:02x?}");
    }
}

#[test]
fn keys_must_rise_by_their_bytes() {
    assert!(read(&[0x82, 0xa1, b'a', 0xc0, 0xa1, b'b', 0xc0]).is_ok());
    assert!(read(&[0x82, 0xa1, b'b', 0xc0, 0xa1, b'a', 0xc0]).is_err());
    assert!(read(&[0x82, 0xa1, b'a', 0xc0, 0xa1, b'a', 0xc0]).is_err());
    let mut out = Writer::new();
    out.open_map(2).unwrap();
    out.key("b").unwrap();
    out.nil().unwrap();
    assert!(out.key("a").is_err());
}

#[test]
fn a_length_past_the_end_reserves_nothing() {
    for data in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
        &[0xdf, 0x7f, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(read(data).is_err());
    }
}

#[test]
fn thirty_two_containers_and_no_more() {
    let nested = |depth: usize| {
        let mut data = vec![0x91; depth];
        data.push(0xc0);
        data
    };
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    assert!(read(&nested(MAX_DEPTH + 1)).is_err());
    let mut out = Writer::new();
    for _ in 0..MAX_DEPTH {
        out.open_array(1).unwrap();
    }
    assert!(out.open_array(0).is_err());
}

#[test]
fn a_document_has_so_many_values_and_no_more() {
    let nils = |count: usize| {
        let mut data = vec![0xdd];
        data.extend((count as u32).to_be_bytes());
        data.resize(5 + count, 0xc0);
        data
    };
    assert!(read(&nils(MAX_VALUES - 1)).is_ok());
    assert!(read(&nils(MAX_VALUES)).is_err());
    let mut out = Writer::new();
    out.open_array(MAX_VALUES).unwrap();
    for _ in 1..MAX_VALUES {
        out.nil().unwrap();
    }
    assert!(out.nil().is_err());
}

#[test]
fn a_writer_refuses_a_wrong_number_of_items() {
    let mut out = Writer::new();
    out.open_array(1).unwrap();
    assert!(out.close().is_err());
    let mut out = Writer::new();
    out.open_array(1).unwrap();
    out.nil().unwrap();
    assert!(out.nil().is_err());
    let mut out = Writer::new();
    out.open_map(1).unwrap();
    assert!(out.nil().is_err());
    let mut out = Writer::new();
    out.nil().unwrap();
    assert!(out.nil().is_err());
    assert!(Writer::new().finish().is_err());
}

#[test]
fn a_refused_call_leaves_the_writer_as_it_was() {
    let mut writer = Writer::new();
    writer.open_array(2).unwrap();
    assert!(writer.float(f64::NAN).is_err());
    assert!(writer.key("a").is_err());
    assert!(writer.close().is_err());
    writer.open_map(1).unwrap();
    assert!(writer.nil().is_err());
    writer.key("a").unwrap();
    assert!(writer.close().is_err());
    for _ in 2..MAX_DEPTH {
        writer.open_array(1).unwrap();
    }
    assert!(writer.open_array(0).is_err());
    assert!(writer.open_map(0).is_err());
    writer.nil().unwrap();
    for _ in 1..MAX_DEPTH {
        writer.close().unwrap();
    }
    writer.boolean(true).unwrap();
    writer.close().unwrap();
    assert!(writer.nil().is_err());
    let bytes = writer.finish().unwrap();
    assert!(decode(&bytes, &mut Plain).is_ok());
}
