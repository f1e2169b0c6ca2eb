//! Why the store could not do what it was asked, in words for the user.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::diagnostic::limit;

/// The file system refused, or what is there is not what belongs there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("cannot {doing} {path}: {cause}{hint}", path = .path.display(), hint = hint(.doing, .cause))]
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
    /// Links that lead round in a circle.
    #[error("{path} lies too deep: a link above it leads back to a folder that holds it; remove that link", path = .0.display())]
    Circle(PathBuf),
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

    /// Whether something could not be looked at, which says nothing of what it is.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { doing: "read" | "list", .. } | Self::Unsteady(_))
    }
}

/// File systems without locks say so in one of several ways: Lustre without `-o flock`, NFS with `nolock` or without its
/// lock daemon.
fn has_no_locks(cause: &std::io::Error) -> bool {
    const LOCKS_USED_UP: i32 = rustix::io::Errno::NOLCK.raw_os_error();
    cause.kind() == ErrorKind::Unsupported || cause.raw_os_error() == Some(LOCKS_USED_UP)
}

fn hint(doing: &str, cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        _ if doing == "lock" && has_no_locks(cause) => {
            "; this file system offers no file locks (flock), without which two runs could make the same artifact at once: put the store on another disk with --cache or APEFT_CACHE, or mount this one with locks (Lustre: -o flock; NFS: without nolock, and with its lock daemon)"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space (`apeft cache gc --dry-run` shows what nothing needs), or put the store on another disk with --cache"
        }
        ErrorKind::PermissionDenied if matches!(doing, "read" | "list") => {
            "; it belongs to another user, or may not be read: where several people share a store, all of them need a umask that lets the others in (such as 002), and `chmod -R g+rwX` on what is there"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; the store must be writable: choose another place with --cache or APEFT_CACHE"
        }
        _ => limit(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn words(doing: &'static str, errno: Errno) -> String {
        StoreError::io(doing, Path::new("cache/v1/locks/x"))(errno.into()).to_string()
    }

    #[test]
    fn a_file_system_without_locks_is_named_whatever_it_says() {
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK] {
            let said = words("lock", errno);
            assert!(said.starts_with("cannot lock cache/v1/locks/x: "), "{said}");
            assert!(said.contains("no file locks (flock)") && said.contains("APEFT_CACHE"), "{said}");
        }
        assert!(!words("write", Errno::NOSYS).contains("flock"));
    }

    #[test]
    fn what_may_not_be_read_is_another_matter_than_what_may_not_be_written() {
        assert!(words("read", Errno::ACCESS).contains("umask"));
        assert!(words("create", Errno::ACCESS).contains("must be writable"));
        assert!(words("create", Errno::ROFS).contains("must be writable"));
        assert!(words("write", Errno::NOSPC).contains("cache gc --dry-run"));
    }
}
