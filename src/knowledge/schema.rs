//! The tables of a database of knowledge.

/// FActScore's table, by which other tools read the articles.
pub(super) const DOCUMENTS: &str = "CREATE TABLE documents (title PRIMARY KEY, text);";

/// The same without an index, which is faster to make when all articles are there.
pub(super) const UNSORTED: &str = "CREATE TABLE documents (title, text);";

/// What is looked up in other tables, in the order of the source: titles of articles (without a
/// target), redirects, and what disambiguation pages list (with a place). It has a database of its
/// own, which is removed in the end.
pub(super) const NAMES: &str = "\
    CREATE TABLE names.names (normal TEXT, title TEXT, target TEXT, place INTEGER);";

/// The tables that pages are looked up in, from the names. `titles` has the normal form of each
/// article's title and of each redirect's source. Sorted rows are appended and never moved.
pub(super) const SORTED: &str = "\
    INSERT INTO titles SELECT DISTINCT normal, title FROM names.names WHERE place IS NULL \
    ORDER BY normal, title;\
    INSERT OR IGNORE INTO redirects SELECT title, target FROM names.names \
    WHERE target IS NOT NULL AND place IS NULL ORDER BY title, rowid;\
    INSERT OR IGNORE INTO disambiguations SELECT title, place, target FROM names.names \
    WHERE place IS NOT NULL ORDER BY title, place, rowid;";

/// The index of titles, which FActScore's table has as its primary key.
pub(super) const TITLE_INDEX: &str = "CREATE UNIQUE INDEX documents_title ON documents (title);";

/// The tables that pages are looked up in.
pub(super) const INDEX: &str = "\
    CREATE TABLE titles (normal TEXT NOT NULL, title TEXT NOT NULL, PRIMARY KEY (normal, title)) \
    WITHOUT ROWID;\
    CREATE TABLE redirects (source TEXT PRIMARY KEY, target TEXT NOT NULL) WITHOUT ROWID;\
    CREATE TABLE disambiguations (title TEXT NOT NULL, place INTEGER NOT NULL, \
    target TEXT NOT NULL, PRIMARY KEY (title, place)) WITHOUT ROWID;";

/// Facts about the database itself.
pub(super) const META: &str = "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;";

/// The full-text index of passages, without their text. The id of a passage is that of its article
/// times [`PASSAGES_OF_AN_ARTICLE`], and its place there.
pub(super) const SEARCH: &str = "CREATE VIRTUAL TABLE passages USING \
    fts5(title, text, content='', tokenize='porter unicode61');";

/// Maximum number of passages of an article in the full-text index.
pub(super) const PASSAGES_OF_AN_ARTICLE: i64 = 1 << 16;

/// Tokens of a passage in the full-text index.
pub(super) const SEARCHED_TOKENS: usize = 256;

/// Value of `format` in `meta`.
pub(super) const FORMAT: &str = "apeft 1";
