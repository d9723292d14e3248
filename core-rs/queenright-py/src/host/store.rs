//! The store's face. Every call that may touch the disk lets the interpreter go.
use std::path::PathBuf;

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};
use pyo3::{create_exception, import_exception};
use queenright_host::{Error, Record, SqliteStore, Store as Engine};

import_exception!(queenright.errors, Conflict);
import_exception!(queenright.errors, DiskFull);
import_exception!(queenright.errors, Malformed);
import_exception!(queenright.errors, StateTooNew);
import_exception!(queenright.errors, StoreFailed);
create_exception!(
    queenright._core.host,
    Refused,
    PyException,
    "A condition of a submission does not hold: `index` of the record, `reason` in one word. Nothing of it stands."
);

/// The prefix that every key has.
const EVERY: &[u8] = b"";

type Rows<'py> = Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>;

#[pyclass(frozen, module = "queenright._core.host")]
pub struct Store {
    engine: SqliteStore,
}

#[pymethods]
impl Store {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let engine = py
            .detach(|| SqliteStore::open(&path))
            .map_err(|e| to_python(py, e))?;
        Ok(Self { engine })
    }

    fn submit(&self, py: Python<'_>, records: Vec<Bound<'_, PyTuple>>) -> PyResult<(u64, u64)> {
        let records: Vec<Record> = records.iter().map(record).collect::<PyResult<_>>()?;
        let receipt = py
            .detach(|| self.engine.submit(&records))
            .map_err(|e| to_python(py, e))?;
        Ok((receipt.first_leaf, receipt.leaves))
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        table: &str,
        key: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let value = py
            .detach(|| self.engine.get(table, key))
            .map_err(|e| to_python(py, e))?;
        Ok(value.map(|value| PyBytes::new(py, &value)))
    }

    #[pyo3(
        signature = (table, prefix = EVERY, after = None, limit = None),
        text_signature = "($self, table, prefix=b'', after=None, limit=None)"
    )]
    fn scan<'py>(
        &self,
        py: Python<'py>,
        table: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: Option<u64>,
    ) -> PyResult<Rows<'py>> {
        let rows = py
            .detach(|| self.engine.scan(table, prefix, after, limit))
            .map_err(|e| to_python(py, e))?;
        Ok(rows
            .iter()
            .map(|(key, value)| (PyBytes::new(py, key), PyBytes::new(py, value)))
            .collect())
    }

    #[pyo3(signature = (table, prefix = EVERY), text_signature = "($self, table, prefix=b'')")]
    fn count(&self, py: Python<'_>, table: &str, prefix: &[u8]) -> PyResult<u64> {
        py.detach(|| self.engine.count(table, prefix))
            .map_err(|e| to_python(py, e))
    }

    fn leaves<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        limit: u64,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let leaves = py
            .detach(|| self.engine.leaves(start, limit))
            .map_err(|e| to_python(py, e))?;
        Ok(leaves.iter().map(|leaf| PyBytes::new(py, leaf)).collect())
    }

    fn leaf_count(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.engine.leaf_count())
            .map_err(|e| to_python(py, e))
    }

    fn drop_leaves_below(&self, py: Python<'_>, index: u64) -> PyResult<()> {
        py.detach(|| self.engine.drop_leaves_below(index))
            .map_err(|e| to_python(py, e))
    }

    fn backup(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.engine.backup(&path))
            .map_err(|e| to_python(py, e))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.engine.close())
            .map_err(|e| to_python(py, e))
    }
}

