//! In what order, and what happened: the queue, attempts in child processes, and the journal of events.

pub mod attempt;
mod child;
mod earlier;
mod ending;
pub mod event;
mod execute;
mod inputs;
pub mod journal;
mod nearest;
mod reading;
mod run;
mod slots;
mod survey;

pub use ending::INTERRUPTION;
pub use execute::{Ending, Options, Outcome, StageOutcome, execute};
pub use reading::wrong_inputs;
pub use slots::{Machine, not_built_for};
pub use survey::{State, Survey, Surveyed, explain, survey};
