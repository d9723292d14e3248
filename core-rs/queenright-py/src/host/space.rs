//! A workspace's versions, for the executors that make them and look at them.
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use queenright_host::workspace::{
    self, Cause, Change, Committed, Error, Header, Kind, Mark, Meta, Proposal, Quota,
};
use queenright_sandbox::sys;

pyo3::import_exception!(queenright.errors, Conflict);
pyo3::import_exception!(queenright.errors, Malformed);
pyo3::import_exception!(queenright.errors, StoreFailed);
pyo3::import_exception!(queenright.errors, Unknown);
pyo3::import_exception!(queenright.errors, WorkspaceFull);

fn refused(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind {
        Kind::Quota => py.get_type::<WorkspaceFull>(),
        Kind::Conflict => py.get_type::<Conflict>(),
        Kind::Malformed => py.get_type::<Malformed>(),
        Kind::Unknown => py.get_type::<Unknown>(),
        Kind::Failed => py.get_type::<StoreFailed>(),
    };
    let facts = PyDict::new(py);
    let built = facts
        .set_item("hint", error.hint)
        .and_then(|()| class.call((&error.message,), Some(&facts)));
    match built {
        Ok(value) => PyErr::from_value(value),
        Err(broken) => broken,
    }
}

fn descriptor(number: usize) -> PyResult<OwnedFd> {
    sys::held(number)
        .map_err(|error| Malformed::new_err(format!("descriptor {number} cannot be used: {error}")))
}

fn id(what: &str, bytes: &[u8]) -> PyResult<[u8; 32]> {
    <[u8; 32]>::try_from(bytes)
        .map_err(|_| Malformed::new_err(format!("{what} has 32 bytes, not {}", bytes.len())))
}

/// (name, kind, mode, size)
type Listed<'py> = (Bound<'py, PyBytes>, &'static str, u32, u64);

/// One agent's workspace: `store` and `live` are numbers of directory descriptors (of versions and contents, and of the
/// workspace itself), `boot` the machine's boot id. Holds the workspace until it is closed.
#[pyclass(frozen)]
pub struct Space(Mutex<Option<workspace::Space>>);

impl Space {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut workspace::Space) -> workspace::Result<T> + Send,
    ) -> PyResult<T> {
        let done = py.detach(|| match self.0.lock() {
            Ok(mut space) => match space.as_mut() {
                Some(space) => call(space),
                None => Err(Error::new(Kind::Conflict, "this workspace was closed")),
            },
            Err(_) => Err(Error::failed("an earlier call on this workspace crashed")),
        });
        done.map_err(|error| refused(py, &error))
    }
}

#[pymethods]
impl Space {
    /// Raises StoreFailed where the directories cannot be used. Waits for another process that holds the workspace.
    #[new]
    fn open(py: Python<'_>, store: usize, agent: &[u8], live: usize, boot: &str) -> PyResult<Self> {
        let (agent, store, live) = (
            id("an agent's id", agent)?,
            descriptor(store)?,
            descriptor(live)?,
        );
        py.detach(|| workspace::Space::open(store, agent, live, boot))
            .map(|space| Self(Mutex::new(Some(space))))
            .map_err(|error| refused(py, &error))
    }

    /// Let go of the workspace. Harmless when it was done before.
    fn close(&self) {
        if let Ok(mut space) = self.0.lock() {
            *space = None;
        }
    }

