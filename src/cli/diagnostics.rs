//! Where `tracing` goes: warnings to the terminal, more on request, everything of an attempt to its log.

use std::{fs::File, io::IsTerminal, path::Path, sync::Mutex};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Begins to listen; `RUST_LOG` says to how much.
///
/// # Errors
/// Where the log file cannot be written.
pub(super) fn listen(default: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A log that cannot be written ends nothing; the word about it would go to stderr with a panic where that is gone too.
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    match file {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write the log file {}", path.display()))?;
            subscriber.with_ansi(false).with_writer(Mutex::new(file)).init();
        }
        None => subscriber.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init(),
    }
    Ok(())
}
