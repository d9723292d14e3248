//! Canonical bytes, read: anything that the writer would not have written is refused.
use rmp::Marker;

use super::{MAX_DEPTH, MAX_VALUES, too_deep, too_many};
use crate::error::{Error, Result};

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

/// Read exactly one canonical map that fills `data`, an entry at a time: for whoever knows the keys and needs no map.
pub fn decode_map<B: Build>(
    data: &[u8],
    build: &mut B,
    mut each: impl FnMut(&str, B::Value) -> std::result::Result<(), B::Error>,
) -> std::result::Result<(), B::Error> {
    let mut reader = Reader {
        data,
        at: 0,
        values: 1,
    };
    let marker = reader.marker()?;
    if !matches!(marker, Marker::FixMap(_) | Marker::Map16 | Marker::Map32) {
        return Err(reader.refuse("not a map").into());
    }
    let mut last: Option<&str> = None;
    for _ in 0..reader.container(marker, 0, 2)? {
        let key = reader.key()?;
        if last.is_some_and(|last| last.as_bytes() >= key.as_bytes()) {
            return Err(reader.refuse("a map's key is twice or out of order").into());
        }
        each(key, reader.value(build, 1)?)?;
        last = Some(key);
    }
    if reader.at != data.len() {
        return Err(reader.refuse("bytes after the value").into());
    }
    Ok(())
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
