//! Builds a database of knowledge, in transactions that an interrupted build continues after.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::rows::json_lines;

use super::{
    article::Article,
    cut::cut,
    database::{index_of, open_database, repeated_title},
    error::{KnowledgeError, in_database, in_file},
    normal_title::normal_title,
    schema::{
        FORMAT, INDEX, META, NAMES, PASSAGES_OF_AN_ARTICLE, SEARCH, SEARCHED_TOKENS, SORTED,
        TITLE_INDEX, UNSORTED,
    },
    summary::KnowledgeSummary,
};

/// What a source of knowledge has under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnowledgeEntry {
    /// An article.
    Article {
        /// Its title.
        title: String,
        /// Its text, without markup.
        text: String,
    },
    /// A title that leads to an article.
    Redirect {
        /// The title.
        source: String,
        /// The article's title.
        target: String,
    },
    /// A page that lists the articles that its title may mean.
    Disambiguation {
        /// Its title.
        title: String,
        /// Its text.
        text: String,
        /// The titles that it lists.
        targets: Vec<String>,
    },
}

/// A database of knowledge that is being built. Rows are appended in the order of the source, and
/// indexes are made at the end, so that no page is written twice.
pub struct Builder {
    connection: Connection,
    path: PathBuf,
    summary: KnowledgeSummary,
    /// The source whose titles must be unique; a title that a dump repeats is left out.
    unique: Option<PathBuf>,
}

/// Articles of a transaction.
const BATCH: usize = 1000;
/// Largest number of articles that get a full-text index if nothing else is asked for.
const MOST_SEARCHED: u64 = 200_000;
const SETTINGS: &str = "PRAGMA page_size = 4096; PRAGMA cache_size = -65536; \
    PRAGMA temp_store = FILE; PRAGMA synchronous = NORMAL;";

impl Builder {
    /// Creates a database, or opens one whose build was interrupted, with `-names` beside it.
    ///
    /// # Errors
    /// Where the file cannot be written, or is another one.
    pub fn open(path: &Path) -> Result<Self, KnowledgeError> {
        let names = names_of(path);
        // One without the other is of no use.
        if path.exists() && !names.exists() && !is_complete(path)? {
            fs::remove_file(path).map_err(in_file(path))?;
        }
        let connection = Connection::open(path).map_err(in_database(path))?;
        Self::new(connection, path, &names)
    }

    fn new(mut connection: Connection, path: &Path, names: &Path) -> Result<Self, KnowledgeError> {
        let prepared = prepare(&mut connection, names).map_err(in_database(path))?;
        Ok(Self { connection, path: path.to_owned(), summary: prepared, unique: None })
    }

    /// A database in memory with the articles of a file of JSON lines.
    pub(super) fn of_json_lines(file: &Path) -> Result<Connection, KnowledgeError> {
        let connection = Connection::open_in_memory().map_err(in_database(file))?;
        let mut builder = Self::new(connection, file, Path::new(":memory:"))?;
        builder.add_json_lines(file, |_| {})?;
        builder.complete(Some(false))?;
        Ok(builder.connection)
    }

