//! Other stores that artifacts are pushed to and pulled from: folders, and S3-compatible storage.

mod address;
mod bucket;
mod client;
mod transfer;
mod upload;

pub use address::RemoteAddress;
pub use transfer::{Moved, Remote, RemoteError, Transfer};
