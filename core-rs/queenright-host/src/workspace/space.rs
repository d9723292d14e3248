//! One agent's workspace: bringing it up to its newest version, and making the next one.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::FlockOperation;

use super::apply::{Apply, require_one_filesystem};
use super::beneath::{Cursor, check_path};
use super::blobs::Blobs;
use super::change::Change;
use super::error::{Doing, Error, Kind, Result};
use super::live;
use super::log::{self, Log};
use super::mark::{Hash, Mark, file_mode};
use super::record::{Cause, Header, Record};
use super::stager::{self, Stager};
use super::{expect, upper};

/// Versions of one workspace that can be shown and gone back to; past it the oldest go, a batch at a time.
pub const KEPT: u64 = 1_000;
const BATCH: u64 = 100;

/// The most a workspace may hold: entries of any kind, bytes of contents.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub bytes: u64,
    pub files: u64,
}

/// For whom and when a version is made.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    pub act: [u8; 32],
    pub intent: [u8; 32],
    pub at_ms: u64,
}

/// What came of an action. `version` is the one before when nothing changed.
#[derive(Debug)]
pub struct Committed {
    pub version: u64,
    pub digest: Hash,
    pub changes: Vec<Change>,
    pub left_out: Vec<(Vec<u8>, &'static str)>,
    pub left_out_count: usize,
}

/// Called between any two steps that reach the disk, with the name of the one just done.
pub type Between = Box<dyn FnMut(&'static str) + Send>;

/// Held by one process at a time.
pub struct Space {
    agent: [u8; 32],
    pub(super) log: Log,
    pub(super) live: OwnedFd,
    pub(super) blobs: Blobs,
    store: OwnedFd,
    boot: String,
    between: Between,
}

impl Space {
    /// `store`: the directory of versions and contents. `live`: the workspace. `boot`: the machine's boot id.
    pub fn open(store: OwnedFd, agent: [u8; 32], live: OwnedFd, boot: &str) -> Result<Self> {
        let log = Log::open(store.as_fd(), &agent)?;
        require_one_filesystem(live.as_fd(), log.stage.as_fd())?;
        Ok(Self {
            agent,
            blobs: Blobs::open(store.as_fd())?,
            log,
            live,
            store,
            boot: boot.to_owned(),
            between: Box::new(|_| {}),
        })
    }

    /// Has `between` called between any two steps: how a test ends the process at each of them.
    pub fn watched(mut self, between: Between) -> Self {
        self.between = between;
        self
    }

    pub(super) fn store(&self) -> &OwnedFd {
        &self.store
    }

    /// The number of the newest version; 0 when there is none.
    pub fn head(&self) -> Result<u64> {
        let known = match self.log.applied()? {
            Some(applied) => applied.number,
            None => self.log.numbers()?.last().copied().unwrap_or(0),
        };
        self.log.head(known)
    }

    /// Brings the workspace's directory to its newest version. Everything else does this first.
    pub fn settle(&mut self) -> Result<u64> {
        stager::clear(&self.log.stage)?;
        let (head, applied) = (self.head()?, self.log.applied()?);
        let first = match applied {
            Some(applied) if applied.boot == self.boot && applied.number == head => {
                return Ok(head);
            }
            Some(applied) if applied.boot == self.boot => applied.number + 1,
            // The machine was started since: what was written and not synced may be lost.
            _ => self.log.numbers()?.first().copied().unwrap_or(head + 1),
        };
        for number in first..=head {
            let record = self.log.record(number)?;
            self.apply(&record.changes)?;
        }
        if head > 0 {
            self.log.set_applied(head, &self.boot)?;
        }
        Ok(head)
    }

    /// Commits what an action left in the upper layer of its overlay.
    pub fn commit_upper(
        &mut self,
        upper: BorrowedFd<'_>,
        meta: &Meta,
        quota: &Quota,
    ) -> Result<Committed> {
        self.settle()?;
        let _using = log::lock(self.store.as_fd(), FlockOperation::LockShared)?;
        let mut stager = Stager::new(&self.blobs, self.log.stage.as_fd());
        let found = upper::scan(upper, self.live.as_fd(), &mut stager)?;
        let totals = self.totals(&found.changes)?;
        check_quota(totals, quota)?;
        stager.finish(&mut self.between)?;
        let mut done = self.commit(found.changes, meta, Cause::Act, totals)?;
        done.left_out = found.left_out;
        done.left_out_count = found.left_out_count;
        Ok(done)
    }

    /// Commits one file, written whole, with the directories it needs. The caller has checked what it replaces.
    pub fn commit_file(
        &mut self,
        path: &[u8],
        data: &[u8],
        mode: u32,
        meta: &Meta,
        quota: &Quota,
    ) -> Result<Committed> {
        self.settle()?;
        check_path(path)?;
        let _using = log::lock(self.store.as_fd(), FlockOperation::LockShared)?;
        let mut stager = Stager::new(&self.blobs, self.log.stage.as_fd());
        let mut changes = Vec::new();
        let mut place = Cursor::new(self.live.as_fd());
        for end in (0..path.len()).filter(|at| path[*at] == b'/') {
            match live::mark_at(&mut place, &path[..end])? {
                Some(Mark::Directory { .. }) => {}
                None => changes.push(Change {
                    path: path[..end].to_vec(),
                    before: None,
                    after: Some(Mark::Directory { mode: 0o755 }),
                }),
                Some(_) => {
                    let what = super::error::shown(&path[..end]);
                    return Err(Error::malformed(format!("{what} is no directory")));
                }
            }
        }
        let (parent, name) = super::change::split(path);
        let before = match live::parent_of(&mut place, parent)? {
            Some(at) => live::mark(at.as_fd(), name, Some(&mut stager))?,
            None => None,
        };
        if before.as_ref().is_some_and(Mark::is_directory) {
            let what = super::error::shown(path);
            return Err(Error::malformed(format!("{what} is a directory")));
        }
        let (hash, size) = stager.put_bytes(data)?;
        changes.push(Change {
            path: path.to_vec(),
            before,
            after: Some(Mark::File {
                mode: file_mode(mode),
                size,
                modified_ns: i64::try_from(meta.at_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000),
                hash,
            }),
        });
        let totals = self.totals(&changes)?;
        check_quota(totals, quota)?;
        stager.finish(&mut self.between)?;
        self.commit(changes, meta, Cause::Act, totals)
    }

    /// Puts back what one version changed, as a new version. Raises `Conflict` for a path changed since.
    pub fn undo(&mut self, number: u64, meta: &Meta) -> Result<Committed> {
        let changes = self.would_undo(number)?;
        let totals = self.totals(&changes)?;
        self.commit(changes, meta, Cause::Undo(number), totals)
    }

    /// What `undo` would change. Raises `Conflict` as it would.
    pub fn would_undo(&mut self, number: u64) -> Result<Vec<Change>> {
        let head = self.settle()?;
        let wishes = expect::inverse(&self.log, number)?;
        let mut place = Cursor::new(self.live.as_fd());
        expect::changes(&self.log, &mut place, wishes, number, head)
    }

    /// Puts the state of an earlier version back, as a new version.
    pub fn restore(&mut self, number: u64, meta: &Meta) -> Result<Committed> {
        let changes = self.would_restore(number)?;
        let totals = self.totals(&changes)?;
        self.commit(changes, meta, Cause::Restore(number), totals)
    }

    /// What `restore` would change. Raises `Unknown` for a version whose successors are no longer all kept.
    pub fn would_restore(&mut self, number: u64) -> Result<Vec<Change>> {
        let head = self.settle()?;
        if number > head {
            let why = format!("version {number} is not made yet: the newest is {head}");
            return Err(Error::new(Kind::Unknown, why));
        }
        let wishes = expect::back_to(&self.log, number, head)?;
        let mut place = Cursor::new(self.live.as_fd());
        expect::changes(&self.log, &mut place, wishes, head, head)
    }

    /// What the workspace holds after `changes`: (files, bytes).
    pub(super) fn totals(&self, changes: &[Change]) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = match self.head()? {
            0 => self.measure()?,
            head => {
                let header = self.log.header(head)?;
                (header.files, header.bytes)
            }
        };
        for change in changes {
            if let Some(before) = &change.before {
                files = files.saturating_sub(1);
                bytes = bytes.saturating_sub(before.size());
            }
            if let Some(after) = &change.after {
                files += 1;
                bytes = bytes.saturating_add(after.size());
            }
        }
        Ok((files, bytes))
    }

    /// What lay in the workspace before its first version.
    fn measure(&self) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        live::below(self.live.as_fd(), b"", usize::MAX, |_, _, _, found| {
            files += 1;
            if super::beneath::file_type(found) != rustix::fs::FileType::Directory {
                bytes += found.st_size.unsigned_abs();
            }
            Ok(())
        })?;
        Ok((files, bytes))
    }

