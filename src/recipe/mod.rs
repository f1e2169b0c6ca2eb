//! Recipe files, read with the position of every value.

pub mod schema;

mod check;
mod document;
mod editor;
mod load;
mod long;
mod matrix;
mod names;
mod node;
mod project;
mod reference;
mod remote;
mod setting;
mod side_by_side;
mod syntax;
mod template;

pub use check::{check, check_parameter, wording};
pub use document::{missing_file, resolve_path};
pub use editor::json_schema;
pub use load::{Recipe, StageText};
pub use matrix::{MOST_CELLS, Matrix, Variable};
pub use names::is_plain_name;
pub use node::{Data, Entry, Node, Table};
pub use project::{PROJECT_FILE, project_settings};
pub use reference::{InputReference, KindReference, ParameterReference};
pub use remote::RemoteSettings;
pub use setting::is_setting;
pub use side_by_side::side_by_side;
pub use template::{Piece, fill, pieces};
