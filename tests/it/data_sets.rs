//! Labelled data sets beside the checkout or in `APEFT_DATA`.

use std::path::{Path, PathBuf};

/// A data set, or none with a message; with `APEFT_DATA` it must exist.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("APEFT_DATA").map(PathBuf::from);
    let data = named
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = data.join(name);
    assert!(named.is_none() || folder.is_dir(), "APEFT_DATA has no {}", folder.display());
    if !folder.is_dir() {
        println!("skipped: neither ../shared/data nor APEFT_DATA holds {name}");
    }
    folder.is_dir().then_some(folder)
}
