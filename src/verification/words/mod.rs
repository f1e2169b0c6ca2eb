//! The verifier by words: how much of a claim retrieved passages state, weighed by fitted
//! coefficients. It compares words, names, numbers and dates and understands no sentence, so it is
//! weak on paraphrases and on claims that reuse the passage's words to say something else.

mod coefficients;
mod features;
mod lexicon;
mod passage;
mod question;
mod rarity;
mod verifier;

pub use coefficients::Coefficients;
pub use features::{FEATURES, Features};
pub use question::stems;
pub use verifier::WordsVerifier;
