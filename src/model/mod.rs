//! The language model.
