//! The kind `command`: runs a user program with declared inputs and outputs.

mod arguments;
mod program;
mod provided;

pub(crate) use program::{KIND, Parameters, missing, run};
