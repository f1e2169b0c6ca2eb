//! The message of a panic that was caught.

use std::any::Any;

/// The message; empty if the panic carries another type than text.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    // `panic!` carries a `&str` where its message has no arguments, else a `String`.
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().copied().unwrap_or_default(),
    }
}
