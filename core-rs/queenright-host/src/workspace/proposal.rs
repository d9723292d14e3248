//! What a command would change, kept until a person has decided: the record of a version that is not one yet.
//!
//! `proposals/<act>` holds it, its contents already in the store. Committing it is an ordinary commit, onto exactly the
//! version it was made over; anything else leaves the workspace as it is.
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FlockOperation;

use super::beneath::Cursor;
use super::error::{Error, Kind, Result};
use super::expect::{self, Wish};
use super::log::{self, hex};
use super::mark::{self, Hash, Mark, Reader};
use super::record::{Cause, Record, digest_of};
use super::space::{Committed, Meta, Quota, Space, check_quota};
use super::stager::Stager;
use super::upper;

const MAGIC: &[u8; 8] = b"qr-pr\0\0\x01";
/// Bytes that are kept beside the changes for whoever reads them again.
pub const MAX_NOTE: usize = 1 << 20;

/// A version that would be made. `digest` names all of it.
#[derive(Debug)]
pub struct Proposal {
    pub digest: Hash,
    pub note: Vec<u8>,
    pub left_out: Vec<(Vec<u8>, String)>,
    pub record: Record,
}

/// What a file holds, at most as much as was asked for; None where there is no file.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

impl Proposal {
    /// The version it was made over.
    pub fn base(&self) -> u64 {
        self.record.header.number.saturating_sub(1)
    }

    fn encode(
        note: &[u8],
        left_out: &[(Vec<u8>, &'static str)],
        record: &Record,
    ) -> Result<Vec<u8>> {
        if note.len() > MAX_NOTE {
            return Err(Error::malformed(format!(
                "a note of {} bytes is over the limit of {MAX_NOTE}",
                note.len()
            )));
        }
        let mut out = MAGIC.to_vec();
        mark::write_bytes(note, &mut out);
        mark::write_bytes(&record.encode()?, &mut out);
        for (path, kind) in left_out {
            mark::write_bytes(path, &mut out);
            mark::write_bytes(kind.as_bytes(), &mut out);
        }
        let digest = *blake3::hash(&out).as_bytes();
        out.extend_from_slice(&digest);
        Ok(out)
    }

    /// Refuses bytes that are not exactly what `encode` wrote.
    fn decode(data: &[u8]) -> Result<Self> {
        let damaged = || Error::failed("a proposed version's file is damaged");
        let (body, digest) = data.split_last_chunk::<32>().ok_or_else(damaged)?;
        if blake3::hash(body).as_bytes() != digest {
            return Err(damaged());
        }
        let mut reader = Reader(body);
        if reader.array::<8>()? != *MAGIC {
            return Err(damaged());
        }
        let note = reader.bytes()?.to_vec();
        let record = Record::decode(reader.bytes()?)?;
        let mut left_out = Vec::new();
        while !reader.0.is_empty() {
            let path = reader.bytes()?.to_vec();
            let kind = String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| damaged())?;
            left_out.push((path, kind));
        }
        Ok(Self {
            digest: *digest,
            note,
            left_out,
            record,
        })
    }
}

impl Space {
    /// Keeps what an action left in the upper layer of its overlay as a proposal of `meta.act`, durably; the workspace
    /// stays at its version. It replaces an earlier one of the same act.
    pub fn propose_upper(
        &mut self,
        upper: BorrowedFd<'_>,
        meta: &Meta,
        quota: &Quota,
        note: &[u8],
    ) -> Result<Proposal> {
        self.settle()?;
        let _using = log::lock(self.store().as_fd(), FlockOperation::LockShared)?;
        let mut stager = Stager::new(&self.blobs, self.log.stage.as_fd());
        let found = upper::scan(upper, self.live.as_fd(), &mut stager)?;
        let totals = self.totals(&found.changes)?;
        check_quota(totals, quota)?;
        stager.finish(|_| {})?;
        let record = self.record(found.changes, meta, Cause::Act, totals)?;
        let encoded = Proposal::encode(note, &found.left_out, &record)?;
        self.log.keep_proposal(&meta.act, &encoded)?;
        Proposal::decode(&encoded)
    }