    /// Whether the build had ended.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn is_complete(&self) -> Result<bool, KnowledgeError> {
        let index = index_of(&self.connection, &["main"]).map_err(in_database(&self.path))?;
        Ok(index.is_some())
    }

    /// Where the source was when the last entries were added; none at the beginning.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn position(&self) -> Result<Option<String>, KnowledgeError> {
        let query = "SELECT value FROM meta WHERE key = 'position'";
        let position = self.connection.query_row(query, [], |row| row.get(0)).optional();
        position.map_err(in_database(&self.path))
    }

    /// Adds entries in one transaction, with the position of the source behind them. Of entries
    /// with one title, the first counts.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn add(
        &mut self,
        entries: impl IntoIterator<Item = KnowledgeEntry>,
        position: &str,
    ) -> Result<(), KnowledgeError> {
        let Self { connection, path, summary, .. } = self;
        append(connection, summary, entries, position).map_err(in_database(path))
    }

    /// Adds the articles of a file of JSON lines, and tells their number from time to time.
    ///
    /// # Errors
    /// Names the line that is no article.
    pub fn add_json_lines(
        &mut self,
        file: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<(), KnowledgeError> {
        let mut lines = json_lines::lines::<Article>(file)?;
        self.unique = Some(file.to_owned());
        loop {
            let batch: Result<Vec<_>, _> = lines.by_ref().take(BATCH).collect();
            let batch = batch?;
            if batch.is_empty() {
                return Ok(());
            }
            self.add(batch.into_iter().flat_map(|line| entries(line.row)), "")?;
            progress(self.summary.articles);
        }
    }

    /// Adds the articles of another database.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn add_database(
        &mut self,
        file: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<(), KnowledgeError> {
        let source = open_database(file)?;
        self.unique = Some(file.to_owned());
        let mut query =
            source.prepare("SELECT title, text FROM documents").map_err(in_database(file))?;
        let mut rows = query
            .query_map([], |row| {
                let text: Option<String> = row.get(1)?;
                Ok(KnowledgeEntry::Article { title: row.get(0)?, text: text.unwrap_or_default() })
            })
            .map_err(in_database(file))?;
        loop {
            let batch: Result<Vec<_>, _> = rows.by_ref().take(BATCH).collect();
            let batch = batch.map_err(in_database(file))?;
            if batch.is_empty() {
                return Ok(());
            }
            self.add(batch, "")?;
            progress(self.summary.articles);
        }
    }

    /// Ends the build: makes the indexes, the full-text index among them if it is asked for, or
    /// nothing is asked for and there are at most 200,000 articles.
    ///
    /// # Errors
    /// Where there are no articles, titles that must be unique are not, or the file cannot be
    /// written.
    pub fn finish(
        mut self,
        search_index: Option<bool>,
    ) -> Result<KnowledgeSummary, KnowledgeError> {
        if !self.is_complete()? {
            self.complete(search_index)?;
        }
        let Self { connection, path, summary, .. } = self;
        drop(connection);
        let names = names_of(&path);
        match fs::remove_file(&names) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(in_file(&names)(error)),
            _ => Ok(summary),
        }
    }

    fn complete(&mut self, search_index: Option<bool>) -> Result<(), KnowledgeError> {
        if self.summary.articles == 0 {
            return Err(KnowledgeError::Nothing { path: self.path.clone() });
        }
        let Self { connection, path, summary, unique } = self;
        if let Some(file) = unique
            && let Some(title) = repeated_title(connection).map_err(in_database(path))?
        {
            let (path, lines) = (file.clone(), lines_of(file, &title));
            return Err(KnowledgeError::DuplicateTitle { path, title, lines });
        }
        let is_dump = unique.is_none();
        complete(connection, summary, is_dump, search_index).map_err(in_database(path))
    }
}

/// The first two lines of an article in a file of JSON lines, in words.
fn lines_of(file: &Path, title: &str) -> String {
    let lines = json_lines::lines::<Article>(file).into_iter().flatten().map_while(Result::ok);
    let lines = lines.filter(|line| line.row.title == title).map(|line| line.number);
    match lines.take(2).collect::<Vec<_>>()[..] {
        [first, second] => format!(" (lines {first} and {second})"),
        _ => String::new(),
    }
}

/// Makes the indexes in one transaction: what an interruption leaves is the database before it.
fn complete(
    connection: &mut Connection,
    summary: &mut KnowledgeSummary,
    is_dump: bool,
    search_index: Option<bool>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    match is_dump {
        true => remove_repeated(&transaction, summary)?,
        false => count_shared_redirects(&transaction, summary)?,
    }
    for tables in [TITLE_INDEX, INDEX, SORTED] {
        transaction.execute_batch(tables)?;
    }
    summary.recount(&transaction)?;
    if search_index.unwrap_or(summary.articles <= MOST_SEARCHED) {
        index_passages(&transaction)?;
    }
    transaction.execute("DELETE FROM meta WHERE key = 'position'", [])?;
    mark(&transaction, summary)?;
    transaction.commit()
}

