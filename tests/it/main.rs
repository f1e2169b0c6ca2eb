//! Integration tests: one binary, a file a subject.

mod architecture;
mod checkpoints;
mod commands;
mod data_sets;
mod diagnostics;
mod factscore;
mod faults;
mod inputs;
mod kills;
mod malformed;
mod models;
mod odd_inputs;
mod output;
mod projects;
mod real_files;
mod recipes;
mod rows;
mod run;
mod said;
mod scores;
mod shift;
mod store;
mod text;
mod trl;
mod validation;
