//! Preference pairs: mining, mixing, probing, protected topics.

mod answers;
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

pub use answers::Answers;
pub use asked::{Questioning, Questions, QuestionsError, all_questions, questions_of_answers};
pub use atomic::{AtomicError, AtomicMining, AtomicSources, Atoms, mine_atomic};
pub use mine::{MineError, Mined, Mining, PreferenceFormat, mine};
pub use mix::{LevelCount, Mixed, Mixing, Order, PairLabels, Preferences, level_counts, mix};
pub use probe::{ClassCounts, ProbeError, Thresholds, class_counts, probe};
pub use protect::{Protection, ProtectionError, check_protected};
pub use reward::Reward;
pub use sentences::AtomicForm;
