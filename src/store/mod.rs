//! Where results live: artifacts by key, sealed and checked.

mod audit;
mod bucket;
mod draft;
mod durable;
mod error;
mod hash;
mod lease;
mod lock;
mod manifest;
mod memo;
mod prune;
mod snapshot;

pub use audit::{Audit, Problem};
pub use bucket::{Artifact, Lookup, Store};
pub use draft::Draft;
pub use error::StoreError;
pub use lease::{Closed, Lease, Pinned, Project};
pub use lock::Lock;
pub use prune::{Claims, Collection, Leftover, Usage};
pub use snapshot::{Snapshot, Times};
