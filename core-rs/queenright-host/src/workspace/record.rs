//! A version as it is kept: who made it, when, out of which version, and every path it changed.
use super::beneath::check_path;
use super::change::Change;
use super::error::{Error, Kind, Result};
use super::mark::{self, Hash, Reader};

const MAGIC: &[u8; 8] = b"qr-ws\0\0\x01";
/// Bytes of the fixed part, by which a log is shown without the changes.
pub const HEADER: usize = 8 + 8 + 8 + 32 * 4 + 1 + 8 + 8 + 8 + 4 * 3;
/// Bytes of one record. A version with longer paths than this carries is refused, so that reading one is bounded.
pub const MAX_BYTES: usize = 64 << 20;
/// Paths one version changes: everything in a full workspace replaced.
pub const MAX_CHANGES: usize = 200_000;

/// Why a version was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command or file action.
    Act,
    /// The version that was undone.
    Undo(u64),
    /// The version whose state was put back.
    Restore(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// From 1; 0 is the workspace before its first version.
    pub number: u64,
    pub at_ms: u64,
    pub agent: [u8; 32],
    pub act: [u8; 32],
    pub intent: [u8; 32],
    /// BLAKE3 of the record before it, zeros for the first: one digest names the whole history.
    pub parent: Hash,
    pub cause: Cause,
    /// What the workspace holds at this version.
    pub files: u64,
    pub bytes: u64,
    pub added: u32,
    pub modified: u32,
    pub deleted: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub header: Header,
    /// Sorted by path, each once.
    pub changes: Vec<Change>,
}

impl Record {
    pub fn encode(&self) -> Result<Vec<u8>> {
        let header = &self.header;
        let mut out = Vec::with_capacity(HEADER + 150 * self.changes.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&header.number.to_be_bytes());
        out.extend_from_slice(&header.at_ms.to_be_bytes());
        for id in [header.agent, header.act, header.intent, header.parent] {
            out.extend_from_slice(&id);
        }
        let (cause, of) = match header.cause {
            Cause::Act => (0, 0),
            Cause::Undo(of) => (1, of),
            Cause::Restore(of) => (2, of),
        };
        out.push(cause);
        for number in [of, header.files, header.bytes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for count in [header.added, header.modified, header.deleted] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        for change in &self.changes {
            mark::write_bytes(&change.path, &mut out);
            mark::write(change.before.as_ref(), &mut out);
            mark::write(change.after.as_ref(), &mut out);
            if out.len() > MAX_BYTES {
                let why = format!("a version of more than {} MiB of paths", MAX_BYTES >> 20);
                return Err(Error::malformed(why).hint("change less in one action"));
            }
        }
        let digest = *blake3::hash(&out).as_bytes();
        out.extend_from_slice(&digest);
        Ok(out)
    }

    /// Refuses bytes that are not exactly what `encode` wrote.
    pub fn decode(data: &[u8]) -> Result<Self> {
        let (body, digest) = data
            .split_last_chunk::<32>()
            .ok_or_else(|| damaged("it ends too soon"))?;
        if blake3::hash(body).as_bytes() != digest {
            return Err(damaged("its digest does not fit"));
        }
        let header = read_header(body)?;
        let mut reader = Reader(&body[HEADER..]);
        let mut changes: Vec<Change> = Vec::new();
        while !reader.0.is_empty() {
            if changes.len() == MAX_CHANGES {
                return Err(damaged("more changes than a version has"));
            }
            let path = reader.bytes()?.to_vec();
            check_path(&path)?;
            if changes.last().is_some_and(|last| last.path >= path) {
                return Err(damaged("its paths are not in order"));
            }
            changes.push(Change {
                path,
                before: reader.mark()?,
                after: reader.mark()?,
            });
        }
        Ok(Self { header, changes })
    }
}

/// What names a record: the digest it ends with.
pub fn digest_of(encoded: &[u8]) -> Hash {
    encoded.last_chunk::<32>().copied().unwrap_or_default()
}

fn damaged(why: &str) -> Error {
    Error::new(
        Kind::Failed,
        format!("a version's record is damaged: {why}"),
    )
}

pub fn read_header(data: &[u8]) -> Result<Header> {
    let mut reader = Reader(
        data.get(..HEADER)
            .ok_or_else(|| damaged("it ends too soon"))?,
    );
    if reader.array::<8>()? != *MAGIC {
        return Err(damaged("it does not begin as one of this version's"));
    }
    let number = u64::from_be_bytes(reader.array()?);
    let at_ms = u64::from_be_bytes(reader.array()?);
    let (agent, act, intent, parent) = (
        reader.array()?,
        reader.array()?,
        reader.array()?,
        reader.array()?,
    );
    let cause = reader.array::<1>()?[0];
    let of = u64::from_be_bytes(reader.array()?);
    Ok(Header {
        number,
        at_ms,
        agent,
        act,
        intent,
        parent,
        cause: match cause {
            0 => Cause::Act,
            1 => Cause::Undo(of),
            2 => Cause::Restore(of),
            _ => return Err(damaged("no such cause")),
        },
        files: u64::from_be_bytes(reader.array()?),
        bytes: u64::from_be_bytes(reader.array()?),
        added: u32::from_be_bytes(reader.array()?),
        modified: u32::from_be_bytes(reader.array()?),
        deleted: u32::from_be_bytes(reader.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::mark::Mark;
    use super::*;
    use proptest::prelude::*;

    fn example() -> Record {
        let file = Mark::File {
            mode: 0o644,
            size: 3,
            modified_ns: -5,
            hash: [9; 32],
        };
        let change = |path: &[u8], before, after| Change {
            path: path.to_vec(),
            before,
            after,
        };
        Record {
            header: Header {
                number: 7,
                at_ms: 8,
                agent: [1; 32],
                act: [2; 32],
                intent: [3; 32],
                parent: [4; 32],
                cause: Cause::Undo(3),
                files: 5,
                bytes: 6,
                added: 1,
                modified: 1,
                deleted: 1,
            },
            changes: vec![
                change(b"a", None, Some(file.clone())),
                change(b"b\xff", Some(Mark::Directory { mode: 0o755 }), None),
                change(
                    b"c/d",
                    Some(Mark::Link {
                        target: b"../x".to_vec(),
                    }),
                    Some(file),
                ),
            ],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let bytes = example().encode().unwrap();
        assert_eq!(Record::decode(&bytes).unwrap(), example());
        assert_eq!(read_header(&bytes).unwrap(), example().header);
    }

    #[test]
    fn a_record_cut_or_changed_anywhere_is_refused() {
        let bytes = example().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end]).is_err(), "{end}");
            let mut changed = bytes.clone();
            changed[end] ^= 1;
            assert!(Record::decode(&changed).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_reader(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = example().encode().unwrap();
            bytes.truncate(HEADER);
            bytes.extend(tail);
            let digest = *blake3::hash(&bytes).as_bytes();
            bytes.extend(digest);
            let _ = Record::decode(&bytes);
        }
    }
}
