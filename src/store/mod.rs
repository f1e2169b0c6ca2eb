//! Artifacts by key, sealed and verified.

mod audit;
mod bucket;
mod calls;
mod draft;
mod durable;
mod error;
mod hash;
mod layout;
mod lease;
mod lock;
mod manifest;
mod memo;
mod patterns;
mod pins;
mod prune;
mod snapshot;

pub use audit::{Audit, AuditFinding};
pub use bucket::{Artifact, Lookup};
pub use calls::CallLog;
pub use draft::Draft;
pub use error::StoreError;
pub use layout::Store;
pub use lease::{Closed, Lease, Pinned, Project};
pub use lock::Lock;
pub use patterns::{EVERY_FILE, FilePatterns};
pub use prune::{Claims, Collection, GcCandidate, Usage};
pub use snapshot::{Snapshot, Times};
