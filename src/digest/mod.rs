//! What makes two things the same: the stable hash and its written format.

mod format;

pub use format::{Digest, ParseDigestError, digest_value};
