//! Canonical MessagePack: one value, one byte string.
//!
//! What is signed or hashed is written here, so a reader refuses whatever this writer would not have written: keys out
//! of order or twice, a number or length in a longer form than it needs, NaN and infinities, extension types, bytes
//! after the value, more than `MAX_DEPTH` containers inside each other, a length past the end of the input.
use rmp::Marker;

use crate::error::{Error, Result};

/// Arrays and maps inside each other. Deep enough for every document we sign, shallow enough for any stack.
pub const MAX_DEPTH: usize = 32;
/// Values in one document. A byte of input may become 64 of memory (an empty list): so 4 MiB of them could become 256 MiB.
/// Bulk belongs into `bytes`.
pub const MAX_VALUES: usize = 1 << 18;

/// Writes one value, top down: a container's header, then its items, then `close`.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
    open: Vec<Open>,
    values: usize,
}

struct Open {
    items_left: u32,
    /// Where the last key lies in `out`; keys must rise.
    last_key: Option<(usize, usize)>,
    is_map: bool,
    awaits_value: bool,
}

impl Writer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn nil(&mut self) -> Result<()> {
        self.item()?;
        self.out.push(Marker::Null.to_u8());
        Ok(())
    }

    pub fn boolean(&mut self, value: bool) -> Result<()> {
        self.item()?;
        let marker = if value { Marker::True } else { Marker::False };
        self.out.push(marker.to_u8());
        Ok(())
    }

    pub fn unsigned(&mut self, value: u64) -> Result<()> {
        self.item()?;
        self.put_unsigned(value);
        Ok(())
    }

    pub fn signed(&mut self, value: i64) -> Result<()> {
        self.item()?;
        if let Ok(positive) = u64::try_from(value) {
            self.put_unsigned(positive);
        } else if let Ok(small) = i8::try_from(value) {
            if small < -32 {
                self.out.push(Marker::I8.to_u8());
            }
            self.out.extend(small.to_be_bytes());
        } else if let Ok(small) = i16::try_from(value) {
            self.tagged(Marker::I16, &small.to_be_bytes());
        } else if let Ok(small) = i32::try_from(value) {
            self.tagged(Marker::I32, &small.to_be_bytes());
        } else {
            self.tagged(Marker::I64, &value.to_be_bytes());
        }
        Ok(())
    }

    pub fn float(&mut self, value: f64) -> Result<()> {
        self.item()?;
        if !value.is_finite() {
            return Err(Error::malformed(format!("{value} has no canonical form")));
        }
        self.tagged(Marker::F64, &value.to_be_bytes());
        Ok(())
    }

    pub fn text(&mut self, value: &str) -> Result<()> {
        self.item()?;
        self.put_text(value)
    }

    pub fn bytes(&mut self, value: &[u8]) -> Result<()> {
        self.item()?;
        let length = length(value.len())?;
        if let Ok(short) = u8::try_from(length) {
            self.tagged(Marker::Bin8, &[short]);
        } else if let Ok(short) = u16::try_from(length) {
            self.tagged(Marker::Bin16, &short.to_be_bytes());
        } else {
            self.tagged(Marker::Bin32, &length.to_be_bytes());
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// Begin a list of exactly `count` items.
    pub fn open_array(&mut self, count: usize) -> Result<()> {
        self.item()?;
        let count = length(count)?;
        match u16::try_from(count) {
            Ok(small @ 0..=15) => self.out.push(Marker::FixArray(small as u8).to_u8()),
            Ok(short) => self.tagged(Marker::Array16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Array32, &count.to_be_bytes()),
        }
        self.push(count, false)
    }

    /// Begin a map of exactly `count` keys, given in the order of their UTF-8 bytes.
    pub fn open_map(&mut self, count: usize) -> Result<()> {
        self.item()?;
        let count = length(count)?;
        match u16::try_from(count) {
            Ok(small @ 0..=15) => self.out.push(Marker::FixMap(small as u8).to_u8()),
            Ok(short) => self.tagged(Marker::Map16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Map32, &count.to_be_bytes()),
        }
        self.push(count, true)
    }

    pub fn key(&mut self, key: &str) -> Result<()> {
        let Some(map) = self.open.last_mut().filter(|top| top.is_map) else {
            return Err(Error::malformed("a key outside a map"));
        };
        if map.awaits_value || map.items_left == 0 {
            return Err(Error::malformed(format!("no place for the key {key:?}")));
        }
        if let Some((start, end)) = map.last_key
            && self.out[start..end] >= *key.as_bytes()
        {
            return Err(Error::malformed(format!(
                "the key {key:?} is twice or out of order"
            )));
        }
        map.items_left -= 1;
        map.awaits_value = true;
        self.put_text(key)?;
        let end = self.out.len();
        if let Some(map) = self.open.last_mut() {
            map.last_key = Some((end - key.len(), end));
        }
        Ok(())
    }

    pub fn close(&mut self) -> Result<()> {
        match self.open.pop() {
            Some(top) if top.items_left == 0 && !top.awaits_value => Ok(()),
            _ => Err(Error::malformed(
                "a container was closed before its last item",
            )),
        }
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        if self.open.is_empty() && !self.out.is_empty() {
            Ok(self.out)
        } else {
            Err(Error::malformed("the value is not complete"))
        }
    }

    fn item(&mut self) -> Result<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many());
        }
        match self.open.last_mut() {
            None if self.out.is_empty() => Ok(()),
            None => Err(Error::malformed("a second value after the first")),
            Some(map) if map.is_map && map.awaits_value => {
                map.awaits_value = false;
                Ok(())
            }
            Some(list) if !list.is_map && list.items_left > 0 => {
                list.items_left -= 1;
                Ok(())
            }
            Some(_) => Err(Error::malformed(
                "one item too many, or a value without its key",
            )),
        }
    }

    fn push(&mut self, items_left: u32, is_map: bool) -> Result<()> {
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(Open {
            items_left,
            last_key: None,
            is_map,
            awaits_value: false,
        });
        Ok(())
    }

    fn tagged(&mut self, marker: Marker, bytes: &[u8]) {
        self.out.push(marker.to_u8());
        self.out.extend_from_slice(bytes);
    }

    fn put_unsigned(&mut self, value: u64) {
        if let Ok(small) = u8::try_from(value) {
            if small > 0x7f {
                self.out.push(Marker::U8.to_u8());
            }
            self.out.push(small);
        } else if let Ok(small) = u16::try_from(value) {
            self.tagged(Marker::U16, &small.to_be_bytes());
        } else if let Ok(small) = u32::try_from(value) {
            self.tagged(Marker::U32, &small.to_be_bytes());
        } else {
            self.tagged(Marker::U64, &value.to_be_bytes());
        }
    }

    fn put_text(&mut self, value: &str) -> Result<()> {
        let length = length(value.len())?;
        match u16::try_from(length) {
            Ok(small @ 0..=31) => self.out.push(Marker::FixStr(small as u8).to_u8()),
            Ok(small @ 32..=255) => self.tagged(Marker::Str8, &[small as u8]),
            Ok(short) => self.tagged(Marker::Str16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Str32, &length.to_be_bytes()),
        }
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

fn length(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| {
        Error::malformed(format!(
            "{count} items or bytes in one value, at most 2^32 - 1"
        ))
    })
}

