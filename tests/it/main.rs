//! Integration tests.

mod run;
mod store;
