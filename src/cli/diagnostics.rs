//! Output of `tracing`: warnings to the terminal, more on request, everything of an attempt to its
//! log.

use std::{fs::File, io::IsTerminal, path::Path, sync::Mutex};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Installs the subscriber; `RUST_LOG` sets its level.
///
/// # Errors
/// If the log file cannot be written.
pub(super) fn listen(default: &str, file: Option<&Path>) -> anyhow::Result<()> {
    // A mistyped RUST_LOG must not end a run that would take days.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A failed write to the log must not end the process; reporting it on a closed stderr would
    // panic.
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    match file {
        Some(path) => {
            let file = File::create(path)
                .with_context(|| format!("cannot write the log file {}", path.display()))?;
            subscriber.with_ansi(false).with_writer(Mutex::new(file)).init();
        }
        None => subscriber
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init(),
    }
    Ok(())
}
