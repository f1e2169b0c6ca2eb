//! Artifacts by key, sealed and verified.

mod arrival;
mod audit;
mod bucket;
mod calls;
mod check;
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
mod policy;
mod prune;
mod roots;
mod snapshot;

pub use arrival::{Arrival, ArrivalError, Fetch};
pub use audit::{Audit, AuditFinding};
pub use bucket::{Artifact, Lookup};
pub use calls::CallLog;
pub use check::CheckRecord;
pub use draft::Draft;
pub use error::StoreError;
pub use layout::Store;
pub use lease::{Closed, Lease, LiveRoots, Lookups, Project};
pub use lock::Lock;
pub use manifest::SealedFile;
pub use patterns::{EVERY_FILE, FilePatterns};
pub use pins::Pin;
pub use policy::Policy;
pub use prune::{Claims, Collection, GcCandidate, Usage};
pub use snapshot::{Snapshot, Times};
