//! Which answer is better.
