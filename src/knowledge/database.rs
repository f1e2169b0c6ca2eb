//! Databases that are read: how they are opened, and what they have.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{
    error::{KnowledgeError, in_database, in_file},
    schema::FORMAT,
};

/// Opens a database read-only and without its write-ahead log, whose content is in no key.
pub(super) fn open_database(path: &Path) -> Result<Connection, KnowledgeError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(address(path)?, flags).map_err(in_database(path))
}

/// Opens a second database beside the first one, as `side`.
pub(super) fn attach(connection: &Connection, path: &Path) -> Result<(), KnowledgeError> {
    let attached = connection.execute("ATTACH ?1 AS side", [address(path)?]);
    attached.map(drop).map_err(in_database(path))
}

/// The URI of a database that is not being written.
fn address(path: &Path) -> Result<String, KnowledgeError> {
    // An artifact links to the user's file, and the log is beside that.
    let path = path.canonicalize().map_err(in_file(path))?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).metadata().is_ok_and(|found| found.len() > 0) {
        return Err(KnowledgeError::Unfinished { path, log: log.into() });
    }
    let escaped: String =
        path.as_os_str().as_encoded_bytes().iter().map(|byte| escaped(*byte)).collect();
    // Immutable: SQLite would otherwise write locks beside a file in a read-only folder.
    Ok(format!("file:{escaped}?immutable=1"))
}

/// The database among these that has this program's tables.
pub(super) fn index_of(
    connection: &Connection,
    schemas: &[&'static str],
) -> rusqlite::Result<Option<&'static str>> {
    for schema in schemas {
        let tables =
            format!("SELECT EXISTS (SELECT 1 FROM {schema}.sqlite_master WHERE name = 'meta')");
        if !connection.query_row(&tables, [], |row| row.get::<_, bool>(0))? {
            continue;
        }
        let format = format!("SELECT value FROM {schema}.meta WHERE key = 'format'");
        let format = connection.query_row(&format, [], |row| row.get::<_, String>(0)).optional();
        // A table of this name in another program's database has other columns.
        if format.is_ok_and(|format| format.as_deref() == Some(FORMAT)) {
            return Ok(Some(schema));
        }
    }
    Ok(None)
}

/// Escapes a byte of a path for an SQLite URI.
fn escaped(byte: u8) -> String {
    let is_plain = byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if is_plain { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

/// A title with two articles, of which only one would be read; a unique index rules that out.
pub(super) fn repeated_title(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if has_unique_titles(connection)? {
        return Ok(None);
    }
    let repeated = "SELECT title FROM documents GROUP BY title HAVING count(*) > 1 LIMIT 1";
    connection.query_row(repeated, [], |row| row.get(0)).optional()
}

/// Whether a database with this program's tables has the full-text index.
pub(super) fn has_search_index(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE name = 'passages')";
    connection.query_row(query, [], |row| row.get(0))
}

fn has_unique_titles(connection: &Connection) -> rusqlite::Result<bool> {
    let unique = "SELECT EXISTS (SELECT 1 FROM pragma_index_list('documents') AS list WHERE \
        list.\"unique\" = 1 \
        AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = 'title')";
    connection.query_row(unique, [], |row| row.get(0))
}

/// How another program's database becomes knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseUse {
    /// As it is: it has this program's tables, and perhaps its full-text index.
    Complete {
        /// Whether it has the index.
        has_search_index: bool,
    },
    /// Where it is, with `titles.db` beside it.
    WithTitles,
    /// As a copy, since titles are looked up in an index that it does not have.
    Copy,
}

/// Looks at the tables of a database.
///
/// # Errors
/// Where it cannot be read, or has no articles.
pub fn database_use(path: &Path) -> Result<DatabaseUse, KnowledgeError> {
    let connection = open_database(path)?;
    let first = connection
        .prepare("SELECT title, text FROM documents LIMIT 1")
        .and_then(|mut query| query.exists([]));
    if !first.map_err(in_database(path))? {
        return Err(KnowledgeError::Nothing { path: path.to_owned() });
    }
    let is_ours = index_of(&connection, &["main"]).map_err(in_database(path))?.is_some();
    let is_unique = has_unique_titles(&connection).map_err(in_database(path))?;
    Ok(match (is_ours, is_unique) {
        (true, _) => DatabaseUse::Complete {
            has_search_index: has_search_index(&connection).map_err(in_database(path))?,
        },
        (false, true) => DatabaseUse::WithTitles,
        (false, false) => DatabaseUse::Copy,
    })
}
