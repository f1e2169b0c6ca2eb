//! Synthetic worlds: tables of entities, and texts and prompts about them.

mod corpus;
mod domain;
mod phrases;
mod prompt;
mod table;

pub use corpus::{
    Corpus, CorpusError, DistractorSource, DocumentShape, ReliabilityShares, SourceErrorModel,
    WrittenDocuments,
};
pub use domain::{Domain, DomainError, check_names};
pub use phrases::{AttributePhrases, Openers, Phrases, PhrasesError};
pub use prompt::prompts;
pub use table::{Entity, FactTable, TableError};