    /// Bring the workspace to its newest version; its number.
    fn settle(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, workspace::Space::settle)
    }

    /// The newest version's number, 0 for none.
    fn head(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |space| space.head())
    }

    /// Commit what an action left in `upper`, the directory of its overlay's upper layer.
    ///
    /// Returns {"version", "digest", "changes", "left_out", "left_out_count"}. Raises WorkspaceFull past the quota,
    /// Malformed for what no version may hold; nothing was kept then.
    #[allow(clippy::too_many_arguments)]
    fn commit_upper<'py>(
        &self,
        py: Python<'py>,
        upper: usize,
        act: &[u8],
        intent: &[u8],
        at_ms: u64,
        max_bytes: u64,
        max_files: u64,
        listed: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (upper, meta) = (descriptor(upper)?, meta(act, intent, at_ms)?);
        let quota = quota(max_bytes, max_files);
        let done = self.with(py, |space| space.commit_upper(upper.as_fd(), &meta, &quota))?;
        committed(py, &done, listed)
    }

    /// Keep what an action left in `upper` as a proposal of `act`, with `note`; nothing of the workspace changes.
    ///
    /// Returns what `proposal` does. Raises WorkspaceFull past the quota, Malformed for what no version may hold.
    #[allow(clippy::too_many_arguments)]
    fn propose_upper<'py>(
        &self,
        py: Python<'py>,
        upper: usize,
        act: &[u8],
        intent: &[u8],
        at_ms: u64,
        max_bytes: u64,
        max_files: u64,
        note: &[u8],
        listed: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (upper, meta) = (descriptor(upper)?, meta(act, intent, at_ms)?);
        let quota = quota(max_bytes, max_files);
        let made = self.with(py, |space| {
            space.propose_upper(upper.as_fd(), &meta, &quota, note)
        })?;
        proposed(py, &made, listed)
    }

    /// What is proposed for an act, or None: {"digest", "base", "note", "changes" (at most `listed`), "changed",
    /// "left_out"}. `base`: the version it was made over.
    fn proposal<'py>(
        &self,
        py: Python<'py>,
        act: &[u8],
        listed: usize,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let act = id("an act's id", act)?;
        let found = self.with(py, |space| space.proposal(&act))?;
        found.map(|found| proposed(py, &found, listed)).transpose()
    }

    /// (before, after) of a path that an act's proposal changes, at most `most` bytes of each; None where there is no file.
    /// Raises Unknown.
    #[allow(clippy::type_complexity)]
    fn proposed_contents<'py>(
        &self,
        py: Python<'py>,
        act: &[u8],
        path: &[u8],
        most: u64,
    ) -> PyResult<(Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>)> {
        let act = id("an act's id", act)?;
        let found = self.with(py, |space| space.proposed_contents(&act, path, most))?;
        let bytes = |data: Option<Vec<u8>>| data.map(|data| PyBytes::new(py, &data));
        Ok((bytes(found.before), bytes(found.after)))
    }

    /// Make the proposal with this digest the next version. As `commit_upper`; raises Unknown when it is not kept, Conflict
    /// when the workspace is no longer what it was made over.
    fn commit_proposal<'py>(
        &self,
        py: Python<'py>,
        act: &[u8],
        digest: &[u8],
        max_bytes: u64,
        max_files: u64,
        listed: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (act, digest) = (id("an act's id", act)?, id("a proposal's digest", digest)?);
        let quota = quota(max_bytes, max_files);
        let done = self.with(py, |space| space.commit_proposal(&act, &digest, &quota))?;
        committed(py, &done, listed)
    }

    /// Drop what is proposed for an act. None there is no error.
    fn drop_proposal(&self, py: Python<'_>, act: &[u8]) -> PyResult<()> {
        let act = id("an act's id", act)?;
        self.with(py, |space| space.drop_proposal(&act))
    }

    /// Drop what was proposed before `before_ms` for any act but these; how many.
    fn drop_proposals(
        &self,
        py: Python<'_>,
        keep: Vec<Vec<u8>>,
        before_ms: u64,
    ) -> PyResult<usize> {
        let keep: Vec<[u8; 32]> = keep
            .iter()
            .map(|act| id("an act's id", act))
            .collect::<PyResult<_>>()?;
        self.with(py, |space| space.drop_proposals(&keep, before_ms))
    }

    /// Commit one file, written whole, with the directories it needs. As `commit_upper`.
    #[allow(clippy::too_many_arguments)]
    fn commit_file<'py>(
        &self,
        py: Python<'py>,
        path: &[u8],
        data: &[u8],
        mode: u32,
        act: &[u8],
        intent: &[u8],
        at_ms: u64,
        max_bytes: u64,
        max_files: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (meta, quota) = (meta(act, intent, at_ms)?, quota(max_bytes, max_files));
        let done = self.with(py, |space| {
            space.commit_file(path, data, mode, &meta, &quota)
        })?;
        committed(py, &done, usize::MAX)
    }

    /// Put back what a version changed, as a new version. Raises Conflict for what was changed since.
    fn undo<'py>(
        &self,
        py: Python<'py>,
        version: u64,
        act: &[u8],
        intent: &[u8],
        at_ms: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let meta = meta(act, intent, at_ms)?;
        let done = self.with(py, |space| space.undo(version, &meta))?;
        committed(py, &done, 0)
    }

    /// Put the state of a version back, as a new version. Raises Conflict, Unknown.
    fn restore<'py>(
        &self,
        py: Python<'py>,
        version: u64,
        act: &[u8],
        intent: &[u8],
        at_ms: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let meta = meta(act, intent, at_ms)?;
        let done = self.with(py, |space| space.restore(version, &meta))?;
        committed(py, &done, 0)
    }

    /// What `undo` would change: at most `most` rows, and how many there are. Raises as it would.
    fn would_undo<'py>(
        &self,
        py: Python<'py>,
        version: u64,
        most: usize,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, usize)> {
        let changes = self.with(py, |space| space.would_undo(version))?;
        Ok((rows(py, &changes, most)?, changes.len()))
    }

    /// What `restore` would change: at most `most` rows, and how many there are. Raises as it would.
    fn would_restore<'py>(
        &self,
        py: Python<'py>,
        version: u64,
        most: usize,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, usize)> {
        let changes = self.with(py, |space| space.would_restore(version))?;
        Ok((rows(py, &changes, most)?, changes.len()))
    }

    /// What a version changed: at most `most` rows, and how many there are.
    fn changes<'py>(
        &self,
        py: Python<'py>,
        version: u64,
        most: usize,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, usize)> {
        let changes = self.with(py, |space| space.changes(version))?;
        Ok((rows(py, &changes, most)?, changes.len()))
    }

    /// The newest `most` versions, newest first.
    fn log<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let found = self.with(py, |space| space.log(most))?;
        found.iter().map(|header| version(py, header)).collect()
    }

    /// The version that an act made, or None.
    fn version_of(&self, py: Python<'_>, act: &[u8]) -> PyResult<Option<u64>> {
        let act = id("an act's id", act)?;
        self.with(py, |space| space.version_of(&act))
    }

    /// ([(name, kind, mode, size)] of a directory at a version, whether there are more).
    fn list<'py>(
        &self,
        py: Python<'py>,
        path: &[u8],
        version: u64,
        most: usize,
    ) -> PyResult<(Vec<Listed<'py>>, bool)> {
        let found = self.with(py, |space| space.list(path, version, most))?;
        let row = |entry: &workspace::Entry| {
            (
                PyBytes::new(py, &entry.name),
                entry.kind,
                entry.mode,
                entry.size,
            )
        };
        Ok((found.entries.iter().map(row).collect(), found.cut))
    }

    /// A file's content at a version, at most `most` bytes.
    fn read<'py>(
        &self,
        py: Python<'py>,
        path: &[u8],
        version: u64,
        most: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let data = self.with(py, |space| space.read(path, version, most))?;
        Ok(PyBytes::new(py, &data))
    }
}

