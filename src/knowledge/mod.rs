//! What we take to be true.

mod article;
mod base;

pub use article::{Article, read_articles};
pub use base::{Knowledge, KnowledgeError, Passage, write};