/// Writes the numbers of a finished database, and its format.
fn mark(transaction: &Transaction<'_>, summary: &KnowledgeSummary) -> rusqlite::Result<()> {
    let format = "INSERT INTO meta (key, value) VALUES ('format', ?1)";
    transaction.execute(format, [FORMAT])?;
    summary.write(transaction)
}

/// The file of names beside a database that is being built.
fn names_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-names");
    PathBuf::from(name)
}

fn is_complete(path: &Path) -> Result<bool, KnowledgeError> {
    let connection = Connection::open(path).map_err(in_database(path))?;
    Ok(index_of(&connection, &["main"]).map_err(in_database(path))?.is_some())
}

/// Creates the tables of a new database.
fn prepare(connection: &mut Connection, names: &Path) -> rusqlite::Result<KnowledgeSummary> {
    connection.execute_batch(SETTINGS)?;
    connection.execute("ATTACH ?1 AS names", [names.to_string_lossy()])?;
    connection
        .execute_batch("PRAGMA names.page_size = 4096; PRAGMA names.synchronous = NORMAL;")?;
    let is_new = "SELECT NOT EXISTS (SELECT 1 FROM main.sqlite_master WHERE name = 'meta')";
    if connection.query_row(is_new, [], |row| row.get::<_, bool>(0))? {
        let transaction = connection.transaction()?;
        // Names may be left of a database that was removed, and would be there twice.
        transaction.execute_batch("DROP TABLE IF EXISTS names.names")?;
        for tables in [UNSORTED, META, NAMES] {
            transaction.execute_batch(tables)?;
        }
        KnowledgeSummary::default().write(&transaction)?;
        transaction.commit()?;
    }
    KnowledgeSummary::read(connection, "main")
}

/// An article of JSON lines with its redirects.
fn entries(article: Article) -> Vec<KnowledgeEntry> {
    let Article { title, text, redirects } = article;
    let redirects = redirects.into_iter();
    let redirects =
        redirects.map(|source| KnowledgeEntry::Redirect { source, target: title.clone() });
    let redirects: Vec<KnowledgeEntry> = redirects.collect();
    std::iter::once(KnowledgeEntry::Article { title, text }).chain(redirects).collect()
}

/// Adds entries in one transaction, with the position of the source.
fn append(
    connection: &mut Connection,
    summary: &mut KnowledgeSummary,
    entries: impl IntoIterator<Item = KnowledgeEntry>,
    position: &str,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    append_rows(&transaction, summary, entries)?;
    // In the transaction of the rows, so that an interrupted build does not add them twice.
    let place = "INSERT OR REPLACE INTO meta (key, value) VALUES ('position', ?1)";
    transaction.execute(place, [position])?;
    summary.write(&transaction)?;
    transaction.commit()
}

fn append_rows(
    transaction: &Transaction<'_>,
    summary: &mut KnowledgeSummary,
    entries: impl IntoIterator<Item = KnowledgeEntry>,
) -> rusqlite::Result<()> {
    let article = "INSERT INTO documents (title, text) VALUES (?1, ?2)";
    let mut article = transaction.prepare(article)?;
    let name = "INSERT INTO names.names (normal, title, target, place) VALUES (?1, ?2, ?3, ?4)";
    let mut name = transaction.prepare(name)?;
    for entry in entries {
        if let KnowledgeEntry::Redirect { source, target } = entry {
            name.execute((normal_title(&source), source, target, None::<i64>))?;
            continue;
        }
        let (KnowledgeEntry::Article { title, text }
        | KnowledgeEntry::Disambiguation { title, text, .. }) = &entry
        else {
            continue;
        };
        article.execute([title, text])?;
        name.execute((normal_title(title), title, None::<&str>, None::<i64>))?;
        summary.count_article(title, text);
        if let KnowledgeEntry::Disambiguation { title, targets, .. } = &entry {
            for (place, target) in targets.iter().enumerate() {
                name.execute((None::<&str>, title, target, place as i64))?;
            }
        }
    }
    Ok(())
}

