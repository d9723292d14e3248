//! `_core.host`: the supervisor's own. One file a noun in `host/`, one `use` here.
mod agent_table;
mod batch;
mod egress;
mod grant;
mod restrict;
mod seal;
mod space;
mod store;

use pyo3::prelude::*;

#[pymodule(submodule)]
pub mod host {
    #[pymodule_export]
    use super::agent_table::AgentTable;
    #[pymodule_export]
    use super::batch::{Packet, verify_record};
    #[pymodule_export]
    use super::egress::{EgressAuthority, EgressProxy, check_roots};
    #[pymodule_export]
    use super::grant::{
        GrantRefused, GrantTree, check_names, resource_covers, resource_overlaps, verb_covers,
        verb_overlaps,
    };
    #[pymodule_export]
    use super::restrict::{harden_process, restrict_self};
    #[pymodule_export]
    use super::seal::sealing_keypair;
    #[pymodule_export]
    use super::space::{Space, collect_contents, forget_versions};
    #[pymodule_export]
    use super::store::{Refused, Store};
}
