//! Integration tests.

mod factscore;
