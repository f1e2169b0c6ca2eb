//! The command line, one file per command.

#[macro_use]
mod output;

mod attempt;
mod bench;
mod cache;
mod collect;
mod compare;
mod completions;
mod convert;
mod dag;
#[cfg(feature = "dashboard")]
mod dashboard;
mod diagnostics;
mod doctor;
mod door;
mod explain;
mod generate;
mod init;
mod kinds;
mod logprobs;
mod logs;
mod model;
mod path;
mod plan;
mod report;
mod run;
mod run_name;
mod runs;
mod schema;
mod shared_args;
mod status;
mod sweep;
mod table;
mod tensorboard;
mod terminal;
mod validate;

pub use door::main;
