//! Which answer is better.

mod mine;
mod protect;

pub use mine::{Answers, MineError, Mined, Mining, mine};
pub use protect::{Protection, ProtectionError, check_protected};
