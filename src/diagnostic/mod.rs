//! Error messages: file, line, caret and suggestions.

mod counted;
mod limits;
mod nearest;
mod panic_text;
mod printable;
mod problem;
mod render;
mod source;

pub use counted::counted;
pub use limits::limit;
pub use nearest::{known, nearest, shortened, suggestion};
pub use panic_text::panic_text;
pub use printable::printable;
pub use problem::{Problem, Problems, Severity};
pub use source::{Source, Span};
