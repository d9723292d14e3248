//! A message's body: its fields as canonical bytes, and a message from them, without a tree of Python objects in between.
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};
use queenright_core::canonical::Writer;
use queenright_core::error::Error;

use crate::cell::message::{MessageBase, build_message, schema_of, unplain};
use crate::error::{Malformed, Mapped};
use crate::shared::canonical::{decode, text, write_int};

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
    let found = decode(py, body)?;
    let Ok(map) = found.cast_exact::<PyDict>() else {
        return Err(Malformed::new_err(format!(
            "a message `{}` is a map of its fields",
            schema.name
        )));
    };
    if map.len() != schema.fields.len() {
        return build_message(class, map); // an older sender's, or one with a field too many
    }
    let mut values = Vec::with_capacity(schema.fields.len());
    for field in &schema.fields {
        let Some(value) = map.get_item(field.key.bind(py))? else {
            return build_message(class, map);
        };
        values.push(unplain(&field.kind, &value)?);
    }
    class.call1(PyTuple::new(py, values)?).map_err(|error| {
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
