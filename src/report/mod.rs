//! The report of a run: one self-contained page.

mod agreement;
mod answers;
mod card;
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

pub use card::model_card;
pub use comparison::{Comparisons, comparisons};
pub use history::{History, StageEnding, StageHistory};
pub use page::{ReportError, write};
pub use table::{CellLine, TextTable, arms, averages, grid};
