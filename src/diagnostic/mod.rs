//! How we say what is wrong: file, line, caret, the nearest right name.

mod limits;
mod nearest;
mod problem;
mod render;
mod source;

pub use limits::limit;
pub use nearest::{known, nearest, suggestion};
pub use problem::{Problem, Problems, Severity};
pub use source::{Source, Span};
