//! Errors of the store.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::diagnostic::limit;

/// An error of the file system or the store's contents.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system reported an error.
    #[error("cannot {doing} {path}: \
    {cause}{hint}", path = .path.display(), hint = hint(.doing, .cause))]
    Io {
        /// Operation: "read", "write", ...
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Error of the file system.
        cause: std::io::Error,
    },
    /// A file changed while it was hashed.
    #[error("{path} changed while it was being read; run again while nothing writes to \
    it", path = .0.display())]
    Unsteady(PathBuf),
    /// A file changed after its first use in a run.
    #[error("{path} was written after its first use in this run; run again while nothing writes \
    to it", path = .0.display())]
    Written(PathBuf),
    /// An SQLite file whose last changes are in another file.
    #[error(
        "{log} holds changes that are not in the database yet; close the program that writes it, \
        or run `sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'`",
        path = .path.display(), log = .log.display()
    )]
    Unmerged {
        /// The database.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
    },
    /// A name that is not UTF-8.
    #[error("the name of {path} is not UTF-8; rename it", path = .0.display())]
    Name(PathBuf),
    /// A device, pipe or socket.
    #[error("{path} is neither a file nor a folder", path = .0.display())]
    Strange(PathBuf),
    /// A cycle of links.
    #[error("{path} is nested too deeply: a link leads back to a parent folder; remove that \
    link", path = .0.display())]
    Circle(PathBuf),
    /// A folder without matching files.
    #[error("{path} holds no file named {wanted}", path = .path.display())]
    Nothing {
        /// Folder.
        path: PathBuf,
        /// Patterns.
        wanted: String,
    },
    /// A lease that another process took over.
    #[error(
        "another process took over {path}, since this one did not renew it for two minutes; run \
        again", path = .0.display()
    )]
    Lost(PathBuf),
    /// A stage wrote no file.
    #[error("the stage wrote no file into its output folder")]
    Empty,
}

impl StoreError {
    /// Wraps an error of the file system: `.map_err(StoreError::io("read", path))`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { doing, path: path.to_owned(), cause }
    }

    /// Whether the error leaves the content unknown.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { doing: "read" | "list", .. } | Self::Unsteady(_))
    }
}

/// Missing lock support has several error codes: Lustre without `-o flock`, NFS with `nolock` or
/// without its lock daemon.
pub(super) fn has_no_locks(cause: &std::io::Error) -> bool {
    // The standard library gives it no kind of its own.
    const LOCKS_USED_UP: i32 = rustix::io::Errno::NOLCK.raw_os_error();
    cause.kind() == ErrorKind::Unsupported || cause.raw_os_error() == Some(LOCKS_USED_UP)
}

fn hint(doing: &str, cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        _ if doing == "lock" && has_no_locks(cause) => {
            "; this file system has no file locks (flock): unset APEFT_LOCKS, and the store is \
            locked by lease files, or put it on another disk with --cache or APEFT_CACHE"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space (`apeft cache gc --dry-run` lists what can be removed), or put \
            the store on another disk with --cache"
        }
        ErrorKind::PermissionDenied if matches!(doing, "read" | "list") => {
            "; it belongs to another user or is not readable: all users of a shared store need a \
            umask that admits the others (such as 002), and `chmod -R g+rwX` on existing files"
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
            assert!(
                said.contains("no file locks (flock)") && said.contains("APEFT_CACHE"),
                "{said}"
            );
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
