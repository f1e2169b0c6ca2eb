//! What a text claims, and texts that claim things.

mod abbreviation;
mod claim;
mod corpus;
mod domain;
mod emphasis;
mod frame;
mod markup;
mod name;
mod normal;
mod number;
mod other;
mod phrases;
mod prompt;
mod segment;
mod struck;
mod subject;
mod table;
mod token;
mod topic;
mod unicode;
mod verb;

pub use claim::{capitalised, extract};
pub use corpus::{Corpus, CorpusError, Guesses, Noise, Shape, Standings, Written};
pub use domain::{Domain, DomainError, check_names};
pub use name::{NameIndex, Named};
pub use normal::{normalise, words};
pub use number::{is_measure, tells};
pub use phrases::{AttributePhrases, Openers, Phrases, PhrasesError};
pub use prompt::prompts;
pub use segment::{Sentence, sentences};
pub use subject::is_expletive;
pub use table::{Entity, FactTable, TableError};
pub use token::{Token, tokens};
pub use topic::{Topic, bare};
pub use unicode::{spellings, unaccented};
pub use verb::{is_auxiliary, is_copula, is_verb};
