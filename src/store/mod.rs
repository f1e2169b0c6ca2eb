//! Where results live: artifacts by key, sealed and checked.

mod audit;
mod bucket;
mod draft;
mod durable;
mod error;
mod hash;
mod lock;
mod manifest;
mod memo;
mod prune;
mod snapshot;

pub use audit::{Audit, Problem};
pub use bucket::{Artifact, Lookup, Store};
pub use draft::Draft;
pub use error::StoreError;
pub use lock::Lock;
pub use prune::{Leftover, Usage};
pub use snapshot::{Snapshot, Times};
