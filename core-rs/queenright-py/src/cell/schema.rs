//! The field types of a message class, compiled once when the class is made.
use std::collections::HashMap;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple, PyType};

use crate::cell::message::MessageBase;
use crate::cell::value::check;

pub enum Kind {
    None,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    Message(Py<PyType>),
    /// Any number of one kind.
    Tuple(Box<Kind>),
    /// Exactly these, in order.
    Fixed(Vec<Kind>),
    Union(Vec<Kind>),
}

impl Kind {
    /// From a type, None, or ("tuple", kind), ("fixed", kind, ...), ("union", kind, ...).
    fn parse(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = given.py();
        if given.is_none() {
            return Ok(Self::None);
        }
        if let Ok(class) = given.cast::<PyType>() {
            return if class.is(py.get_type::<PyBool>()) {
                Ok(Self::Bool)
            } else if class.is(py.get_type::<PyInt>()) {
                Ok(Self::Int)
            } else if class.is(py.get_type::<PyFloat>()) {
                Ok(Self::Float)
            } else if class.is(py.get_type::<PyString>()) {
                Ok(Self::Str)
            } else if class.is(py.get_type::<PyBytes>()) {
                Ok(Self::Bytes)
            } else if class.is_subclass_of::<MessageBase>()? && class.hasattr("__schema__")? {
                Ok(Self::Message(class.clone().unbind()))
            } else {
                Err(PyTypeError::new_err(format!(
                    "`{}` is no type a message can hold",
                    class.name()?
                )))
            };
        }
        let form = given.cast::<PyTuple>()?;
        let rest = form
            .iter()
            .skip(1)
            .map(|item| Self::parse(&item))
            .collect::<PyResult<Vec<_>>>()?;
        let name: String = form.get_item(0)?.extract()?;
        match (name.as_str(), rest) {
            ("tuple", mut rest) if rest.len() == 1 => Ok(Self::Tuple(Box::new(rest.remove(0)))),
            ("fixed", rest) => Ok(Self::Fixed(rest)),
            ("union", rest) => Ok(Self::Union(rest)),
            _ => Err(PyTypeError::new_err("not the form of a field type")),
        }
    }

    pub fn describe(&self, py: Python<'_>) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool => "bool".into(),
            Self::Int => "int of 64 bits".into(),
            Self::Float => "finite float".into(),
            Self::Str => "str".into(),
            Self::Bytes => "bytes".into(),
            Self::Message(class) => class
                .bind(py)
                .name()
                .map_or_else(|_| "a message".into(), |name| name.to_string()),
            Self::Tuple(item) => format!("tuple of {}", item.describe(py)),
            Self::Fixed(items) => {
                let items: Vec<_> = items.iter().map(|item| item.describe(py)).collect();
                format!("tuple of ({})", items.join(", "))
            }
            Self::Union(kinds) => {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.describe(py)).collect();
                kinds.join(" or ")
            }
        }
    }
}

pub struct FieldSpec {
    pub name: String,
    pub kind: Kind,
    /// Checked once, with what it counts.
    pub default: Option<(Py<PyAny>, usize)>,
}

/// `fields`: (name, kind, has a default, default). Raises TypeError on a kind or default that no message can hold.
#[pyclass(frozen, module = "queenright._core.cell")]
pub struct Schema {
    pub name: String,
    pub fields: Vec<FieldSpec>,
    pub index: HashMap<String, usize>,
    /// Never journaled.
    pub volatile: bool,
    /// Positions in the order of the names' UTF-8 bytes, in which they are encoded.
    pub sorted: Vec<usize>,
}

type Given<'py> = (String, Bound<'py, PyAny>, bool, Bound<'py, PyAny>);

#[pymethods]
impl Schema {
    #[new]
    #[pyo3(signature = (name, fields, volatile=false))]
    fn new(name: String, fields: Vec<Given<'_>>, volatile: bool) -> PyResult<Self> {
        let mut specs = Vec::with_capacity(fields.len());
        let mut index = HashMap::new();
        for (at, (field, given, has_default, default)) in fields.into_iter().enumerate() {
            let kind = Kind::parse(&given).map_err(|error| {
                PyTypeError::new_err(format!("{name}.{field}: {}", error.value(given.py())))
            })?;
            let default = if has_default {
                let (value, cost) = check(&kind, default).map_err(|found| {
                    PyTypeError::new_err(format!("{name}.{field}: its default {found}"))
                })?;
                Some((value.unbind(), cost))
            } else {
                None
            };
            index.insert(field.clone(), at);
            specs.push(FieldSpec {
                name: field,
                kind,
                default,
            });
        }
        let mut sorted: Vec<usize> = (0..specs.len()).collect();
        sorted.sort_by(|left, right| specs[*left].name.cmp(&specs[*right].name));
        Ok(Self {
            name,
            fields: specs,
            index,
            volatile,
            sorted,
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    fn has_default(&self, field: &str) -> bool {
        self.index
            .get(field)
            .and_then(|at| self.fields.get(*at))
            .is_some_and(|field| field.default.is_some())
    }

    /// The default of a field, None if it has none.
    fn default(&self, py: Python<'_>, field: &str) -> Option<Py<PyAny>> {
        let field = self.index.get(field).and_then(|at| self.fields.get(*at))?;
        field.default.as_ref().map(|(value, _)| value.clone_ref(py))
    }

    #[getter]
    fn fields(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }
}
