//! Reading packets and letters: fixed widths, big-endian, nothing left over.
use super::{Head, Id, MAX_BODY, MAX_MESSAGES, OVERHEAD, check_kind};
use crate::error::{Error, Result};
use crate::merkle::Hash;
use crate::signature::SIGNATURE_LENGTH;

pub(super) struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(data: &'a [u8], what: &'static str) -> Self {
        Self { data, at: 0, what }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn refuse(&self, why: &str) -> Error {
        Error::malformed(format!("not a {} at byte {}: {why}", self.what, self.at))
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
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

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn magic(&mut self, magic: &[u8; 4]) -> Result<()> {
        if self.take(4)? == magic {
            Ok(())
        } else {
            Err(self.refuse("another format or version"))
        }
    }

    pub(super) fn head(&mut self) -> Result<Head> {
        let head = Head {
            sender: self.array()?,
            incarnation: self.u64()?,
            first: self.u64()?,
            count: self.u32()?,
            previous: self.array()?,
        };
        if head.count == 0 || head.count as usize > MAX_MESSAGES {
            return Err(self.refuse("a batch has 1 to 4096 messages"));
        }
        if head.first.checked_add(u64::from(head.count)).is_none() {
            return Err(self.refuse("a place in the chain that nothing can follow"));
        }
        Ok(head)
    }

    /// The length of a table: each entry is for a message, so there are no more than messages.
    pub(super) fn table(&mut self, head: &Head) -> Result<u16> {
        let length = self.u16()?;
        if u32::from(length) > head.count {
            return Err(self.refuse("a table with more entries than messages"));
        }
        Ok(length)
    }

    pub(super) fn signature(&mut self) -> Result<[u8; SIGNATURE_LENGTH]> {
        self.array()
    }

    pub(super) fn kind(&mut self) -> Result<&'a str> {
        let length = usize::from(self.u8()?);
        let kind = std::str::from_utf8(self.take(length)?)
            .map_err(|_| self.refuse("a message type that is not UTF-8"))?;
        check_kind(kind)?;
        Ok(kind)
    }

    /// Where the ciphertext lies.
    pub(super) fn ciphertext(&mut self) -> Result<(usize, usize)> {
        let length = self.u32()? as usize;
        if !(OVERHEAD..=OVERHEAD + MAX_BODY).contains(&length) {
            return Err(self.refuse("a ciphertext too short or too long for a message"));
        }
        self.take(length)?;
        Ok((self.at - length, self.at))
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.at == self.data.len() {
            Ok(())
        } else {
            Err(self.refuse("bytes after the end"))
        }
    }
}

pub(super) fn put_head(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(&head.sender);
    out.extend_from_slice(&head.incarnation.to_be_bytes());
    out.extend_from_slice(&head.first.to_be_bytes());
    out.extend_from_slice(&head.count.to_be_bytes());
    out.extend_from_slice(&head.previous);
}

pub(super) fn put_pair(out: &mut Vec<u8>, receiver: &Id, generation: u64, enc: &Hash) {
    out.extend_from_slice(receiver);
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(enc);
}

pub(super) fn put_kind(out: &mut Vec<u8>, kind: &str) {
    // Checked by whoever gives one: at most MAX_KIND bytes.
    out.push(kind.len() as u8);
    out.extend_from_slice(kind.as_bytes());
}
