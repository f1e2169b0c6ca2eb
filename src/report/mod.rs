//! What we tell people of a run: one page that needs nothing beside itself.

mod answers;
mod chart;
mod comparison;
mod cost;
mod curves;
mod diagnosis;
mod examples;
mod graph;
mod history;
mod page;
mod scores;
mod table;

pub use comparison::{Comparisons, comparisons};
pub use history::{History, Outcome, StageHistory};
pub use page::{ReportError, write};
pub use table::{Line, Table, arms, averages, grid};
