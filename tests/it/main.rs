//! Integration tests: one binary, a file a subject.

mod architecture;
mod diagnostics;
mod factscore;
mod kills;
mod recipes;
mod run;
mod store;