fn too_many() -> Error {
    Error::malformed(format!("more than {MAX_VALUES} values in one document"))
        .hint("carry bulk as bytes")
}

fn too_deep() -> Error {
    Error::malformed(format!(
        "more than {MAX_DEPTH} containers inside each other"
    ))
}

/// Makes values of whatever kind the caller wants, bottom up.
pub trait Build {
    type Value;
    type Error: From<Error>;

    fn nil(&mut self) -> std::result::Result<Self::Value, Self::Error>;
    fn boolean(&mut self, value: bool) -> std::result::Result<Self::Value, Self::Error>;
    fn unsigned(&mut self, value: u64) -> std::result::Result<Self::Value, Self::Error>;
    /// Only ever a negative number.
    fn signed(&mut self, value: i64) -> std::result::Result<Self::Value, Self::Error>;
    fn float(&mut self, value: f64) -> std::result::Result<Self::Value, Self::Error>;
    fn text(&mut self, value: &str) -> std::result::Result<Self::Value, Self::Error>;
    fn bytes(&mut self, value: &[u8]) -> std::result::Result<Self::Value, Self::Error>;
    fn array(&mut self, items: Vec<Self::Value>) -> std::result::Result<Self::Value, Self::Error>;
    fn map(
        &mut self,
        items: Vec<(&str, Self::Value)>,
    ) -> std::result::Result<Self::Value, Self::Error>;
}

