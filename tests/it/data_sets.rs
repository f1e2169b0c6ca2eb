//! Labelled data sets, which lie beside the checkout or where `APEFT_DATA` says.

use std::path::{Path, PathBuf};

/// A data set, or none with a word; where `APEFT_DATA` says where data sets are, it must be there.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("APEFT_DATA").map(PathBuf::from);
    let data = named.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = data.join(name);
    assert!(named.is_none() || folder.is_dir(), "APEFT_DATA has no {}", folder.display());
    if !folder.is_dir() {
        println!("skipped: neither ../shared/data nor APEFT_DATA holds {name}");
    }
    folder.is_dir().then_some(folder)
}
