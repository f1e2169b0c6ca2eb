//! What we take to be true.
