//! Why knowledge could not be read, written or searched.

use std::path::{Path, PathBuf};

use crate::rows::json_lines::JsonLinesError;

/// Why knowledge could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// Not such a database, or an error of the file system.
    #[error("{path}: {source}; expected an SQLite file with a table `documents(title, \
    text)`", path = .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// Articles could not be read.
    #[error(transparent)]
    Articles(#[from] JsonLinesError),
    /// The file could not be read.
    #[error("{path}: {problem}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        problem: std::io::Error,
    },
    /// The file is in another format.
    #[error("{path}: {problem}", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is, and what is expected.
        problem: String,
    },
    /// Two articles have one title.
    #[error("{path}: the title `{title}` occurs twice{lines}", path = .path.display())]
    DuplicateTitle {
        /// The file.
        path: PathBuf,
        /// The title.
        title: String,
        /// Where in the file, or nothing.
        lines: String,
    },
    /// The file has no articles.
    #[error("{path}: the file has no articles", path = .path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
    },
    /// Another program is writing the database, or was interrupted.
    #[error(
        "{log} holds changes that are not in the database yet; close the program that writes it, \
        or run \
         `sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'`",
        path = .path.display(), log = .log.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
    },
    /// The passages of all articles were to be searched without an index of them.
    #[error(
        "{path} has no full-text index, which `within = \"all\"` needs; make the knowledge by a \
        stage of the kind `knowledge` with `search_index = true`",
        path = .path.display()
    )]
    NoSearchIndex {
        /// The file.
        path: PathBuf,
    },
}

/// Wraps an error of SQLite: `.map_err(in_database(path))`.
pub(super) fn in_database(path: &Path) -> impl FnOnce(rusqlite::Error) -> KnowledgeError {
    move |source| KnowledgeError::Database { path: path.to_owned(), source }
}

/// Wraps an error of the file system: `.map_err(in_file(path))`.
pub(super) fn in_file(path: &Path) -> impl FnOnce(std::io::Error) -> KnowledgeError {
    move |problem| KnowledgeError::Io { path: path.to_owned(), problem }
}
