//! The knowledge base: FActScore's SQLite file `documents(title PRIMARY KEY, text)`, read only and sentence by sentence.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Statement};

use crate::{
    facts::{Token, bare, sentences, spellings, tokens},
    language::json_lines::JsonLinesError,
};

use super::{Article, read_articles};

/// What FActScore puts between the passages of an article.
const SEPARATOR: &str = "####SPECIAL####SEPARATOR####";

/// Articles looked up by their titles' index, one by one: nothing is read that is not asked for.
pub struct Knowledge {
    connection: Connection,
    path: PathBuf,
    /// The articles read last, since claims of one answer follow each other.
    read: RefCell<BTreeMap<String, Rc<[Passage]>>>,
    /// The titles that topics were found to have.
    found: RefCell<BTreeMap<String, Option<String>>>,
}

/// At most so many articles and topics are kept in memory.
const MOST_KEPT: usize = 512;
/// At most so many titles with one name and other parentheses are looked at.
const MOST_ALIKE: usize = 3;
/// A title named at the beginning of a claim has at most so many words.
const LONGEST_TITLE: usize = 8;

/// A sentence of an article.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The sentence.
    pub text: String,
    /// Its words in their normal form, without articles.
    pub words: Vec<String>,
    /// Its words with what their spelling tells.
    pub tokens: Vec<Token>,
}

/// Why knowledge could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// It is no such database, or the file system said no.
    #[error("{path}: {source}; what is expected is an SQLite file with a table `documents(title, text)`", path = .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Articles could not be read.
    #[error(transparent)]
    Articles(#[from] JsonLinesError),
    /// Two articles have one title.
    #[error("{path}: the title `{title}` occurs twice", path = .path.display())]
    DuplicateTitle {
        /// The file.
        path: PathBuf,
        /// The title.
        title: String,
    },
    /// Somebody writes the database, or was interrupted at it.
    #[error(
        "{log} holds changes that are not in the database yet; close the program that writes it, or run \
         `sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'`",
        path = .path.display(), log = .log.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
    },
}

/// Writes articles to a new SQLite file. The same articles, in any order, give the same bytes.
///
/// # Errors
/// Where a title occurs twice, or the file system says no.
pub fn write(path: &Path, articles: impl IntoIterator<Item = Article>) -> Result<(), KnowledgeError> {
    let connection =
        Connection::open(path).map_err(|source| KnowledgeError::Database { path: path.to_owned(), source })?;
    fill(connection, path, articles).map(drop)
}

/// Makes the table and its rows in an empty database.
fn fill(
    mut connection: Connection,
    path: &Path,
    articles: impl IntoIterator<Item = Article>,
) -> Result<Connection, KnowledgeError> {
    let database = |source| KnowledgeError::Database { path: path.to_owned(), source };
    let mut rows = BTreeMap::new();
    for article in articles {
        if rows.contains_key(&article.title) {
            return Err(KnowledgeError::DuplicateTitle { path: path.to_owned(), title: article.title });
        }
        rows.insert(article.title, article.text);
    }
    connection
        .execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; CREATE TABLE documents (title PRIMARY KEY, text);",
        )
        .map_err(database)?;
    let transaction = connection.transaction().map_err(database)?;
    {
        let mut insert =
            transaction.prepare("INSERT INTO documents (title, text) VALUES (?1, ?2)").map_err(database)?;
        for row in rows {
            insert.execute([row.0, row.1]).map_err(database)?;
        }
    }
    transaction.commit().map_err(database)?;
    Ok(connection)
}

/// Opens a database for reading as the file that it is: what stands in a write-ahead log beside it is in no key.
fn open_database(path: &Path) -> Result<Connection, KnowledgeError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).metadata().is_ok_and(|found| found.len() > 0) {
        return Err(KnowledgeError::Unfinished { path: path.to_owned(), log: log.into() });
    }
    let escaped: String = path.as_os_str().as_encoded_bytes().iter().map(|byte| escaped(*byte)).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let address = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(address, flags)
        .map_err(|source| KnowledgeError::Database { path: path.to_owned(), source })
}

