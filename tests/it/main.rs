//! Integration tests: one binary, a file a subject.

mod architecture;
mod run;
mod store;
