//! Messages: deeply immutable values with a fast constructor, checked field by field against a schema.
//!
//! A message passes between agents of one cell as an object, so nothing in it may ever change. Its fields live here, out
//! of reach of Python, and hold only None, bool, int, float, str, bytes, tuples of these and other messages.
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::cell::schema::{Kind, Schema};
use crate::cell::value::{OBJECT, check};
use crate::error::Malformed;

#[pyclass(
    subclass,
    frozen,
    module = "queenright._core.cell",
    name = "MessageBase"
)]
pub struct MessageBase {
    schema: Py<Schema>,
    fields: Vec<Py<PyAny>>,
    size: usize,
}

impl MessageBase {
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn is_volatile(&self) -> bool {
        self.schema.get().volatile
    }

    pub fn field(&self, at: usize) -> Option<&Py<PyAny>> {
        self.fields.get(at)
    }

    pub fn schema(&self) -> &Py<Schema> {
        &self.schema
    }

    pub fn fields(&self) -> &[Py<PyAny>] {
        &self.fields
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &Py<PyAny>)> {
        self.schema
            .get()
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .zip(&self.fields)
    }

    /// `values`: one for each field, None for its default.
    fn make<'py>(
        py: Python<'py>,
        schema: Py<Schema>,
        values: impl Iterator<Item = Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Self> {
        let mut fields = Vec::with_capacity(schema.get().fields.len());
        let mut size = OBJECT;
        for (field, given) in schema.get().fields.iter().zip(values) {
            let Some(value) = given else {
                // A default was checked and measured when the class was made.
                let (default, cost) = field.default.as_ref().ok_or_else(|| {
                    PyTypeError::new_err(format!(
                        "{} needs a value for `{}`",
                        schema.get().name,
                        field.name
                    ))
                })?;
                fields.push(default.clone_ref(py));
                size += cost;
                continue;
            };
            let (value, cost) = check(&field.kind, value).map_err(|found| {
                PyTypeError::new_err(format!("{}.{}: {found}", schema.get().name, field.name))
            })?;
            fields.push(value.unbind());
            size += cost;
        }
        Ok(Self {
            schema,
            fields,
            size,
        })
    }
}

pub fn schema_of(class: &Bound<'_, PyType>) -> PyResult<Py<Schema>> {
    let schema = class
        .getattr(intern!(class.py(), "__schema__"))
        .map_err(|_| {
            PyTypeError::new_err(
                "a message class needs its fields: subclass queenright.agent.Message, not its base",
            )
        })?;
    Ok(schema.cast_into::<Schema>()?.unbind())
}

#[pymethods]
impl MessageBase {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(
        class: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let schema = schema_of(class)?;
        let fields = &schema.get().fields;
        if args.len() > fields.len() {
            return Err(PyTypeError::new_err(format!(
                "{} has {} fields, got {} values",
                schema.get().name,
                fields.len(),
                args.len()
            )));
        }
        let Some(kwargs) = kwargs else {
            let missing = fields.len() - args.len();
            let values = args
                .iter()
                .map(Some)
                .chain(std::iter::repeat_n(None, missing));
            return Self::make(class.py(), schema.clone_ref(class.py()), values);
        };
        let mut values: Vec<Option<Bound<'_, PyAny>>> = args.iter().map(Some).collect();
        values.resize_with(fields.len(), || None);
        for (name, value) in kwargs {
            let name: String = name.extract()?;
            let at = schema.get().index.get(&name).copied().ok_or_else(|| {
                PyTypeError::new_err(format!("{} has no field `{name}`", schema.get().name))
            })?;
            if values[at].replace(value).is_some() {
                return Err(PyTypeError::new_err(format!(
                    "{} got `{name}` twice",
                    schema.get().name
                )));
            }
        }
        Self::make(class.py(), schema.clone_ref(class.py()), values.into_iter())
    }

    /// What the message counts against a mailbox's bytes.
    #[getter]
    fn __size__(&self) -> usize {
        self.size
    }

    /// The canonical map of the fields; a message inside is {"t": its type's name, "f": its fields}.
    fn __plain__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (name, value) in self.pairs() {
            out.set_item(name, plain(value.bind(py))?)?;
        }
        Ok(out)
    }

    fn __setattr__(&self, name: &str, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "a message never changes: `{name}` cannot be set; make a new message"
        )))
    }

    fn __delattr__(&self, name: &str) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "a message never changes: `{name}` cannot be deleted"
        )))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if !slf.get_type().is(other.get_type()) {
            return Ok(false);
        }
        let other = other.cast::<Self>()?.get();
        for (mine, theirs) in slf.get().fields.iter().zip(&other.fields) {
            if !mine.bind(slf.py()).eq(theirs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let fields = PyTuple::new(slf.py(), &slf.get().fields)?;
        (&slf.get().schema.get().name, fields)
            .into_pyobject(slf.py())?
            .hash()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let mut parts = Vec::new();
        for (name, value) in slf.get().pairs() {
            parts.push(format!("{name}={}", value.bind(slf.py()).repr()?));
        }
        Ok(format!("{}({})", slf.get_type().name()?, parts.join(", ")))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }
}