fn record(tuple: &Bound<'_, PyTuple>) -> PyResult<Record> {
    let kind: String = text(tuple, 0)?;
    let (record, width) = match kind.as_str() {
        "put" => (
            Record::Put {
                table: text(tuple, 1)?,
                key: bytes(tuple, 2)?,
                value: bytes(tuple, 3)?,
            },
            4,
        ),
        "insert" => (
            Record::Insert {
                table: text(tuple, 1)?,
                key: bytes(tuple, 2)?,
                value: bytes(tuple, 3)?,
            },
            4,
        ),
        "delete" => (
            Record::Delete {
                table: text(tuple, 1)?,
                key: bytes(tuple, 2)?,
            },
            3,
        ),
        "expect" => {
            let value = if part(tuple, 3)?.is_none() {
                None
            } else {
                Some(bytes(tuple, 3)?)
            };
            (
                Record::Expect {
                    table: text(tuple, 1)?,
                    key: bytes(tuple, 2)?,
                    value,
                },
                4,
            )
        }
        "leaf" => (
            Record::Leaf {
                data: bytes(tuple, 1)?,
            },
            2,
        ),
        "spend" => (
            Record::Spend {
                scope: text(tuple, 1)?,
                nonce: bytes(tuple, 2)?,
            },
            3,
        ),
        "count" => {
            let (delta, maximum) = (number(tuple, 3)?.extract()?, number(tuple, 4)?.extract()?);
            (
                Record::Count {
                    table: text(tuple, 1)?,
                    key: bytes(tuple, 2)?,
                    delta,
                    maximum,
                },
                5,
            )
        }
        _ => return Err(Malformed::new_err(format!("a record of kind {kind:?}"))),
    };
    if tuple.len() != width {
        return Err(Malformed::new_err(format!(
            "a {kind} record of {} parts; {width} are needed",
            tuple.len()
        )));
    }
    Ok(record)
}

// A str is not bytes and True is not 1: what is stored is what was meant, or nothing.
fn text(tuple: &Bound<'_, PyTuple>, at: usize) -> PyResult<String> {
    part(tuple, at)?.cast::<PyString>()?.extract()
}

fn bytes(tuple: &Bound<'_, PyTuple>, at: usize) -> PyResult<Vec<u8>> {
    Ok(part(tuple, at)?.cast::<PyBytes>()?.as_bytes().to_vec())
}

fn number<'py>(tuple: &Bound<'py, PyTuple>, at: usize) -> PyResult<Bound<'py, PyInt>> {
    let item = part(tuple, at)?;
    if item.is_instance_of::<pyo3::types::PyBool>() {
        return Err(PyTypeError::new_err("a bool where a count is needed"));
    }
    Ok(item.cast_into::<PyInt>()?)
}

fn part<'py>(tuple: &Bound<'py, PyTuple>, at: usize) -> PyResult<Bound<'py, PyAny>> {
    tuple
        .get_item(at)
        .map_err(|_| Malformed::new_err(format!("a record of {} parts is too short", tuple.len())))
}

fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Refused { index, reason } => {
            let raised = Refused::new_err(message);
            let facts = raised.value(py);
            match facts
                .setattr("index", index)
                .and_then(|()| facts.setattr("reason", reason))
            {
                Ok(()) => raised,
                Err(broken) => broken,
            }
        }
        Error::Malformed(_) => Malformed::new_err(message),
        Error::InUse(_) => hinted::<Conflict>(
            py,
            message,
            "stop it with `queenright down`, or choose another --state",
        ),
        Error::TooNew { .. } => hinted::<StateTooNew>(
            py,
            message,
            "run the newer version, or restore a backup made before the upgrade",
        ),
        Error::Full(_) => hinted::<DiskFull>(
            py,
            message,
            "free some space; what was refused was not half done",
        ),
        Error::Failed(_) => hinted::<StoreFailed>(
            py,
            message,
            "check the disk, then start the supervisor again",
        ),
        Error::Library(_) | Error::Broken(_) | Error::Io(_) | Error::Closed => {
            StoreFailed::new_err(message)
        }
    }
}

fn hinted<E: pyo3::PyTypeInfo>(py: Python<'_>, message: String, hint: &str) -> PyErr {
    let facts = PyDict::new(py);
    let built = facts
        .set_item("hint", hint)
        .and_then(|()| py.get_type::<E>().call((message,), Some(&facts)));
    built.map_or_else(|broken| broken, PyErr::from_value)
}
