//! The Python face of the core: conversions only, no decisions.
//!
//! Four submodules, one a folder: a part adds its file to the folder and its names to the submodule's list.
mod cell;
mod error;
mod host;
mod operator;
mod shared;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use crate::cell::cell;
    #[pymodule_export]
    use crate::host::host;
    #[pymodule_export]
    use crate::operator::operator;
    #[pymodule_export]
    use crate::shared::shared;

    /// `import queenright._core.shared` finds a submodule only if the import system knows it.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let modules = module.py().import("sys")?.getattr("modules")?;
        for name in ["shared", "cell", "host", "operator"] {
            let submodule = module.getattr(name)?;
            let full = format!("queenright._core.{name}");
            submodule.setattr("__name__", &full)?;
            // Each face is listed in its stub; PyO3 would have every stub list it twice.
            if submodule.hasattr("__all__")? {
                submodule.delattr("__all__")?;
            }
            modules.set_item(full, submodule)?;
        }
        module.delattr("__all__")
    }
}
