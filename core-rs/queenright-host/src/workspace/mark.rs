//! What one path is: a file with its content's name, a link, a directory.
use super::error::{Error, Result};

pub type Hash = [u8; 32];

/// Permission bits a version keeps. A set-id bit would mean nothing where the agent runs (nosuid) and more elsewhere.
const MODE: u32 = 0o777;

/// The mode of a file as a version has it. Its owner, the agent, can always read it: so can we, when we are its user.
pub fn file_mode(raw: u32) -> u32 {
    raw & MODE | 0o400
}

/// The mode of a directory as a version has it. Its owner can always work in it, for the same reason.
pub fn directory_mode(raw: u32) -> u32 {
    raw & MODE | 0o700
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    File {
        mode: u32,
        size: u64,
        /// Nanoseconds since 1970: a build decides by it what is new.
        modified_ns: i64,
        hash: Hash,
    },
    Link {
        target: Vec<u8>,
    },
    Directory {
        mode: u32,
    },
}

impl Mark {
    /// The same thing but for the time it was written.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File {
                    mode, size, hash, ..
                },
                Self::File {
                    mode: other_mode,
                    size: other_size,
                    hash: other_hash,
                    ..
                },
            ) => mode == other_mode && size == other_size && hash == other_hash,
            _ => self == other,
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Bytes it takes of a quota.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Link { target } => target.len() as u64,
            Self::Directory { .. } => 0,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Link { .. } => "link",
            Self::Directory { .. } => "directory",
        }
    }
}

const NONE: u8 = 0;
const FILE: u8 = 1;
const LINK: u8 = 2;
const DIRECTORY: u8 = 3;

pub fn write(mark: Option<&Mark>, out: &mut Vec<u8>) {
    match mark {
        None => out.push(NONE),
        Some(Mark::File {
            mode,
            size,
            modified_ns,
            hash,
        }) => {
            out.push(FILE);
            out.extend_from_slice(&mode.to_be_bytes());
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(&modified_ns.to_be_bytes());
            out.extend_from_slice(hash);
        }
        Some(Mark::Link { target }) => {
            out.push(LINK);
            write_bytes(target, out);
        }
        Some(Mark::Directory { mode }) => {
            out.push(DIRECTORY);
            out.extend_from_slice(&mode.to_be_bytes());
        }
    }
}

/// Length first. What is written is bounded far below 4 GiB (`record::MAX_BYTES`), so no length is cut.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads what `write` wrote; every length is checked against what is left.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Error::failed("a version's record is damaged: it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut found = [0; N];
        found.copy_from_slice(self.take(N)?);
        Ok(found)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(length as usize)
    }

    pub fn mark(&mut self) -> Result<Option<Mark>> {
        let kind = self.array::<1>()?[0];
        Ok(match kind {
            NONE => None,
            FILE => Some(Mark::File {
                mode: u32::from_be_bytes(self.array()?),
                size: u64::from_be_bytes(self.array()?),
                modified_ns: i64::from_be_bytes(self.array()?),
                hash: self.array()?,
            }),
            LINK => Some(Mark::Link {
                target: self.bytes()?.to_vec(),
            }),
            DIRECTORY => Some(Mark::Directory {
                mode: u32::from_be_bytes(self.array()?),
            }),
            other => {
                let why = format!("a version's record is damaged: no mark {other}");
                return Err(Error::failed(why));
            }
        })
    }
}