    pub(super) fn commit(
        &mut self,
        changes: Vec<Change>,
        meta: &Meta,
        cause: Cause,
        totals: (u64, u64),
    ) -> Result<Committed> {
        if changes.is_empty() {
            let head = self.head()?;
            return Ok(Committed::nothing(head, self.digest_at(head)?));
        }
        let record = self.record(changes, meta, cause, totals)?;
        let number = record.header.number;
        let digest = self.log.stage_record(&record)?;
        (self.between)("the record on the disk");
        self.log.name_record(number)?;
        (self.between)("the record named");
        self.apply(&record.changes)?;
        self.log.set_applied(number, &self.boot)?;
        (self.between)("the applied version marked");
        self.drop_old(number)?;
        Ok(Committed {
            version: number,
            digest,
            changes: record.changes,
            left_out: Vec::new(),
            left_out_count: 0,
        })
    }

    /// The next version as it would be kept.
    pub(super) fn record(
        &self,
        changes: Vec<Change>,
        meta: &Meta,
        cause: Cause,
        (files, bytes): (u64, u64),
    ) -> Result<Record> {
        let head = self.head()?;
        let count = |kind| {
            let many = changes.iter().filter(|c| c.kind() == kind).count();
            u32::try_from(many).unwrap_or(u32::MAX)
        };
        let header = Header {
            number: head + 1,
            at_ms: meta.at_ms,
            agent: self.agent,
            act: meta.act,
            intent: meta.intent,
            parent: self.digest_at(head)?,
            cause,
            files,
            bytes,
            added: count("added"),
            modified: count("modified"),
            deleted: count("deleted"),
        };
        Ok(Record { header, changes })
    }

