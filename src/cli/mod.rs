//! The command line, one file per command.

#[macro_use]
mod output;

mod amounts;
mod attempt;
mod bench;
mod cache;
mod cancel;
mod collect;
mod compare;
mod completions;
mod conclusion;
mod convert;
mod dag;
#[cfg(feature = "dashboard")]
mod dashboard;
mod diagnostics;
mod doctor;
mod door;
mod estimates;
mod explain;
mod export;
mod generate;
mod init;
mod kinds;
mod latex;
mod logprobs;
mod logs;
mod model;
mod named_keys;
mod path;
mod pin;
mod plan;
mod protobuf;
mod remote_args;
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
mod transfer;
mod usage;
mod validate;
mod wandb;

pub use door::main;