    /// What is proposed for an act, if anything is.
    pub fn proposal(&self, act: &[u8; 32]) -> Result<Option<Proposal>> {
        match self.log.proposal(act)? {
            Some(data) => Proposal::decode(&data).map(Some),
            None => Ok(None),
        }
    }

    /// A path that an act's proposal changes, before and after.
    pub fn proposed_contents(&self, act: &[u8; 32], path: &[u8], most: u64) -> Result<Contents> {
        let unknown = || Error::new(Kind::Unknown, "what was proposed is no longer kept");
        let record = self.proposal(act)?.ok_or_else(unknown)?.record;
        let change = record.changes.into_iter().find(|one| one.path == path);
        let change = change.ok_or_else(unknown)?;
        let read = |mark: Option<Mark>| match mark {
            Some(Mark::File { hash, .. }) => self.blobs.read(&hash, most).map(Some),
            _ => Ok(None),
        };
        Ok(Contents {
            before: read(change.before)?,
            after: read(change.after)?,
        })
    }

    /// Makes the proposal with this digest the next version. Raises `Unknown` when it is not kept, `Conflict` when the
    /// workspace is no longer at the version it was made over.
    pub fn commit_proposal(
        &mut self,
        act: &[u8; 32],
        digest: &Hash,
        quota: &Quota,
    ) -> Result<Committed> {
        let head = self.settle()?;
        let Some(proposal) = self.proposal(act)?.filter(|found| found.digest == *digest) else {
            return Err(
                Error::new(Kind::Unknown, "what was proposed is no longer kept")
                    .hint("run the command again"),
            );
        };
        if proposal.base() != head || proposal.record.header.parent != self.digest_at(head)? {
            let why = format!(
                "proposed over version {}; the workspace is at version {head}",
                proposal.base()
            );
            return Err(Error::new(Kind::Conflict, why).hint("run the command again"));
        }
        let header = proposal.record.header;
        let wishes = proposal.record.changes.into_iter().map(|change| {
            let (expected, wanted) = (change.before, change.after);
            (change.path, Wish { expected, wanted })
        });
        let mut place = Cursor::new(self.live.as_fd());
        let changes = expect::changes(&self.log, &mut place, wishes.collect(), head, head)?;
        let totals = self.totals(&changes)?;
        check_quota(totals, quota)?;
        let meta = Meta {
            act: header.act,
            intent: header.intent,
            at_ms: header.at_ms,
        };
        let mut done = self.commit(changes, &meta, Cause::Act, totals)?;
        self.log.drop_proposal(act)?;
        done.left_out_count = proposal.left_out.len();
        Ok(done)
    }

    /// Drops the proposal of one act; none there is no error.
    pub fn drop_proposal(&self, act: &[u8; 32]) -> Result<()> {
        self.log.drop_proposal(act)
    }

    /// Drops what was proposed before `before_ms` for any other act than these; how many.
    pub fn drop_proposals(&self, keep: &[[u8; 32]], before_ms: u64) -> Result<usize> {
        let kept: Vec<String> = keep.iter().map(hex).collect();
        let mut dropped = 0;
        for act in self.log.proposals()? {
            if kept.contains(&hex(&act)) {
                continue;
            }
            // A damaged one can be neither read nor committed.
            let old = match self.proposal(&act) {
                Ok(Some(found)) => found.record.header.at_ms < before_ms,
                Ok(None) => false,
                Err(_) => true,
            };
            if old {
                self.log.drop_proposal(&act)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// The digest of a version's record; zeros before the first.
    pub(super) fn digest_at(&self, version: u64) -> Result<Hash> {
        match version {
            0 => Ok([0; 32]),
            number => Ok(digest_of(&self.log.encoded(number)?)),
        }
    }
}

/// The version that a proposal's file would make: what keeps its contents from being collected.
pub fn record_in(data: &[u8]) -> Result<Record> {
    Proposal::decode(data).map(|found| found.record)
}
