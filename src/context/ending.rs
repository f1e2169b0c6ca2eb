//! The request that this process's attempt ends soon: a stage that can write a checkpoint does so
//! at once, and stops.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// Held by a stage while it watches for the request.
#[derive(Debug)]
pub struct Listener(());

impl Listener {
    /// From now on, the request is watched for.
    pub fn begin() -> Self {
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Asks for the end.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether the end was asked for.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Whether a stage watches for the request.
pub fn is_awaited() -> bool {
    LISTENERS.load(Ordering::SeqCst) > 0
}
