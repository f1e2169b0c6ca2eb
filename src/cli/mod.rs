//! What the user may ask: one file per command.

#[macro_use]
mod output;

mod attempt;
mod bench;
mod cache;
mod collect;
mod common;
mod compare;
mod convert;
mod dag;
mod dashboard;
mod diagnostics;
mod doctor;
mod door;
mod explain;
mod generate;
mod init;
mod logprobs;
mod logs;
mod model;
mod plan;
mod report;
mod run;
mod schema;
mod status;
mod sweep;
mod table;
mod terminal;
mod validate;

pub use door::main;