fn meta(act: &[u8], intent: &[u8], at_ms: u64) -> PyResult<Meta> {
    Ok(Meta {
        act: id("an act's id", act)?,
        intent: id("an intent's id", intent)?,
        at_ms,
    })
}

fn quota(bytes: u64, files: u64) -> Quota {
    Quota { bytes, files }
}

fn committed<'py>(
    py: Python<'py>,
    done: &Committed,
    listed: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let left_out: Vec<(Bound<'py, PyBytes>, &str)> = done
        .left_out
        .iter()
        .map(|(path, kind)| (PyBytes::new(py, path), *kind))
        .collect();
    let facts = PyDict::new(py);
    facts.set_item("version", done.version)?;
    facts.set_item("digest", PyBytes::new(py, &done.digest))?;
    facts.set_item("changes", rows(py, &done.changes, listed)?)?;
    facts.set_item("changed", done.changes.len())?;
    facts.set_item("left_out", left_out)?;
    facts.set_item("left_out_count", done.left_out_count)?;
    Ok(facts)
}

fn proposed<'py>(py: Python<'py>, found: &Proposal, listed: usize) -> PyResult<Bound<'py, PyDict>> {
    let left_out: Vec<(Bound<'py, PyBytes>, &str)> = found
        .left_out
        .iter()
        .map(|(path, kind)| (PyBytes::new(py, path), kind.as_str()))
        .collect();
    let facts = PyDict::new(py);
    facts.set_item("digest", PyBytes::new(py, &found.digest))?;
    facts.set_item("base", found.base())?;
    facts.set_item("note", PyBytes::new(py, &found.note))?;
    facts.set_item("changes", rows(py, &found.record.changes, listed)?)?;
    facts.set_item("changed", found.record.changes.len())?;
    facts.set_item("left_out", left_out)?;
    Ok(facts)
}

