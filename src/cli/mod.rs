//! What the user may ask: one file per command.

mod attempt;
mod cache;
mod common;
mod dag;
mod diagnostics;
mod door;
mod explain;
mod init;
mod logs;
mod plan;
mod run;
mod schema;
mod status;
mod terminal;
mod validate;

pub use door::main;
