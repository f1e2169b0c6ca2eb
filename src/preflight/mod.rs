//! Checks of stages and their input files before anything runs.

mod checks;
mod comparable;
mod effort;
mod forecast;
mod input_rows;
mod memory;
mod outlook;
mod text_sizes;

pub use effort::Effort;
pub use forecast::Forecast;
pub use input_rows::Wanted;
pub use memory::StageMemory;
pub use outlook::{Foreseen, Origin, Outlook};
pub use text_sizes::TextSizes;
