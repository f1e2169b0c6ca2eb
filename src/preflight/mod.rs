//! Checks of stages and their input files before anything runs.

mod checks;
mod comparable;
mod forecast;
mod input_rows;
mod outlook;

pub use forecast::Forecast;
pub use input_rows::Wanted;
pub use outlook::{Foreseen, Origin, Outlook};
