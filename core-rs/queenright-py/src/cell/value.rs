//! The values a field may hold: checked, and measured for the mailbox.
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::cell::message::MessageBase;
use crate::cell::schema::Kind;

/// What an object costs beside its text and bytes, roughly: counted so that a mailbox of tiny messages is bounded too.
pub const OBJECT: usize = 64;

/// The value as it is kept and its cost, or what was wrong. An int given for a float becomes one.
pub fn check<'py>(
    kind: &Kind,
    value: Bound<'py, PyAny>,
) -> Result<(Bound<'py, PyAny>, usize), String> {
    let py = value.py();
    let fits = match kind {
        Kind::None => value.is_none(),
        Kind::Bool => value.is_exact_instance_of::<PyBool>(),
        Kind::Int => {
            value.is_exact_instance_of::<PyInt>()
                && (value.extract::<i64>().is_ok() || value.extract::<u64>().is_ok())
        }
        Kind::Float => {
            if value.is_exact_instance_of::<PyInt>() {
                let float = value.extract::<f64>().map_err(|error| error.to_string())?;
                return Ok((PyFloat::new(py, float).into_any(), 0));
            }
            value.is_exact_instance_of::<PyFloat>()
                && value.extract::<f64>().is_ok_and(f64::is_finite)
        }
        Kind::Str => {
            if let Ok(text) = value.cast_exact::<PyString>() {
                let cost = text.len().map_err(|error| error.to_string())?;
                return Ok((value, cost));
            }
            false
        }
        Kind::Bytes => {
            if let Ok(bytes) = value.cast_exact::<PyBytes>() {
                let cost = bytes.as_bytes().len();
                return Ok((value, cost));
            }
            false
        }
        Kind::Message(class) => {
            if value.get_type().is(class.bind(py)) {
                let cost = value
                    .cast::<MessageBase>()
                    .map_err(|error| error.to_string())?
                    .get()
                    .size();
                return Ok((value, cost));
            }
            false
        }
        Kind::Tuple(item) => {
            if let Ok(tuple) = value.cast_exact::<PyTuple>() {
                return tuple_of(tuple, |_| Some(item.as_ref()));
            }
            false
        }
        Kind::Fixed(items) => {
            if let Ok(tuple) = value.cast_exact::<PyTuple>()
                && tuple.len() == items.len()
            {
                return tuple_of(tuple, |index| items.get(index));
            }
            false
        }
        Kind::Union(kinds) => {
            for kind in kinds {
                if let Ok(fit) = check(kind, value.clone()) {
                    return Ok(fit);
                }
            }
            false
        }
    };
    if fits {
        Ok((value, 0))
    } else {
        Err(format!(
            "wants {}, got {}",
            kind.describe(py),
            describe(&value)
        ))
    }
}

fn tuple_of<'py, 'k>(
    tuple: &Bound<'py, PyTuple>,
    kind: impl Fn(usize) -> Option<&'k Kind>,
) -> Result<(Bound<'py, PyAny>, usize), String> {
    let mut items = Vec::with_capacity(tuple.len());
    let mut size = OBJECT;
    let mut changed = false;
    for (index, item) in tuple.iter().enumerate() {
        let kind = kind(index).ok_or("a tuple of another length")?;
        let (kept, cost) = check(kind, item.clone())?;
        changed |= !kept.is(&item);
        items.push(kept);
        size += cost + 8;
    }
    if !changed {
        return Ok((tuple.clone().into_any(), size));
    }
    let made = PyTuple::new(tuple.py(), items).map_err(|error| error.to_string())?;
    Ok((made.into_any(), size))
}

fn describe(value: &Bound<'_, PyAny>) -> String {
    if value.is_none() {
        return "None".into();
    }
    value
        .get_type()
        .name()
        .map_or_else(|_| "something else".into(), |name| name.to_string())
}
