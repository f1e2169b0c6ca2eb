//! The knowledge base: FActScore's SQLite file `documents(title PRIMARY KEY, text)`, read only and sentence by sentence.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::{
    facts::{NameIndex, Named, sentences, words},
    language::json_lines::JsonLinesError,
};

use super::{Article, read_articles};

/// What FActScore puts between the passages of an article.
const SEPARATOR: &str = "####SPECIAL####SEPARATOR####";

/// Titles, in memory, and their sentences, read when first asked for.
pub struct Knowledge {
    connection: Connection,
    path: PathBuf,
    titles: NameIndex,
    read: RefCell<BTreeMap<String, Rc<[Passage]>>>,
}

/// A sentence of an article.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The sentence.
    pub text: String,
    /// Its words in their normal form.
    pub words: Vec<String>,
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
            _ => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags).map_err(database)?
            }
        };
        let titles = {
            let mut rows = connection.prepare("SELECT title FROM documents ORDER BY title").map_err(database)?;
            let titles = rows.query_map([], |row| row.get::<_, String>(0)).map_err(database)?;
            titles.collect::<Result<Vec<String>, _>>().map_err(database)?
        };
        let titles = titles.into_iter().collect();
        Ok(Self { connection, path: path.to_owned(), titles, read: RefCell::default() })
    }

    /// The title that these normal words name: the longest at their beginning, else the longest anywhere.
    pub fn find_title(&self, words: &[String]) -> Option<Named<'_>> {
        self.titles.find(words)
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
            .connection
            .query_row("SELECT text FROM documents WHERE title = ?1", [title], |row| row.get(0))
            .optional()
            .map_err(|source| KnowledgeError::Database { path: self.path.clone(), source })?;
        let text = text.unwrap_or_default().replace(SEPARATOR, "\n").replace("<s>", "").replace("</s>", "\n");
        let passage = |text: String| Passage { words: words(&text), text };
        let passages: Rc<[Passage]> = sentences(&text).into_iter().map(|sentence| passage(sentence.text)).collect();
        self.read.borrow_mut().insert(title.to_owned(), Rc::clone(&passages));
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
        assert_eq!(knowledge.find_title(&words("France's capital is Tokyo")).unwrap().names, ["France"]);
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
}
