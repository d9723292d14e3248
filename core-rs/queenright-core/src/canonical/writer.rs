//! Canonical bytes, written.
use rmp::Marker;

use super::{MAX_DEPTH, MAX_VALUES, too_deep, too_many};
use crate::error::{Error, Result};

/// Writes one value, top down: a container's header, then its items, then `close`. A refused call leaves it as it was.
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
        if !value.is_finite() {
            return Err(Error::malformed(format!("{value} has no canonical form")));
        }
        self.item()?;
        self.tagged(Marker::F64, &value.to_be_bytes());
        Ok(())
    }

    pub fn text(&mut self, value: &str) -> Result<()> {
        let length = length(value.len())?;
        self.item()?;
        self.put_text(length, value);
        Ok(())
    }

    pub fn bytes(&mut self, value: &[u8]) -> Result<()> {
        let length = length(value.len())?;
        self.item()?;
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
        let count = self.room_for(count)?;
        self.item()?;
        match u16::try_from(count) {
            Ok(small @ 0..=15) => self.out.push(Marker::FixArray(small as u8).to_u8()),
            Ok(short) => self.tagged(Marker::Array16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Array32, &count.to_be_bytes()),
        }
        self.push(count, false);
        Ok(())
    }

    /// Begin a map of exactly `count` keys, given in the order of their UTF-8 bytes.
    pub fn open_map(&mut self, count: usize) -> Result<()> {
        let count = self.room_for(count)?;
        self.item()?;
        match u16::try_from(count) {
            Ok(small @ 0..=15) => self.out.push(Marker::FixMap(small as u8).to_u8()),
            Ok(short) => self.tagged(Marker::Map16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Map32, &count.to_be_bytes()),
        }
        self.push(count, true);
        Ok(())
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
        let length = length(key.len())?;
        map.items_left -= 1;
        map.awaits_value = true;
        self.put_text(length, key);
        let end = self.out.len();
        if let Some(map) = self.open.last_mut() {
            map.last_key = Some((end - key.len(), end));
        }
        Ok(())
    }

    pub fn close(&mut self) -> Result<()> {
        match self.open.last() {
            Some(top) if top.items_left == 0 && !top.awaits_value => {
                self.open.pop();
                Ok(())
            }
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
        if self.values == MAX_VALUES {
            return Err(too_many());
        }
        let taken = match self.open.last_mut() {
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
        };
        self.values += usize::from(taken.is_ok());
        taken
    }

    /// The count of a container that may be opened here.
    fn room_for(&self, count: usize) -> Result<u32> {
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep());
        }
        length(count)
    }

    fn push(&mut self, items_left: u32, is_map: bool) {
        self.open.push(Open {
            items_left,
            last_key: None,
            is_map,
            awaits_value: false,
        });
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

    fn put_text(&mut self, length: u32, value: &str) {
        match u16::try_from(length) {
            Ok(small @ 0..=31) => self.out.push(Marker::FixStr(small as u8).to_u8()),
            Ok(small @ 32..=255) => self.tagged(Marker::Str8, &[small as u8]),
            Ok(short) => self.tagged(Marker::Str16, &short.to_be_bytes()),
            Err(_) => self.tagged(Marker::Str32, &length.to_be_bytes()),
        }
        self.out.extend_from_slice(value.as_bytes());
    }
}

fn length(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| {
        Error::malformed(format!(
            "{count} items or bytes in one value, at most 2^32 - 1"
        ))
    })
}
