//! Whether a claim holds.
