//! Preference pairs: mining, mixing, probing, protected topics.

mod asked;
mod atomic;
mod bins;
mod draw;
mod mine;
mod mix;
mod pieces;
mod probe;
mod protect;
mod reward;
mod sentences;
mod substitute;

pub use asked::{
    ClaimQuestions, CompletionTopics, Questioning, Questions, QuestionsError, all_questions,
};
pub use atomic::{AtomicError, AtomicMining, AtomicSources, Atoms, mine_atomic};
pub use mine::{
    MineError, Mined, MinedRows, MinedSizes, Miner, Mining, PreferenceFormat, UsedResponses,
};
pub use mix::{
    DrawnPair, LevelCount, LevelCounts, Mixed, Mixing, Order, PairLabels, Preferences, mix,
};
pub use probe::{ClassCounts, ClassTable, Thresholds, UnknownQuestion, probed_fact};
pub use protect::{Protection, ProtectionError};
pub use reward::Reward;
pub use sentences::{AtomicForm, FactMentions, Mentions};
