//! `_core.cell`: what runs inside a cell. One file a noun in `cell/`, one `use` here.
mod arrival;
mod body;
mod context;
mod coroutine;
mod face;
mod message;
mod opener;
mod page;
mod population;
mod scheduler;
mod schema;
mod sealer;
mod sending;
mod stepping;
mod value;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod cell {
    #[pymodule_export]
    use super::arrival::Arrival;
    #[pymodule_export]
    use super::body::{decode_message, encode_message};
    #[pymodule_export]
    use super::context::ContextBase;
    #[pymodule_export]
    use super::context::Sent;
    #[pymodule_export]
    use super::coroutine::Suspension;
    #[pymodule_export]
    use super::message::Field;
    #[pymodule_export]
    use super::message::MessageBase;
    #[pymodule_export]
    use super::message::build_message;
    #[pymodule_export]
    use super::opener::Opener;
    #[pymodule_export]
    use super::scheduler::Scheduler;
    #[pymodule_export]
    use super::schema::Schema;
    #[pymodule_export]
    use super::sealer::Sealer;
}
