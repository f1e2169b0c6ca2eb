//! What the user wrote: recipe files, read with the position of every value.

pub mod schema;
