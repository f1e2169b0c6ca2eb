//! Why the store could not do what it was asked, in words for the user.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The file system refused, or what is there is not what belongs there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("cannot {doing} {path}: {cause}{hint}", path = .path.display(), hint = hint(.cause))]
    Io {
        /// What was being done: "read", "write", ...
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the file system said.
        cause: std::io::Error,
    },
    /// A file changed while its digest was taken.
    #[error("{path} changed while it was being read; run again when nothing writes to it", path = .0.display())]
    Unsteady(PathBuf),
    /// A file changed after a run had looked at it.
    #[error("{path} was written after this run looked at it; run again when nothing writes to it", path = .0.display())]
    Written(PathBuf),
    /// A name that no other machine could read.
    #[error("the name of {path} is not UTF-8; rename it", path = .0.display())]
    Name(PathBuf),
    /// Something that is neither a file nor a folder.
    #[error("{path} is neither a file nor a folder", path = .0.display())]
    Strange(PathBuf),
    /// A folder that holds nothing of what is wanted.
    #[error("{path} holds no file named {wanted}", path = .path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// The patterns that were looked for.
        wanted: String,
    },
    /// A stage left no file.
    #[error("the stage left no file in its output folder")]
    Empty,
}

impl StoreError {
    /// Wraps an error of the file system: `.map_err(StoreError::io("read", path))`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { doing, path: path.to_owned(), cause }
    }
}

fn hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space (`apeft cache gc --dry-run` shows what nothing needs), or put the store on another disk with --cache"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; the store must be writable: choose another place with --cache or APEFT_CACHE"
        }
        _ => "",
    }
}
