//! Clauses of a sentence as claims: lists, coordinated verbs, relative clauses, appositions,
//! participles and brackets become facts of their own, each with its subject.

mod bracket;
mod claims;
mod coordination;
mod denial;
mod emit;
mod extras;
mod lexeme;
mod list;
mod past;
mod phrase;
mod predicate;
mod reading;
mod report;
mod restriction;
mod sentence;
mod subject;
mod tag;
mod verbs;

pub use claims::extract_clauses;
pub(super) use claims::mark_repetitions;
