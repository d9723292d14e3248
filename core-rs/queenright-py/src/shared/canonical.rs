//! Python objects to canonical bytes and back, without a tree in between.
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use queenright_core::canonical::{Build, Writer, decode as core_decode};
use queenright_core::error::{Error, Result as CoreResult};

use crate::error::{Mapped, to_python};

#[pyfunction]
pub fn canonical<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Writer::new();
    write(value, &mut out)?;
    Ok(PyBytes::new(py, &out.finish().mapped()?))
}

#[pyfunction]
pub fn decode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    core_decode(data, &mut Objects { py }).map_err(|Failure(error)| error)
}

fn write(value: &Bound<'_, PyAny>, out: &mut Writer) -> PyResult<()> {
    if value.is_none() {
        out.nil().mapped()
    } else if let Ok(value) = value.cast::<PyBool>() {
        out.boolean(value.is_true()).mapped()
    } else if let Ok(value) = value.cast::<PyString>() {
        out.text(&text(value)?).mapped()
    } else if let Ok(value) = value.cast::<PyBytes>() {
        out.bytes(value.as_bytes()).mapped()
    } else if let Ok(value) = value.cast::<PyInt>() {
        write_int(value, out).mapped()
    } else if let Ok(value) = value.cast::<PyFloat>() {
        out.float(value.value()).mapped()
    } else if let Ok(value) = value.cast::<PyDict>() {
        write_map(value, out)
    } else if let Ok(value) = value.cast::<PyList>() {
        out.open_array(value.len()).mapped()?;
        value.iter().try_for_each(|item| write(&item, out))?;
        out.close().mapped()
    } else if let Ok(value) = value.cast::<PyTuple>() {
        out.open_array(value.len()).mapped()?;
        value.iter().try_for_each(|item| write(&item, out))?;
        out.close().mapped()
    } else {
        Err(Error::malformed(format!(
            "a {} has no canonical form",
            value.get_type().name()?
        )))
        .mapped()
    }
}

pub fn write_int(value: &Bound<'_, PyInt>, out: &mut Writer) -> CoreResult<()> {
    if let Ok(small) = value.extract::<i64>() {
        out.signed(small)
    } else if let Ok(large) = value.extract::<u64>() {
        out.unsigned(large)
    } else {
        Err(Error::malformed(
            "an int outside -2^63 .. 2^64 - 1 has no canonical form",
        ))
    }
}

fn write_map(value: &Bound<'_, PyDict>, out: &mut Writer) -> PyResult<()> {
    let mut items: Vec<(PyBackedStr, Bound<'_, PyAny>)> = Vec::with_capacity(value.len());
    for (key, item) in value.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            return Err(Error::malformed(format!(
                "a map's key is a {}, not text",
                key.get_type().name()?
            )))
            .mapped();
        };
        items.push((text(key)?, item));
    }
    // `str` orders by UTF-8 bytes, which is the order we sign.
    items.sort_by(|(left, _), (right, _)| str::cmp(left, right));
    out.open_map(items.len()).mapped()?;
    for (key, item) in items {
        out.key(&key).mapped()?;
        write(&item, out)?;
    }
    out.close().mapped()
}

pub fn text(value: &Bound<'_, PyString>) -> PyResult<PyBackedStr> {
    PyBackedStr::try_from(value.clone()).map_err(|_| {
        to_python(
            value.py(),
            &Error::malformed("text with a lone surrogate has no canonical form"),
        )
    })
}

pub struct Objects<'py> {
    pub py: Python<'py>,
}

/// An exception on its way out of the core, whose own refusals become one too.
pub struct Failure(pub PyErr);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(Python::attach(|py| to_python(py, &error)))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self(error)
    }
}

impl<'py> Build for Objects<'py> {
    type Value = Bound<'py, PyAny>;
    type Error = Failure;

    fn nil(&mut self) -> Result<Self::Value, Failure> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn boolean(&mut self, value: bool) -> Result<Self::Value, Failure> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn unsigned(&mut self, value: u64) -> Result<Self::Value, Failure> {
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }

    fn signed(&mut self, value: i64) -> Result<Self::Value, Failure> {
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.into_any())
    }

    fn float(&mut self, value: f64) -> Result<Self::Value, Failure> {
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn text(&mut self, value: &str) -> Result<Self::Value, Failure> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn bytes(&mut self, value: &[u8]) -> Result<Self::Value, Failure> {
        Ok(PyBytes::new(self.py, value).into_any())
    }

    fn array(&mut self, items: Vec<Self::Value>) -> Result<Self::Value, Failure> {
        Ok(PyList::new(self.py, items)?.into_any())
    }

    fn map(&mut self, items: Vec<(&str, Self::Value)>) -> Result<Self::Value, Failure> {
        let map = PyDict::new(self.py);
        for (key, item) in items {
            map.set_item(key, item)?;
        }
        Ok(map.into_any())
    }
}
