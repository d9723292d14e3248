//! The face of the proxy that serves commands' connections: events out, answers in.
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use queenright_core::egress::inside::Credential;
use queenright_host::egress::{Answer, Authority, Bounds, Event, Opening, Proxy, System, roots_of};
use queenright_sandbox::sys;
use zeroize::Zeroizing;

pyo3::import_exception!(queenright.errors, Malformed);
pyo3::import_exception!(queenright.errors, SandboxRefused);

#[pyclass(frozen, module = "queenright._core.host")]
pub struct EgressProxy(Proxy);

/// Holds its key, and shows it to nobody.
#[pyclass(frozen, module = "queenright._core.host")]
pub struct EgressAuthority(Arc<Authority>);

#[pymethods]
impl EgressAuthority {
    #[new]
    fn make(py: Python<'_>, name: &str) -> PyResult<Self> {
        py.detach(|| Authority::new(name))
            .map(|made| Self(Arc::new(made)))
            .map_err(|error| {
                SandboxRefused::new_err(format!("no authority for opening TLS: {error}"))
            })
    }

    #[getter]
    fn pem(&self) -> &str {
        self.0.pem()
    }

    #[getter]
    fn trusted<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0
            .trusted()
            .iter()
            .map(|one| PyBytes::new(py, one))
            .collect()
    }
}

#[pyfunction]
pub fn check_roots(pem: &str) -> PyResult<()> {
    roots_of(pem).map(drop).map_err(|reason| {
        Malformed::new_err(format!(
            "these are no certificates to verify a host with: {reason}"
        ))
    })
}

fn event<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    match event {
        Event::Asked { id, door, asked } => {
            out.set_item("event", "asked")?;
            out.set_item("id", id)?;
            out.set_item("door", door)?;
            out.set_item("verb", asked.verb)?;
            out.set_item("resource", &asked.resource)?;
            out.set_item("method", asked.method)?;
            out.set_item("host", &asked.host)?;
            out.set_item("port", asked.port)?;
            out.set_item("path", &asked.path)?;
            out.set_item("headers", PyList::new(py, &asked.headers)?)?;
            out.set_item("has_body", asked.has_body)?;
            out.set_item("tls", asked.tls)?;
        }
        Event::Resolved {
            id,
            addresses,
            body,
        } => {
            out.set_item("event", "resolved")?;
            out.set_item("id", id)?;
            out.set_item("addresses", PyList::new(py, addresses)?)?;
            out.set_item("body", body.as_ref().map(|body| PyBytes::new(py, body)))?;
        }
        Event::Ended { id, end } => {
            out.set_item("event", "ended")?;
            out.set_item("id", id)?;
            out.set_item("code", end.code)?;
            out.set_item("began", end.began)?;
            out.set_item("status", end.status)?;
            out.set_item("up", end.up)?;
            out.set_item("down", end.down)?;
        }
        Event::Refused {
            door,
            reason,
            count,
        } => {
            out.set_item("event", "refused")?;
            out.set_item("door", door)?;
            out.set_item("reason", reason)?;
            out.set_item("count", count)?;
        }
    }
    Ok(out)
}

#[pymethods]
impl EgressProxy {
    /// Starts its thread. `idle_ms` and `head_ms`: how long it waits between two bytes, and for a whole head.
    #[new]
    #[pyo3(signature = (*, idle_ms = None, head_ms = None))]
    fn start(py: Python<'_>, idle_ms: Option<u64>, head_ms: Option<u64>) -> PyResult<Self> {
        let mut bounds = Bounds::default();
        bounds.idle = idle_ms.map_or(bounds.idle, Duration::from_millis);
        bounds.head = head_ms.map_or(bounds.head, Duration::from_millis);
        py.detach(|| Proxy::start(bounds, Arc::new(System)))
            .map(Self)
            .map_err(|error| {
                SandboxRefused::new_err(format!("the proxy of egress did not start: {error}"))
            })
    }

    fn fileno(&self) -> i32 {
        self.0.events().as_fd().as_raw_fd()
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.0.take().iter().map(|one| event(py, one)).collect()
    }

    fn listen(&self, listener: usize) -> PyResult<u64> {
        let refused = |error| {
            Malformed::new_err(format!(
                "descriptor {listener} is no listening socket: {error}"
            ))
        };
        let listener = sys::held(listener).map_err(refused)?;
        self.0.listen(listener).map_err(refused)
    }

    fn resolve(&self, id: u64, hold: bool) {
        self.0.answer(id, Answer::Resolve { hold });
    }

    #[pyo3(signature = (id, authority, header, roots = None))]
    fn open(
        &self,
        id: u64,
        authority: &EgressAuthority,
        header: String,
        roots: Option<&str>,
    ) -> PyResult<()> {
        let authority = authority.0.clone();
        let roots = match roots {
            None => authority.roots(),
            Some(pem) => roots_of(pem).map_err(Malformed::new_err)?,
        };
        let opening = Opening {
            authority,
            roots,
            header,
        };
        self.0.answer(id, Answer::Open(Box::new(opening)));
        Ok(())
    }

    fn go(&self, id: u64) {
        self.0.answer(id, Answer::Go);
    }

    fn go_with(&self, id: u64, header: &str, value: &[u8], shapes: Vec<Vec<u8>>) -> PyResult<()> {
        let shapes = shapes.into_iter().map(Zeroizing::new).collect();
        let credential = Credential::new(header, Zeroizing::new(value.to_vec()), shapes)
            .map_err(|bad| Malformed::new_err(bad.reason))?;
        self.0.answer(id, Answer::GoWith(Box::new(credential)));
        Ok(())
    }

    fn refuse(&self, id: u64, status: u16, body: String) {
        self.0.answer(id, Answer::Refuse { status, body });
    }

    fn close_door(&self, door: u64) {
        self.0.close(door);
    }

    fn cut(&self, id: u64) {
        self.0.cut(id);
    }
}
