//! What a text claims, and texts that claim things.

mod claim;
mod corpus;
mod domain;
mod name;
mod normal;
mod phrases;
mod prompt;
mod segment;
mod table;

pub use claim::{capitalised, extract};
pub use corpus::{Corpus, CorpusError, Guesses, Noise, Shape, Standings, Written};
pub use domain::{Domain, DomainError, check_names};
pub use name::{NameIndex, Named};
pub use normal::{normalise, words};
pub use phrases::{AttributePhrases, Openers, Phrases, PhrasesError};
pub use prompt::prompts;
pub use segment::{Sentence, sentences};
pub use table::{Entity, FactTable, TableError};
