//! Agents' workspaces as versions: what an action changed is listed, kept by content, and can be put back.
//!
//! A workspace is a directory of its agent's (`live`, the state of its newest version) and a log of versions beside
//! it. A version holds what one action changed: each path with what it was before and is after. Contents lie in one
//! store for the whole swarm, named by their BLAKE3. The version's record, renamed into its place, is the commit:
//! before it version N stands, after it N+1, and `settle` carries `live` there if the process died in between.
//! Nothing of an agent's is opened but by descriptor, below a directory, through no link (`beneath`).

mod apply;
mod beneath;
mod blobs;
mod change;
mod collect;
mod error;
mod expect;
mod live;
mod log;
mod mark;
mod proposal;
mod record;
mod remove;
mod space;
mod stager;
mod upper;
mod view;

pub use change::Change;
pub use collect::{Collected, collect};
pub use error::{Error, Kind, Result};
pub use log::forget;
pub use mark::Mark;
pub use proposal::{Contents, MAX_NOTE, Proposal};
pub use record::{Cause, Header, Record};
pub use remove::remove_tree;
pub use space::{Committed, Meta, Quota, Space};
pub use view::{Entry, Listing};