/// (path, "added" | "modified" | "deleted", before, after); before and after are None or (kind, mode, size, target).
fn rows<'py>(
    py: Python<'py>,
    changes: &[Change],
    most: usize,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let row = |change: &Change| {
        let before = change.before.as_ref().map(|mark| shown(py, mark));
        let after = change.after.as_ref().map(|mark| shown(py, mark));
        (PyBytes::new(py, &change.path), change.kind(), before, after).into_pyobject(py)
    };
    changes.iter().take(most).map(row).collect()
}

fn shown<'py>(py: Python<'py>, mark: &Mark) -> (&'static str, u32, u64, Bound<'py, PyBytes>) {
    let (mode, target) = match mark {
        Mark::File { mode, .. } | Mark::Directory { mode } => (*mode, &[][..]),
        Mark::Link { target } => (0o777, target.as_slice()),
    };
    (mark.kind(), mode, mark.size(), PyBytes::new(py, target))
}

fn version<'py>(py: Python<'py>, header: &Header) -> PyResult<Bound<'py, PyDict>> {
    let (cause, of) = match header.cause {
        Cause::Act => ("act", 0),
        Cause::Undo(of) => ("undo", of),
        Cause::Restore(of) => ("restore", of),
    };
    let facts = PyDict::new(py);
    facts.set_item("version", header.number)?;
    facts.set_item("at_ms", header.at_ms)?;
    facts.set_item("act", PyBytes::new(py, &header.act))?;
    facts.set_item("intent", PyBytes::new(py, &header.intent))?;
    facts.set_item("cause", cause)?;
    facts.set_item("of", of)?;
    facts.set_item("files", header.files)?;
    facts.set_item("bytes", header.bytes)?;
    facts.set_item("added", header.added)?;
    facts.set_item("modified", header.modified)?;
    facts.set_item("deleted", header.deleted)?;
    Ok(facts)
}

/// Remove every content that no version refers to: (contents, bytes). Raises Conflict while an action is committed.
#[pyfunction]
pub fn collect_contents(py: Python<'_>, store: usize) -> PyResult<(u64, u64)> {
    let store = descriptor(store)?;
    py.detach(|| workspace::collect(store.as_fd()))
        .map(|done| (done.contents, done.bytes))
        .map_err(|error| refused(py, &error))
}

/// Remove an agent's versions. Their contents go with the next `collect_contents`.
#[pyfunction]
pub fn forget_versions(py: Python<'_>, store: usize, agent: &[u8]) -> PyResult<()> {
    let (store, agent) = (descriptor(store)?, id("an agent's id", agent)?);
    py.detach(|| workspace::forget(store.as_fd(), &agent))
        .map_err(|error| refused(py, &error))
}
