//! Error messages: file, line, caret and suggestions.

mod limits;
mod nearest;
mod printable;
mod problem;
mod render;
mod source;

pub use limits::limit;
pub use nearest::{known, nearest, shortened, suggestion};
pub use printable::printable;
pub use problem::{Problem, Problems, Severity};
pub use source::{Source, Span};
