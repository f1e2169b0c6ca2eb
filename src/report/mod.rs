//! The report of a run: a self-contained page, its figures and its findings.

mod agreement;
mod answers;
mod arm_table;
mod card;
mod comparison;
mod cost;
mod curves;
mod diagnosis;
mod examples;
mod figure;
mod findings;
mod first;
mod gallery;
mod graph;
mod history;
mod markup;
mod page;
mod results;
mod scores;
mod stages;
mod style;
mod table;
mod words;

pub use arm_table::{ArmEntry, ArmRow, ArmTable, variables};
pub use card::model_card;
pub use diagnosis::diagnosis_table;
pub use findings::{RunFinding, findings};
pub use history::{History, StageEnding, StageHistory};
pub use page::{ReportError, read, write};
pub use results::Results;
pub use table::{CellLine, TextTable, averages, brief, grid};
