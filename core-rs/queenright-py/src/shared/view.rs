use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString};
use queenright_core::error::Error;
use queenright_core::view::{self as core, Cell, Column, Type};

use crate::error::Mapped;

/// (row id, depth, has children, is open, values)
type Line<'py> = (
    Bound<'py, PyBytes>,
    usize,
    bool,
    bool,
    Vec<Bound<'py, PyAny>>,
);

#[pyclass(module = "queenright.core")]
pub struct View(core::View);

#[pymethods]
impl View {
    #[new]
    fn new(columns: Vec<(String, String)>) -> PyResult<Self> {
        let typed = |(name, kind): (String, String)| {
            let kind = match kind.as_str() {
                "text" => Type::Text,
                "int" => Type::Int,
                "float" => Type::Float,
                _ => {
                    return Err(Error::malformed(format!(
                        "a column of type {kind:?}, not text, int or float"
                    )));
                }
            };
            Ok(Column { name, kind })
        };
        let columns: Result<_, Error> = columns.into_iter().map(typed).collect();
        columns.and_then(core::View::new).map(Self).mapped()
    }

    #[pyo3(signature = (row, values, parent=None))]
    fn upsert(
        &mut self,
        row: &[u8],
        values: Vec<Bound<'_, PyAny>>,
        parent: Option<&[u8]>,
    ) -> PyResult<()> {
        let cells: PyResult<_> = values
            .iter()
            .zip(self.0.columns())
            .map(|(value, column)| cell(value, column))
            .collect();
        if values.len() != self.0.columns().len() {
            let wanted = self.0.columns().len();
            return Err(Error::malformed(format!(
                "{} values for {wanted} columns",
                values.len()
            )))
            .mapped();
        }
        self.0.upsert(row, cells?, parent).mapped()
    }

    fn remove(&mut self, row: &[u8]) -> PyResult<()> {
        self.0.remove(row).mapped()
    }

    fn set_sort(&mut self, column: &str, descending: bool) -> PyResult<()> {
        self.0.set_sort(column, descending).mapped()
    }

    fn set_filter(&mut self, query: &str) -> PyResult<()> {
        self.0.set_filter(query).mapped()
    }

    fn set_tree(&mut self, tree: bool) {
        self.0.set_tree(tree);
    }

    fn toggle(&mut self, row: &[u8]) -> PyResult<()> {
        self.0.toggle(row).mapped()
    }

    fn hold(&mut self, py: Python<'_>, held: bool) {
        py.detach(|| self.0.hold(held));
    }

    fn total(&self) -> usize {
        self.0.total()
    }

    fn __len__(&mut self, py: Python<'_>) -> usize {
        py.detach(|| self.0.refresh());
        self.0.len()
    }

    fn index_of(&mut self, py: Python<'_>, row: PyBackedBytes) -> Option<usize> {
        py.detach(|| self.0.refresh());
        self.0.index_of(&row)
    }

    fn window<'py>(
        &mut self,
        py: Python<'py>,
        offset: usize,
        count: usize,
    ) -> PyResult<Vec<Line<'py>>> {
        py.detach(|| self.0.refresh());
        self.0
            .window(offset, count)
            .map(|line| {
                let values: PyResult<Vec<_>> =
                    line.cells.iter().map(|cell| value(py, cell)).collect();
                Ok((
                    PyBytes::new(py, line.id),
                    line.depth,
                    line.has_children,
                    line.is_open,
                    values?,
                ))
            })
            .collect()
    }
}

fn cell(value: &Bound<'_, PyAny>, column: &Column) -> PyResult<Cell> {
    let wrong = || {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| String::new(), |name| name.to_string());
        Error::malformed(format!(
            "the column {} is {:?}, not {kind} or not in its range",
            column.name, column.kind
        ))
    };
    let cell = match column.kind {
        Type::Text => value
            .cast::<PyString>()
            .ok()
            .map(|text| Cell::Text(text.to_string_lossy().into_owned())),
        Type::Int => value
            .cast::<PyInt>()
            .ok()
            .and_then(|number| number.extract().ok())
            .map(Cell::Int),
        Type::Float if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() => {
            value.extract().ok().map(Cell::Float)
        }
        Type::Float => None,
    };
    cell.ok_or_else(wrong).mapped()
}

fn value<'py>(py: Python<'py>, cell: &Cell) -> PyResult<Bound<'py, PyAny>> {
    Ok(match cell {
        Cell::Text(text) => PyString::new(py, text).into_any(),
        Cell::Int(number) => number.into_pyobject(py)?.into_any(),
        Cell::Float(number) => PyFloat::new(py, *number).into_any(),
    })
}
