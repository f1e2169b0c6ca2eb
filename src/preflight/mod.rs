//! Checks of stages and their input files before anything runs.

mod checks;
mod comparable;
mod input_rows;
mod outlook;

pub use input_rows::Wanted;
pub use outlook::{Foreseen, Origin, Outlook};