/// Read exactly one canonical value that fills `data`.
pub fn decode<B: Build>(data: &[u8], build: &mut B) -> std::result::Result<B::Value, B::Error> {
    let mut reader = Reader {
        data,
        at: 0,
        values: 0,
    };
    let value = reader.value(build, 0)?;
    if reader.at != data.len() {
        return Err(reader.refuse("bytes after the value").into());
    }
    Ok(value)
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn value<B: Build>(
        &mut self,
        build: &mut B,
        depth: usize,
    ) -> std::result::Result<B::Value, B::Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many().into());
        }
        let marker = self.marker()?;
        match marker {
            Marker::Null => build.nil(),
            Marker::True => build.boolean(true),
            Marker::False => build.boolean(false),
            Marker::FixPos(small) => build.unsigned(u64::from(small)),
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => {
                build.unsigned(self.unsigned(marker)?)
            }
            Marker::FixNeg(small) => build.signed(i64::from(small)),
            Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => {
                build.signed(self.negative(marker)?)
            }
            Marker::F64 => build.float(self.float()?),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let count = self.length(marker)?;
                build.bytes(self.take(count)?)
            }
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                build.text(self.text(marker)?)
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                let count = self.container(marker, depth, 1)?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.value(build, depth + 1)?);
                }
                build.array(items)
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                let count = self.container(marker, depth, 2)?;
                let mut items: Vec<(&str, B::Value)> = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = self.key()?;
                    if items
                        .last()
                        .is_some_and(|(last, _)| last.as_bytes() >= key.as_bytes())
                    {
                        return Err(self.refuse("a map's key is twice or out of order").into());
                    }
                    items.push((key, self.value(build, depth + 1)?));
                }
                build.map(items)
            }
            Marker::F32
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Reserved => Err(self.refuse("a type that is never written").into()),
        }
    }

    fn key(&mut self) -> Result<&'a str> {
        match self.marker()? {
            marker @ (Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                self.text(marker)
            }
            _ => Err(self.refuse("a map's key is not text")),
        }
    }

    fn text(&mut self, marker: Marker) -> Result<&'a str> {
        let count = self.length(marker)?;
        let raw = self.take(count)?;
        std::str::from_utf8(raw).map_err(|_| self.refuse("text that is not UTF-8"))
    }

    /// The item count of a container, each item of at least `bytes_each`, so that no header reserves more than is there.
    fn container(&mut self, marker: Marker, depth: usize, bytes_each: usize) -> Result<usize> {
        if depth == MAX_DEPTH {
            return Err(too_deep());
        }
        let count = self.length(marker)?;
        if count.saturating_mul(bytes_each) > self.data.len() - self.at {
            return Err(self.refuse("a length past the end"));
        }
        Ok(count)
    }

    /// The length that `marker` announces, refused unless no shorter form of it exists.
    fn length(&mut self, marker: Marker) -> Result<usize> {
        let (count, least) = match marker {
            Marker::FixStr(count) | Marker::FixArray(count) | Marker::FixMap(count) => {
                (u64::from(count), 0)
            }
            Marker::Bin8 => (self.big_endian(1)?, 0),
            Marker::Str8 => (self.big_endian(1)?, 32),
            Marker::Array16 | Marker::Map16 => (self.big_endian(2)?, 16),
            Marker::Bin16 | Marker::Str16 => (self.big_endian(2)?, 1 << 8),
            _ => (self.big_endian(4)?, 1 << 16),
        };
        if count < least {
            return Err(self.refuse("a length in a longer form than it needs"));
        }
        usize::try_from(count).map_err(|_| self.refuse("a length past the end"))
    }

    fn unsigned(&mut self, marker: Marker) -> Result<u64> {
        let (value, least) = match marker {
            Marker::U8 => (self.big_endian(1)?, 1 << 7),
            Marker::U16 => (self.big_endian(2)?, 1 << 8),
            Marker::U32 => (self.big_endian(4)?, 1 << 16),
            _ => (self.big_endian(8)?, 1 << 32),
        };
        if value < least {
            return Err(self.refuse("a number in a longer form than it needs"));
        }
        Ok(value)
    }

    fn negative(&mut self, marker: Marker) -> Result<i64> {
        // Sign extension from the width read; `most` is the largest value that needs the width.
        let (value, most) = match marker {
            Marker::I8 => (i64::from(self.big_endian(1)? as u8 as i8), -33),
            Marker::I16 => (
                i64::from(self.big_endian(2)? as u16 as i16),
                i64::from(i8::MIN) - 1,
            ),
            Marker::I32 => (
                i64::from(self.big_endian(4)? as u32 as i32),
                i64::from(i16::MIN) - 1,
            ),
            _ => (self.big_endian(8)? as i64, i64::from(i32::MIN) - 1),
        };
        if value > most {
            return Err(self.refuse("a number in a longer form than it needs"));
        }
        Ok(value)
    }

    fn float(&mut self) -> Result<f64> {
        let value = f64::from_bits(self.big_endian(8)?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.refuse("a float that is not finite"))
        }
    }

    fn big_endian(&mut self, width: usize) -> Result<u64> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::from_u8(self.take(1)?[0]))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.data.len());
        let Some(end) = end else {
            return Err(self.refuse("a length past the end"));
        };
        let taken = &self.data[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn refuse(&self, what: &str) -> Error {
        Error::malformed(format!("not canonical at byte {}: {what}", self.at))
    }
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
