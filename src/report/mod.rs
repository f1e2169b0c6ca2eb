//! What we tell people of a run: one page that needs nothing beside itself.

mod answers;
mod chart;
mod curves;
mod diagnosis;
mod graph;
mod history;
mod page;
mod scores;

pub use history::{History, Outcome, StageHistory};
pub use page::{ReportError, write};
