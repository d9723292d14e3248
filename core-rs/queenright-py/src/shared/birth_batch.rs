//! Births in batches: cell and supervisor make the same members from the same few fields.
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;
use queenright_core::birth_batch::{self as core, Args, Names, SEED, Template};
use queenright_core::error::{Error, Result};
use queenright_core::merkle::Hash;

use crate::error::Mapped;

#[derive(FromPyObject)]
enum NamesField {
    Counted(PyBackedStr, u32),
    Listed(Vec<PyBackedStr>),
}

#[derive(FromPyObject)]
enum ArgsField {
    Same([u8; 32]),
    Each(Vec<[u8; 32]>),
}

/// A whole batch of births, or the part of one from position `first` on (a multiple of BIRTHS_A_PART).
///
/// Every argument is said in `queenright.wire.certificate.Birth`; `family` is the parent's whole name, `names` a stem and
/// a count or each member's own name, `args` one digest for all or each member's.
#[pyclass(frozen, module = "queenright.core")]
pub struct BirthBatch(core::BirthBatch);

impl BirthBatch {
    pub fn core(&self) -> &core::BirthBatch {
        &self.0
    }
}

#[pymethods]
impl BirthBatch {
    #[new]
    #[pyo3(signature = (*, runtime, intent, parent, package, grant, family, behaviour, born_ms, seed, names, args, first=0))]
    #[expect(
        clippy::too_many_arguments,
        reason = "a certificate's fields, each by name"
    )]
    fn new(
        py: Python<'_>,
        runtime: [u8; 32],
        intent: [u8; 32],
        parent: [u8; 32],
        package: [u8; 32],
        grant: [u8; 32],
        family: String,
        behaviour: String,
        born_ms: u64,
        seed: [u8; SEED],
        names: NamesField,
        args: ArgsField,
        first: u32,
    ) -> PyResult<Self> {
        let template = Template {
            runtime,
            intent,
            parent,
            package,
            grant,
            family,
            behaviour,
            born_ms,
            seed,
        };
        let made = py.detach(move || -> Result<core::BirthBatch> {
            let names = match &names {
                NamesField::Counted(stem, count) => Names::Counted {
                    stem: (**stem).into(),
                    count: *count,
                },
                NamesField::Listed(all) => Names::listed(all.iter().map(|name| &**name))?,
            };
            let args = match args {
                ArgsField::Same(one) => Args::Same(one),
                ArgsField::Each(all) => Args::Each(all.into()),
            };
            core::BirthBatch::new(template, names, args, first)
        });
        made.map(Self).mapped()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Of the RFC 9162 tree over the members' ids.
    #[getter]
    fn root(&self) -> Hash {
        self.0.root()
    }

    /// The tree's nodes over BIRTHS_A_PART members each, one after the other.
    #[getter]
    fn tops<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.tops().as_flattened())
    }

    fn ids(&self) -> Vec<[u8; 32]> {
        self.0.ids().to_vec()
    }

    /// Raises Unknown for a position that is not of this batch or part; so do the three below.
    fn id(&self, position: u32) -> PyResult<[u8; 32]> {
        self.0.id(position).mapped()
    }

    /// The member's whole name.
    fn name(&self, position: u32) -> PyResult<String> {
        self.0.name(position).mapped()
    }

    /// The canonical bytes whose digest is the member's id.
    fn certificate<'py>(&self, py: Python<'py>, position: u32) -> PyResult<Bound<'py, PyBytes>> {
        let made = self.0.certificate(position).mapped()?;
        Ok(PyBytes::new(py, &made))
    }

    /// The path from the member's id to the root; `tops` are the whole batch's. Raises Malformed if they are not.
    fn path(&self, position: u32, tops: &[u8]) -> PyResult<Vec<Hash>> {
        let (tops, rest) = tops.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(Error::malformed("tops are hashes of 32 bytes")).mapped();
        }
        self.0.path(position, tops).mapped()
    }
}