/// A byte of a path as an SQLite address has it.
fn escaped(byte: u8) -> String {
    let is_plain = byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if is_plain { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

/// A title with two articles, of which only one would ever be read; a unique index tells that there is none.
fn repeated_title(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let unique = "SELECT EXISTS (SELECT 1 FROM pragma_index_list('documents') AS list WHERE list.\"unique\" = 1 \
                  AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = 'title')";
    if connection.query_row(unique, [], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let repeated = "SELECT title FROM documents GROUP BY title HAVING count(*) > 1 LIMIT 1";
    connection.query_row(repeated, [], |row| row.get(0)).optional()
}

impl Knowledge {
    /// Opens a file for reading: FActScore's SQLite format, or JSON lines of articles (`.jsonl`), which are read at once.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn open(path: &Path) -> Result<Self, KnowledgeError> {
        let database = |source| KnowledgeError::Database { path: path.to_owned(), source };
        let connection = match path.extension() {
            Some(extension) if extension == "jsonl" => {
                fill(Connection::open_in_memory().map_err(database)?, path, read_articles(path)?)?
            }
            _ => open_database(path)?,
        };
        // An unreadable file is told here, and not by the first claim.
        connection.prepare("SELECT title, text FROM documents LIMIT 1").map_err(database)?;
        if let Some(title) = repeated_title(&connection).map_err(database)? {
            return Err(KnowledgeError::DuplicateTitle { path: path.to_owned(), title });
        }
        Ok(Self { connection, path: path.to_owned(), read: RefCell::default(), found: RefCell::default() })
    }

    /// The title of a topic: the same, or in other spelling (case, composed letters, apostrophes), else the only one that
    /// has the topic's name with, or without, something in parentheses behind.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn title_of(&self, topic: &str) -> Result<Option<String>, KnowledgeError> {
        if let Some(title) = self.found.borrow().get(topic) {
            return Ok(title.clone());
        }
        let title = self.look_up(topic)?;
        let mut found = self.found.borrow_mut();
        if found.len() >= MOST_KEPT {
            found.clear();
        }
        found.insert(topic.to_owned(), title.clone());
        Ok(title)
    }

    fn look_up(&self, topic: &str) -> Result<Option<String>, KnowledgeError> {
        if topic.trim().is_empty() {
            return Ok(None);
        }
        if let Some(title) = self.spelt(topic)? {
            return Ok(Some(title));
        }
        let mut alike = Vec::new();
        for spelling in spellings(bare(topic)) {
            alike.extend(self.with_parentheses(&spelling)?);
        }
        if bare(topic) != topic.trim() {
            alike.extend(self.spelt(bare(topic))?);
        }
        alike.sort();
        alike.dedup();
        Ok(if alike.len() == 1 { alike.pop() } else { None })
    }

    /// The title that is one of a name's spellings.
    fn spelt(&self, name: &str) -> Result<Option<String>, KnowledgeError> {
        let mut query = self.prepared("SELECT title FROM documents WHERE title = ?1")?;
        for spelling in spellings(name) {
            let title =
                query.query_row([&spelling], |row| row.get(0)).optional().map_err(|source| self.error(source))?;
            if title.is_some() {
                return Ok(title);
            }
        }
        Ok(None)
    }

    /// Titles that are this name with something in parentheses behind: a range of the index.
    fn with_parentheses(&self, name: &str) -> Result<Vec<String>, KnowledgeError> {
        let mut query =
            self.prepared("SELECT title FROM documents WHERE title >= ?1 AND title < ?2 ORDER BY title LIMIT ?3")?;
        let (from, to) = (format!("{name} ("), format!("{name} )"));
        let rows = query
            .query_map((from, to, MOST_ALIKE as i64), |row| row.get::<_, String>(0))
            .map_err(|source| self.error(source))?;
        rows.collect::<Result<Vec<String>, _>>().map_err(|source| self.error(source))
    }

    /// The title that a text names: the longest at its beginning, else the longest anywhere that is written with a capital
    /// (the first of equals).
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn title_in(&self, text: &str, anywhere: bool) -> Result<Option<String>, KnowledgeError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let first = usize::from(words.first().is_some_and(|word| matches!(*word, "The" | "the" | "A" | "An")));
        for start in 0..=first {
            if let Some((title, _)) = self.title_at(&words, start)? {
                return Ok(Some(title));
            }
        }
        let mut best: Option<(String, usize)> = None;
        for start in if anywhere { 1..words.len() } else { 0..0 } {
            let is_name = words[start].chars().find(|c| c.is_alphanumeric()).is_some_and(|c| !c.is_lowercase());
            let found = if is_name { self.title_at(&words, start)? } else { None };
            if let Some((title, length)) = found
                && best.as_ref().is_none_or(|(_, longest)| length > *longest)
            {
                best = Some((title, length));
            }
        }
        Ok(best.map(|(title, _)| title))
    }

    /// The longest title at a word, and how many words it has.
    fn title_at(&self, words: &[&str], start: usize) -> Result<Option<(String, usize)>, KnowledgeError> {
        let most = LONGEST_TITLE.min(words.len().saturating_sub(start));
        for length in (1..=most).rev() {
            let name = words[start..start + length].join(" ");
            let trimmed = name.trim_matches(|c: char| !(c.is_alphanumeric() || matches!(c, ')' | '(')));
            let owner = ["'s", "\u{2019}s", "'", "\u{2019}"].iter().find_map(|end| trimmed.strip_suffix(end));
            let dotted = name.trim_end_matches([',', ';', ':', '!', '?', '"']);
            let mut candidates = vec![trimmed, owner.unwrap_or(trimmed), dotted];
            candidates.dedup();
            for candidate in candidates {
                if !candidate.is_empty()
                    && let Some(title) = self.spelt(candidate)?
                {
                    return Ok(Some((title, length)));
                }
            }
        }
        Ok(None)
    }

    fn prepared(&self, query: &str) -> Result<Statement<'_>, KnowledgeError> {
        self.connection.prepare(query).map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> KnowledgeError {
        KnowledgeError::Database { path: self.path.clone(), source }
    }

    /// The sentences of an article; none where there is no such title.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn passages(&self, title: &str) -> Result<Rc<[Passage]>, KnowledgeError> {
        if let Some(passages) = self.read.borrow().get(title) {
            return Ok(Rc::clone(passages));
        }
        let text: Option<String> = self
            .prepared("SELECT text FROM documents WHERE title = ?1")?
            .query_row([title], |row| row.get(0))
            .optional()
            .map_err(|source| self.error(source))?;
        let text = text.unwrap_or_default().replace(SEPARATOR, "\n").replace("<s>", "").replace("</s>", "\n");
        let passage = |text: String| {
            let tokens = tokens(&text);
            let words = tokens.iter().filter(|token| !token.article).map(|token| token.word.clone()).collect();
            Passage { text, words, tokens }
        };
        let passages: Rc<[Passage]> = sentences(&text).into_iter().map(|sentence| passage(sentence.text)).collect();
        let mut read = self.read.borrow_mut();
        if read.len() >= MOST_KEPT {
            read.clear();
        }
        read.insert(title.to_owned(), Rc::clone(&passages));
        Ok(passages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article(title: &str, text: &str) -> Article {
        Article { title: title.to_owned(), text: text.to_owned() }
    }

    fn france_and_japan() -> Vec<Article> {
        vec![
            article("Japan", "Japan's capital is Tokyo.\nJapan has no land border."),
            article(
                "France",
                &format!("<s>France's capital is Paris.</s>{SEPARATOR}<s>France borders Spain. Yes.</s>"),
            ),
        ]
    }

    #[test]
    fn what_is_written_is_read_and_bytes_do_not_depend_on_order() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
        write(&one, france_and_japan()).unwrap();
        write(&two, france_and_japan().into_iter().rev()).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no journal stays behind");

        let knowledge = Knowledge::open(&one).unwrap();
        let texts: Vec<String> =
            knowledge.passages("France").unwrap().iter().map(|passage| passage.text.clone()).collect();
        assert_eq!(texts, ["France's capital is Paris.", "France borders Spain.", "Yes."]);
        assert!(knowledge.passages("Spain").unwrap().is_empty());
        let named = |text: &str| knowledge.title_in(text, true).unwrap();
        assert_eq!(named("France's capital is Tokyo").as_deref(), Some("France"));
        assert_eq!(named("The capital of Japan, not France").as_deref(), Some("Japan"));
        assert_eq!(named("the capital of japan"), None);
    }

    #[test]
    fn topics_are_titles_in_other_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("titles.db");
        let titles = [
            "Kurt G\u{f6}del",
            "Michael Holm (painter)",
            "Ann Lee",
            "Jo Ray (boxer)",
            "Jo Ray (singer)",
            "hydrogen",
            "IU",
        ];
        write(&path, titles.map(|title| article(title, "x"))).unwrap();
        let knowledge = Knowledge::open(&path).unwrap();
        let title = |topic: &str| knowledge.title_of(topic).unwrap();
        assert_eq!(title("Kurt Go\u{308}del").as_deref(), Some("Kurt G\u{f6}del"));
        assert_eq!(title("ann lee").as_deref(), Some("Ann Lee"));
        assert_eq!(title("Hydrogen").as_deref(), Some("hydrogen"));
        assert_eq!(title("Michael Holm").as_deref(), Some("Michael Holm (painter)"));
        assert_eq!(title("IU (singer)").as_deref(), Some("IU"));
        assert_eq!(title("Jo Ray (boxer)").as_deref(), Some("Jo Ray (boxer)"));
        assert_eq!(title("Jo Ray"), None, "which of the two is not known");
        assert_eq!(title("Ann"), None);
        assert_eq!(title(""), None);
    }

    #[test]
    fn json_lines_are_knowledge_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("articles.jsonl");
        let rows = r#"{"title": "Peru", "text": ["Peru's capital is Lima.", "Peru borders Chile."]}
{"title": "Chile", "text": "Chile borders Peru."}"#;
        std::fs::write(&path, rows).unwrap();
        assert_eq!(Knowledge::open(&path).unwrap().passages("Peru").unwrap().len(), 2);
        std::fs::write(&path, "{\"title\": \"Peru\", \"text\": 5}").unwrap();
        let error = Knowledge::open(&path).err().unwrap().to_string();
        assert!(error.contains(":1: `text` must be a text or a list of texts"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let missing = Knowledge::open(&path).err().unwrap().to_string();
        assert!(missing.contains("documents(title, text)"), "{missing}");
        assert!(!path.exists(), "reading makes no file");
        std::fs::write(&path, "<html>this is no database, but a page of a server that says no</html>").unwrap();
        assert!(Knowledge::open(&path).is_err());
        let twice = write(&folder.path().join("twice.db"), [article("A", "x"), article("A", "y")]);
        assert!(matches!(twice, Err(KnowledgeError::DuplicateTitle { .. })));
    }

    /// A key holds the database alone, so that neither a log beside it nor one of two articles may decide unseen.
    #[test]
    fn databases_that_say_two_things_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a#b?c%.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE documents (title TEXT, text TEXT);").unwrap();
        writer.execute_batch("INSERT INTO documents VALUES ('France', 'Paris.'), ('Japan', 'Tokyo.');").unwrap();
        let error = Knowledge::open(&path).err().unwrap().to_string();
        assert!(error.contains("a#b?c%.db-wal holds changes that are not in the database yet"), "{error}");
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        assert_eq!(Knowledge::open(&path).unwrap().passages("France").unwrap()[0].text, "Paris.");
        writer
            .execute_batch("INSERT INTO documents VALUES ('France', 'Lyon.'); PRAGMA wal_checkpoint(TRUNCATE);")
            .unwrap();
        let error = Knowledge::open(&path).err().unwrap().to_string();
        assert!(error.ends_with("the title `France` occurs twice"), "{error}");
    }
}
