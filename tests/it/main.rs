//! Integration tests.

mod diagnostics;
