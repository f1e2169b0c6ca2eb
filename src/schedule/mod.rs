//! Executes a plan: queue, attempts in child processes, and the journal of events.

pub mod attempt;
mod card;
mod child;
mod dispatcher;
mod earlier;
pub mod event;
mod examiner;
mod execute;
mod executor;
mod expected_calls;
mod expected_memory;
mod input_checks;
mod inputs;
pub mod job;
pub mod journal;
mod label;
mod nearest;
mod outcome;
mod progress_log;
mod slots;
mod state;
mod survey;

pub use card::{CARD, card};
pub use event::INTERRUPTION;
pub use execute::execute;
pub use expected_calls::{CallNumber, StageCalls, expected_calls};
pub use expected_memory::expected_memory;
pub use input_checks::wrong_inputs;
pub use label::RunLabel;
pub use outcome::{Ending, RunOptions, RunOutcome, StageOutcome};
pub use slots::{Machine, not_built_for};
pub use survey::{Survey, SurveyState, Surveyed, explain, survey};
