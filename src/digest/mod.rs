//! Stable content hashes.

mod format;

pub use format::{Digest, ParseDigestError, digest_value};
