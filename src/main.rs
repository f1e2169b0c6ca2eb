//! The door: arguments in, exit code out.

use std::process::ExitCode;

/// Keeps freed pages, since clearing new ones costs a fifth of the training time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of the option `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds for which freed pages are kept, and ten times as long for large blocks. With the
/// default of 10 a training step gives its tensors back to the system, and takes them again.
const KEPT: std::ffi::c_long = 1000;

fn main() -> ExitCode {
    // SAFETY: sets a number, before other threads begin. MIMALLOC_PURGE_DELAY comes first.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT) };
    apeft::cli::main()
}