    fn apply(&mut self, changes: &[Change]) -> Result<()> {
        Apply::new(self.live.as_fd(), self.log.stage.as_fd(), &self.blobs)?
            .all(changes, &mut self.between)
    }

    /// A dropped version cannot be applied again, so what it did must be on the disk first.
    fn drop_old(&self, head: u64) -> Result<()> {
        if !head.is_multiple_of(BATCH) || head <= KEPT {
            return Ok(());
        }
        rustix::fs::syncfs(&self.live).doing(|| "sync the workspace".into())?;
        for number in self.log.numbers()? {
            if number + KEPT <= head {
                self.log.drop_record(number)?;
            }
        }
        Ok(())
    }
}

impl Committed {
    fn nothing(version: u64, digest: Hash) -> Self {
        Self {
            version,
            digest,
            changes: Vec::new(),
            left_out: Vec::new(),
            left_out_count: 0,
        }
    }
}

pub(super) fn check_quota((files, bytes): (u64, u64), quota: &Quota) -> Result<()> {
    if files <= quota.files && bytes <= quota.bytes {
        return Ok(());
    }
    let why = format!(
        "over the workspace's quota: it would hold {bytes} of {} bytes and {files} of {} files: nothing of the action was kept",
        quota.bytes, quota.files
    );
    Err(Error::new(Kind::Quota, why).hint("remove files first"))
}
