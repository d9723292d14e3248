//! A message's body: its fields as canonical bytes, and a message from them, without a tree of Python objects in between.
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};
use queenright_core::canonical::{Writer, decode_map};
use queenright_core::error::Error;

use crate::cell::message::{MessageBase, clip, schema_of, unplain};
use crate::error::{Malformed, Mapped};
use crate::shared::canonical::{Failure, Objects, text, write_int};

/// The canonical map of a message's fields; a message inside is {"f": its fields, "t": its type's name}.
#[pyfunction]
pub fn encode_message<'py>(
    py: Python<'py>,
    message: &Bound<'py, MessageBase>,
) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &body_of(message)?))
}

pub fn body_of(message: &Bound<'_, MessageBase>) -> PyResult<Vec<u8>> {
    let mut out = Writer::new();
    write_fields(message, &mut out)?;
    out.finish().mapped()
}

fn write_fields(message: &Bound<'_, MessageBase>, out: &mut Writer) -> PyResult<()> {
    let py = message.py();
    let message = message.get();
    let schema = message.schema().get();
    out.open_map(schema.sorted.len()).mapped()?;
    for at in &schema.sorted {
        let (Some(field), Some(value)) = (schema.fields.get(*at), message.fields().get(*at)) else {
            return Err(Error::malformed(
                "a message with fewer fields than its class",
            ))
            .mapped();
        };
        out.key(&field.name).mapped()?;
        write(value.bind(py), out)?;
    }
    out.close().mapped()
}

/// Whatever a field may hold: checked when the message was made.
fn write(value: &Bound<'_, PyAny>, out: &mut Writer) -> PyResult<()> {
    if value.is_none() {
        out.nil().mapped()
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        out.bytes(value.as_bytes()).mapped()
    } else if let Ok(value) = value.cast_exact::<PyString>() {
        out.text(&text(value)?).mapped()
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        out.boolean(value.is_true()).mapped()
    } else if let Ok(value) = value.cast_exact::<PyInt>() {
        write_int(value, out).mapped()
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        out.float(value.value()).mapped()
    } else if let Ok(value) = value.cast_exact::<PyTuple>() {
        out.open_array(value.len()).mapped()?;
        value.iter().try_for_each(|item| write(&item, out))?;
        out.close().mapped()
    } else if let Ok(inner) = value.cast::<MessageBase>() {
        out.open_map(2).mapped()?;
        out.key("f").mapped()?;
        write_fields(inner, out)?;
        out.key("t").mapped()?;
        out.text(&inner.get().schema().get().name).mapped()?;
        out.close().mapped()
    } else {
        Err(Error::malformed("a field holds what no message may hold")).mapped()
    }
}

/// The message of `class` in canonical bytes. Raises Malformed for unknown, missing or wrong fields.
#[pyfunction]
pub fn decode_message<'py>(class: &Bound<'py, PyType>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let schema = schema_of(class)?;
    let schema = schema.get();
    let mut values: Vec<Option<Bound<'py, PyAny>>> = Vec::new();
    values.resize_with(schema.fields.len(), || None);
    // Keys come in the order in which the class has them sorted; one that does not is missing before it, or unknown.
    let mut sorted = schema.sorted.iter();
    decode_map(body, &mut Objects { py }, |name, value| {
        let found = sorted.find_map(|at| {
            schema
                .fields
                .get(*at)
                .filter(|field| field.name == name)
                .map(|field| (*at, field))
        });
        let (at, field) = found.ok_or_else(|| {
            Malformed::new_err(format!(
                "a message `{}` has no field `{}`",
                schema.name,
                clip(name)
            ))
        })?;
        values[at] = Some(unplain(&field.kind, &value)?);
        Ok(())
    })
    .map_err(|Failure(error)| error)?;
    let made = if values.iter().all(Option::is_some) {
        let values: Vec<_> = values.into_iter().flatten().collect();
        class.call1(PyTuple::new(py, values)?)
    } else {
        // A field that is missing takes its default: the sender was older.
        let given = PyDict::new(py);
        for (field, value) in schema.fields.iter().zip(values) {
            if let Some(value) = value {
                given.set_item(&field.name, value)?;
            }
        }
        class.call((), Some(&given))
    };
    made.map_err(|error| {
        if error.is_instance_of::<PyTypeError>(py) {
            Malformed::new_err(format!(
                "not a message `{}`: {}",
                schema.name,
                error.value(py)
            ))
        } else {
            error
        }
    })
}
