//! The knowledge source: articles against which claims are verified.

mod article;
mod base;
mod builder;
mod cut;
mod database;
mod dump;
mod error;
mod format;
mod lookup;
mod marks;
mod normal_title;
mod retrieval;
mod schema;
mod summary;

pub use article::Article;
pub use base::{Knowledge, Passage, write};
pub use builder::{Builder, KnowledgeEntry, write_titles};
pub use cut::approximate_tokens;
pub use database::{DatabaseUse, database_use};
pub use dump::{Dump, DumpProgress};
pub use error::KnowledgeError;
pub use format::{KnowledgeFormat, format_of};
pub use lookup::AmbiguousTopics;
pub use retrieval::{RetrievalSettings, Within};
pub use summary::KnowledgeSummary;
