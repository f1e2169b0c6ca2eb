//! Integration tests: one binary, a file a subject.

mod architecture;
mod diagnostics;
mod factscore;
mod recipes;
mod run;
mod store;
