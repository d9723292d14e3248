//! Coroutines of handlers: begun, stepped, and either at their end or waiting for a step of ours. No event loop.
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::iterator::PySendResult;
use pyo3::types::{PyDict, PyIterator, PyType};

use crate::error::ForeignAwaitable;

/// What a step yields to be waited for. Anything else a handler awaits is foreign and refused.
#[pyclass(subclass, frozen, module = "queenright._core.cell")]
pub struct Suspension;

#[pymethods]
impl Suspension {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }
}

/// What a waiting coroutine gets.
pub enum Answer {
    Value(Py<PyAny>),
    Raise(Py<PyAny>),
}

/// What makes the coroutine.
pub enum Call<'py> {
    /// An object with `run()`: a turn of the supervisor's.
    Run(Bound<'py, PyAny>),
    Handle {
        handler: Bound<'py, PyAny>,
        object: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
        message: Bound<'py, PyAny>,
    },
}

pub enum Entry<'py> {
    Start(Call<'py>),
    Go(Bound<'py, PyIterator>, Answer),
}

pub enum Ended<'py> {
    Done,
    Waits(Bound<'py, PyIterator>),
    Failed(PyErr),
}

/// Begin the handler, or go on where it waits, until it ends or waits (again).
pub fn enter<'py>(py: Python<'py>, entry: Entry<'py>) -> Ended<'py> {
    let (coroutine, mut answer) = match entry {
        Entry::Go(coroutine, answer) => (coroutine, answer),
        Entry::Start(call) => {
            let made = match call {
                Call::Run(turn) => turn.call_method0(intern!(py, "run")),
                Call::Handle {
                    handler,
                    object,
                    context,
                    message,
                } => handler.call1((object, context, message)),
            };
            let made = match made {
                Ok(made) => made,
                Err(error) => return Ended::Failed(error),
            };
            if made.is_none() {
                return Ended::Done;
            }
            match coroutine_of(py, made) {
                Ok(coroutine) => (coroutine, Answer::Value(py.None())),
                Err(error) => return Ended::Failed(error),
            }
        }
    };
    loop {
        let sent = match answer {
            Answer::Value(value) => coroutine.send(value.bind(py)),
            Answer::Raise(error) => throw(&coroutine, error.bind(py)),
        };
        match sent {
            Err(error) => return Ended::Failed(error),
            Ok(PySendResult::Return(_)) => return Ended::Done,
            Ok(PySendResult::Next(waits_for)) if waits_for.is_instance_of::<Suspension>() => {
                return Ended::Waits(coroutine);
            }
            Ok(PySendResult::Next(foreign)) => match foreign_error(py, &foreign) {
                Ok(error) => answer = Answer::Raise(error.into_value(py).into_any()),
                Err(error) => return Ended::Failed(error),
            },
        }
    }
}

/// The iterator that steps what a handler returned: a generator-based coroutine (see `queenright.cell.entry`) is its own.
fn coroutine_of<'py>(py: Python<'py>, made: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    static GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let kind = made.get_type();
    if kind.is(GENERATOR.import(py, "types", "GeneratorType")?) {
        return Ok(made.cast_into::<PyIterator>()?);
    }
    if !kind.is(COROUTINE.import(py, "types", "CoroutineType")?) {
        return Err(PyTypeError::new_err(format!(
            "a handler is an `async def`; this one returned {}",
            kind.name()?
        )));
    }
    Ok(made
        .call_method0(intern!(py, "__await__"))?
        .cast_into::<PyIterator>()?)
}

fn throw<'py>(
    coroutine: &Bound<'py, PyIterator>,
    error: &Bound<'py, PyAny>,
) -> PyResult<PySendResult<'py>> {
    let py = coroutine.py();
    match coroutine.call_method1(intern!(py, "throw"), (error,)) {
        Ok(next) => Ok(PySendResult::Next(next)),
        Err(stopped) if stopped.is_instance_of::<PyStopIteration>(py) => Ok(PySendResult::Return(
            stopped.value(py).getattr(intern!(py, "value"))?,
        )),
        Err(error) => Err(error),
    }
}

fn foreign_error(py: Python<'_>, foreign: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let facts = PyDict::new(py);
    facts.set_item(
        "hint",
        "await what `ctx` gives, or wrap the call: `await ctx.run(\"name\", fn)`",
    )?;
    let what = if foreign.is_none() {
        "a bare yield".to_owned()
    } else {
        format!("`{}`", foreign.get_type().name()?)
    };
    let message = format!(
        "a handler awaited {what}, which is no step of this cell: nothing would ever wake it"
    );
    Ok(PyErr::from_value(
        py.get_type::<ForeignAwaitable>()
            .call((message,), Some(&facts))?,
    ))
}