fn plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Ok(message) = value.cast::<MessageBase>() {
        let out = PyDict::new(py);
        out.set_item("t", &message.get().schema.get().name)?;
        out.set_item("f", message.get().__plain__(py)?)?;
        return Ok(out.into_any());
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let out = PyList::empty(py);
        for item in tuple {
            out.append(plain(&item)?)?;
        }
        return Ok(out.into_any());
    }
    Ok(value.clone())
}

/// The message of `class` from its canonical map. A field that is missing takes its default (the sender was older);
/// a field that is unknown or of another type raises Malformed.
#[pyfunction]
pub fn build_message<'py>(
    class: &Bound<'py, PyType>,
    map: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let schema = schema_of(class)?;
    let schema = schema.get();
    let kwargs = PyDict::new(class.py());
    for (name, value) in map {
        let name: String = name.extract()?;
        let at = schema.index.get(&name).copied();
        let field = at.and_then(|at| schema.fields.get(at)).ok_or_else(|| {
            Malformed::new_err(format!(
                "a message `{}` has no field `{}`",
                schema.name,
                clip(&name)
            ))
        })?;
        kwargs.set_item(&name, unplain(&field.kind, &value)?)?;
    }
    class.call((), Some(&kwargs)).map_err(|error| {
        if error.is_instance_of::<PyTypeError>(class.py()) {
            Malformed::new_err(format!(
                "not a message `{}`: {}",
                schema.name,
                error.value(class.py())
            ))
        } else {
            error
        }
    })
}

pub fn clip(text: &str) -> String {
    text.chars().take(32).collect()
}

/// What canonical bytes decode to, as the kind wants it: lists become tuples, tagged maps messages.
pub fn unplain<'py>(kind: &Kind, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Kind::Union(kinds) = kind {
        // The first kind that accepts decides, as it did when the message was made.
        for kind in kinds {
            if let Ok(found) = unplain(kind, value)
                && check(kind, found.clone()).is_ok()
            {
                return Ok(found);
            }
        }
        return Ok(value.clone());
    }
    if let (Kind::Tuple(_) | Kind::Fixed(_), Ok(list)) = (kind, value.cast_exact::<PyList>()) {
        let mut items = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let of = match kind {
                Kind::Tuple(of) => Some(of.as_ref()),
                Kind::Fixed(of) => of.get(index),
                _ => None,
            };
            let of = of.ok_or_else(|| Malformed::new_err("a tuple of another length"))?;
            items.push(unplain(of, &item)?);
        }
        return Ok(PyTuple::new(py, items)?.into_any());
    }
    if let (Kind::Message(class), Ok(map)) = (kind, value.cast_exact::<PyDict>()) {
        let schema = schema_of(class.bind(py))?;
        let tag = map
            .get_item("t")?
            .and_then(|tag| tag.extract::<String>().ok());
        let fields = map.get_item("f")?;
        let fields = fields
            .as_ref()
            .and_then(|fields| fields.cast_exact::<PyDict>().ok());
        let (Some(fields), 2, true) = (
            fields,
            map.len(),
            tag.as_deref() == Some(schema.get().name.as_str()),
        ) else {
            return Err(Malformed::new_err(format!(
                "not a message `{}` inside another",
                schema.get().name
            )));
        };
        return build_message(class.bind(py), fields);
    }
    Ok(value.clone())
}

/// The descriptor of one field: reads it out of the core, refuses to write it.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Field {
    at: usize,
    name: String,
}

#[pymethods]
impl Field {
    #[new]
    fn new(at: usize, name: String) -> Self {
        Self { at, name }
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if message.is_none() {
            return Ok(slf.clone().into_any());
        }
        let fields = &message.cast::<MessageBase>()?.get().fields;
        let value = fields
            .get(slf.get().at)
            .ok_or_else(|| PyAttributeError::new_err(slf.get().name.clone()))?;
        Ok(value.bind(slf.py()).clone())
    }

    fn __set__(&self, _message: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "a message never changes: `{}` cannot be set",
            self.name
        )))
    }
}