/// Of articles with one title, leaves the first.
fn remove_repeated(
    transaction: &Transaction<'_>,
    summary: &mut KnowledgeSummary,
) -> rusqlite::Result<()> {
    if let Some(first) = repeated_title(transaction)? {
        let later = "DELETE FROM documents WHERE rowid NOT IN \
            (SELECT min(rowid) FROM documents GROUP BY title)";
        summary.repeated = transaction.execute(later, [])? as u64;
        summary.first_repeated = Some(first);
    }
    Ok(())
}

/// Counts titles that redirect to several articles, of which the first is found.
fn count_shared_redirects(
    transaction: &Transaction<'_>,
    summary: &mut KnowledgeSummary,
) -> rusqlite::Result<()> {
    let shared = "SELECT count(*), min(title) FROM (SELECT title FROM names.names \
        WHERE target IS NOT NULL AND place IS NULL \
        GROUP BY title HAVING count(DISTINCT target) > 1)";
    let (count, first) =
        transaction.query_row(shared, [], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    (summary.shared_redirects, summary.first_shared_redirect) = (count.unsigned_abs(), first);
    Ok(())
}

/// Adds the full-text index.
fn index_passages(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(SEARCH)?;
    let mut articles = transaction.prepare("SELECT rowid, title, text FROM documents")?;
    let mut insert =
        transaction.prepare("INSERT INTO passages (rowid, title, text) VALUES (?1, ?2, ?3)")?;
    let mut rows = articles.query([])?;
    while let Some(row) = rows.next()? {
        let (id, title, text): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let article = cut(&title, &text, SEARCHED_TOKENS);
        for (place, passage) in (0..PASSAGES_OF_AN_ARTICLE).zip(article.texts()) {
            let id = id * PASSAGES_OF_AN_ARTICLE + place;
            insert.execute((id, &title, passage))?;
        }
    }
    Ok(())
}

/// Writes `titles.db` for a database that is used where it is: the normal forms of its titles.
///
/// # Errors
/// Where the database cannot be read, or the file cannot be written.
pub fn write_titles(
    file: &Path,
    side: &Path,
    progress: impl FnMut(u64),
) -> Result<KnowledgeSummary, KnowledgeError> {
    let source = open_database(file)?;
    let mut connection = Connection::open(side).map_err(in_database(side))?;
    let settings = "PRAGMA page_size = 4096; PRAGMA cache_size = -65536;";
    connection.execute_batch(settings).map_err(in_database(side))?;
    let transaction = connection.transaction().map_err(in_database(side))?;
    for tables in [INDEX, META] {
        transaction.execute_batch(tables).map_err(in_database(side))?;
    }
    let articles = copy_titles(&source, &transaction, progress).map_err(in_database(file))?;
    let summary = KnowledgeSummary { articles, ..KnowledgeSummary::default() };
    let marked = mark(&transaction, &summary).and_then(|()| transaction.commit());
    marked.map_err(in_database(side))?;
    Ok(summary)
}

/// Copies the titles of a database in their normal form, and returns their number. The index of
/// titles alone is read; texts would be gigabytes.
fn copy_titles(
    source: &Connection,
    transaction: &Transaction<'_>,
    mut progress: impl FnMut(u64),
) -> rusqlite::Result<u64> {
    let mut query = source.prepare("SELECT title FROM documents ORDER BY title")?;
    let mut rows = query.query([])?;
    // Sorted before they enter the table, whose rows would move otherwise.
    let unsorted = "CREATE TEMP TABLE unsorted (normal TEXT, title TEXT)";
    transaction.execute_batch(unsorted)?;
    let mut insert = transaction.prepare("INSERT INTO temp.unsorted VALUES (?1, ?2)")?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let title: String = row.get(0)?;
        insert.execute([&normal_title(&title), &title])?;
        count += 1;
        if count % 100_000 == 0 {
            progress(count);
        }
    }
    drop(insert);
    let sorted = "INSERT INTO titles SELECT DISTINCT normal, title FROM temp.unsorted \
        ORDER BY normal, title; DROP TABLE temp.unsorted";
    transaction.execute_batch(sorted)?;
    Ok(count)
}
