//! Rows of the files between stages: prompts, responses, claims, verdicts, pairs.

mod beside;
mod bounds;
mod cell;
mod claim;
mod content;
mod id;
pub mod json_lines;
mod label;
mod line;
mod measure_name;
mod parquet_rows;
mod placed;
mod preference;
mod probe;
mod reasoning;
mod row;
mod schema;
mod shift;
mod span;
mod unique_ids;
mod verdict;

pub use beside::{Member, RowGroups, RowsById};
pub use cell::{Cell, written_value};
pub use claim::{Claim, ClaimKind};
pub use content::{Content, Message};
pub use id::{ClaimId, ResponseId};
pub use label::{AnnotatedSentence, AtomicFact, HumanLabel, LabelRow};
pub use measure_name::{ALL_DOMAINS, MeasureName, OUT_OF_DOMAIN, ShiftMeasureName};
pub use placed::NumberedRows;
pub use preference::{JudgedAnswer, PreferenceAnswers, PreferenceRow};
pub use probe::{AnswerLabel, KnowledgeClass, ProbedAnswer, ProbedFact};
pub use reasoning::after_reasoning;
pub use row::Row;
pub use schema::{
    Document, Finish, LabelledAnswer, Level, Pair, PairSide, PairSubject, Prompt, PromptForm,
    Response, StatedFact,
};
pub use shift::{AnswerPart, ShiftedAnswer, TokenShift};
pub use span::{CharSpan, ReversedSpan};
pub use verdict::{Evidence, FactLabel, Page, PageMatch, RetrievedPassages, Verdict};
