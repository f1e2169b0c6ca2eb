//! Which answer is better.

mod asked;
mod atomic;
mod draw;
mod mine;
mod mix;
mod probe;
mod protect;
mod reward;

pub use asked::{Questioning, Questions, QuestionsError, all_questions, questions_of_answers};
pub use atomic::{AtomicError, AtomicForm, AtomicMining, Atoms, mine_atomic};
pub use mine::{Answers, MineError, Mined, Mining, Rows, mine};
pub use mix::{LevelCount, Mixed, Mixing, Order, Preferences, level_counts, mix};
pub use probe::{ClassCounts, ProbeError, Thresholds, class_counts, probe};
pub use protect::{Protection, ProtectionError, check_protected};
pub use reward::Reward;
