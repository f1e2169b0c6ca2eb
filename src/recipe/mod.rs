//! What the user wrote: recipe files, read with the position of every value.

pub mod schema;

mod check;
mod document;
mod editor;
mod fit;
mod load;
mod matrix;
mod node;
mod setting;
mod template;

pub use check::{check, wording};
pub use document::{missing_file, resolve_path};
pub use editor::json_schema;
pub use load::{Recipe, StageText};
pub use matrix::{MOST_CELLS, Matrix, Variable};
pub use node::{Data, Entry, Node, Table};
pub use setting::is_setting;
pub use template::{Piece, fill, pieces};
