//! The knowledge base: FActScore's SQLite file `documents(title PRIMARY KEY, text)`, read only and
//! sentence by sentence.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use crate::{
    facts::{Token, sentences, tokens},
    rows::{Page, PageMatch},
};

use super::{
    article::Article,
    builder::Builder,
    cut::CutArticle,
    database::{attach, index_of, open_database, repeated_title},
    error::{KnowledgeError, in_database},
    format::{KnowledgeFormat, format_of},
    marks::plain,
    schema::DOCUMENTS,
    summary::KnowledgeSummary,
};

/// A knowledge base. Articles are looked up one by one in the index of titles; opening reads none.
pub struct Knowledge {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// The database with the tables of [`super::schema::INDEX`], if there are any.
    pub(super) index: Option<&'static str>,
    /// The articles read last, since claims of one response follow each other.
    read: RefCell<BTreeMap<String, Rc<[Passage]>>>,
    /// The same as passages, by title and their maximum number of tokens.
    pub(super) cut: RefCell<BTreeMap<(String, usize), Rc<CutArticle>>>,
    /// Titles found for topics.
    pub(super) found: RefCell<BTreeMap<String, Candidates>>,
    /// Pages of ambiguous topics, by all their claims.
    pub(super) settled: RefCell<BTreeMap<String, Page>>,
}

/// The articles that a topic may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    /// There is none.
    Missing,
    /// There is one.
    One(String, PageMatch),
    /// The words of claims have to choose among several.
    Several(Vec<String>, PageMatch),
}

/// Maximum number of articles and topics in memory.
pub(super) const MOST_KEPT: usize = 512;

/// A sentence of an article.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The sentence.
    pub text: String,
    /// Its words in their normal form, without articles.
    pub words: Vec<String>,
    /// Its words with their spelling.
    pub tokens: Vec<Token>,
}

impl Passage {
    fn new(text: String) -> Self {
        let tokens = tokens(&text);
        let of_words = tokens.iter().filter(|token| !token.article);
        let words = of_words.map(|token| token.word.clone()).collect();
        Self { text, words, tokens }
    }
}

/// Writes articles to a new SQLite file. The same articles, in any order, give the same bytes.
///
/// # Errors
/// Fails where a title occurs twice, or on an error of the file system.
pub fn write(
    path: &Path,
    articles: impl IntoIterator<Item = Article>,
) -> Result<(), KnowledgeError> {
    // In the order of titles, so that the bytes of the file do not depend on that of the articles.
    let mut rows = BTreeMap::new();
    for article in articles {
        if rows.contains_key(&article.title) {
            return Err(KnowledgeError::DuplicateTitle {
                path: path.to_owned(),
                title: article.title,
                lines: String::new(),
            });
        }
        rows.insert(article.title, article.text);
    }
    let mut connection = Connection::open(path).map_err(in_database(path))?;
    connection
        .execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY;")
        .and_then(|()| connection.execute_batch(DOCUMENTS))
        .map_err(in_database(path))?;
    let transaction = connection.transaction().map_err(in_database(path))?;
    {
        let mut insert = transaction
            .prepare("INSERT INTO documents (title, text) VALUES (?1, ?2)")
            .map_err(in_database(path))?;
        for (title, text) in rows {
            insert.execute([title, text]).map_err(in_database(path))?;
        }
    }
    transaction.commit().map_err(in_database(path))
}

impl Knowledge {
    /// Opens a file for reading: an SQLite file with FActScore's table, or JSON lines of articles,
    /// which are read at once. In the folder of an artifact, `titles.db` beside the database is
    /// used too.
    ///
    /// # Errors
    /// Names the format of other files.
    pub fn open(path: &Path) -> Result<Self, KnowledgeError> {
        let is_folder = path.is_dir();
        let file = if is_folder { path.join("knowledge.db") } else { path.to_owned() };
        let connection = match format_of(&file)? {
            KnowledgeFormat::Database => open_database(&file)?,
            KnowledgeFormat::JsonLines => Builder::of_json_lines(&file)?,
            KnowledgeFormat::Dump | KnowledgeFormat::CompressedDump => {
                let problem = "it is a dump of MediaWiki; make knowledge of it by a stage of the \
                kind `knowledge`";
                return Err(KnowledgeError::Format { path: file, problem: problem.to_owned() });
            }
        };
        let side = file.with_file_name("titles.db");
        let mut schemas = vec!["main"];
        if is_folder && side.exists() {
            attach(&connection, &side)?;
            schemas.push("side");
        }
        let index = index_of(&connection, &schemas).map_err(in_database(&file))?;
        // An unreadable file fails here, and not at the first claim.
        let first = connection
            .prepare("SELECT title, text FROM documents LIMIT 1")
            .and_then(|mut query| query.exists([]));
        if !first.map_err(in_database(&file))? {
            return Err(KnowledgeError::Nothing { path: file });
        }
        if let Some(title) = repeated_title(&connection).map_err(in_database(&file))? {
            let lines = String::new();
            return Err(KnowledgeError::DuplicateTitle { path: file, title, lines });
        }
        Ok(Self {
            connection,
            path: file,
            index,
            read: RefCell::default(),
            cut: RefCell::default(),
            found: RefCell::default(),
            settled: RefCell::default(),
        })
    }

    /// What it holds. A database of the kind `knowledge` and JSON lines say so; of others only the
    /// first ten thousand articles are read.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn summary(&self) -> Result<KnowledgeSummary, KnowledgeError> {
        // `titles.db` does not know the texts beside it.
        if let Some(schema) = self.index.filter(|schema| *schema == "main") {
            let summary = KnowledgeSummary::read(&self.connection, schema);
            return summary.map_err(|source| self.error(source));
        }
        let mut query = self.prepared("SELECT title, text FROM documents LIMIT 10000")?;
        let articles = query.query_map([], |row| {
            // A text that is not a text fails when it is read.
            let text = row.get::<_, Option<String>>(1);
            let is_bare =
                text.is_ok_and(|text| text.is_none_or(|text| plain(&text).trim().is_empty()));
            Ok(is_bare.then(|| row.get::<_, String>(0).unwrap_or_default()))
        });
        let mut found = KnowledgeSummary::default();
        for title in articles.map_err(|source| self.error(source))? {
            found.articles += 1;
            if let Some(title) = title.map_err(|source| self.error(source))? {
                found.without_text += 1;
                found.first_without_text.get_or_insert(title);
            }
        }
        Ok(found)
    }

    /// A statement, which is compiled once: a claim asks the same queries for each of its words.
    pub(super) fn prepared(&self, query: &str) -> Result<CachedStatement<'_>, KnowledgeError> {
        self.connection.prepare_cached(query).map_err(|source| self.error(source))
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> KnowledgeError {
        KnowledgeError::Database { path: self.path.clone(), source }
    }

    /// The text of an article; none without such a title.
    pub(super) fn text(&self, title: &str) -> Result<Option<String>, KnowledgeError> {
        let mut query = self.prepared("SELECT text FROM documents WHERE title = ?1")?;
        let text = query.query_row([title], |row| row.get::<_, Option<String>>(0)).optional();
        text.map(Option::flatten).map_err(|source| self.error(source))
    }

    /// The sentences of an article; none without such a title.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn passages(&self, title: &str) -> Result<Rc<[Passage]>, KnowledgeError> {
        if let Some(passages) = self.read.borrow().get(title) {
            return Ok(Rc::clone(passages));
        }
        let text = plain(&self.text(title)?.unwrap_or_default());
        let passages: Rc<[Passage]> =
            sentences(&text).into_iter().map(|sentence| Passage::new(sentence.text)).collect();
        keep(&mut self.read.borrow_mut(), title.to_owned(), Rc::clone(&passages));
        Ok(passages)
    }
}

/// Keeps a value in memory with at most [`MOST_KEPT`] others.
pub(super) fn keep<K: Ord, V>(kept: &mut BTreeMap<K, V>, key: K, value: V) {
    // All at once, since the topics of a run come in turn: any order of removal would remove the
    // next one.
    if kept.len() >= MOST_KEPT {
        kept.clear();
    }
    kept.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::marks::SEPARATOR;

    fn article(title: &str, text: &str) -> Article {
        Article::new(title, text)
    }

    fn france_and_japan() -> Vec<Article> {
        vec![
            article("Japan", "Japan's capital is Tokyo.\nJapan has no land border."),
            article(
                "France",
                &format!(
                    "<s>France's capital is Paris.</s>{SEPARATOR}<s>France borders Spain. Yes.</s>"
                ),
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
        let texts: Vec<String> = knowledge
            .passages("France")
            .unwrap()
            .iter()
            .map(|passage| passage.text.clone())
            .collect();
        assert_eq!(texts, ["France's capital is Paris.", "France borders Spain.", "Yes."]);
        assert!(knowledge.passages("Spain").unwrap().is_empty());
        let named = |text: &str| knowledge.title_in(text).unwrap();
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
    fn articles_without_text_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("articles.db");
        let empty = format!("<s> </s>{SEPARATOR}\n");
        write(
            &path,
            [article("A", "x"), article("B", ""), article("C", &empty), article("D", " \n")],
        )
        .unwrap();
        let remarks = Knowledge::open(&path).unwrap().summary().unwrap().remarks();
        assert_eq!(remarks, ["3 of 4 articles (first: `B`) are empty and support nothing"]);
    }

    #[test]
    fn redirects_of_several_articles_are_counted_and_titles_have_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("articles.jsonl");
        let row = |title: &str, redirects: &[&str]| {
            serde_json::json!({"title": title, "text": "x", "redirects": redirects}).to_string()
                + "\n"
        };
        let rows = [row("A", &["a", "b"]), row("B", &["b"]), "\n".to_owned(), row("C", &["c"])];
        std::fs::write(&path, rows.concat()).unwrap();
        let remarks = Knowledge::open(&path).unwrap().summary().unwrap().remarks();
        assert_eq!(
            remarks,
            [
                "1 titles in `redirects` belong to several articles, such as `b`; the first of these \
            articles is found by them"
            ]
        );
        std::fs::write(&path, [rows.concat(), row("B", &[])].concat()).unwrap();
        let twice = Knowledge::open(&path).err().unwrap().to_string();
        assert!(twice.ends_with("the title `B` occurs twice (lines 2 and 5)"), "{twice}");
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let missing = Knowledge::open(&path).err().unwrap().to_string();
        assert!(missing.contains("knowledge.db: No such file"), "{missing}");
        assert!(!path.exists(), "reading makes no file");
        let none = folder.path().join("none.jsonl");
        std::fs::write(&none, "\n\n").unwrap();
        assert!(matches!(Knowledge::open(&none), Err(KnowledgeError::Nothing { .. })));
        std::fs::write(
            &path,
            "<html>this is no database, but a page of a server that says no</html>",
        )
        .unwrap();
        let page = Knowledge::open(&path).err().unwrap().to_string();
        assert!(page.contains("it is an HTML page"), "{page}");
        let other = Connection::open(folder.path().join("other.db")).unwrap();
        other.execute_batch("CREATE TABLE meta (other);").unwrap();
        let other = Knowledge::open(&folder.path().join("other.db")).err().unwrap().to_string();
        assert!(other.contains("expected an SQLite file with a table `documents"), "{other}");
        let twice = write(&folder.path().join("twice.db"), [article("A", "x"), article("A", "y")]);
        assert!(matches!(twice, Err(KnowledgeError::DuplicateTitle { .. })));
    }

    /// A key covers the database alone, so neither a log beside it nor one of two articles may
    /// decide unnoticed.
    #[test]
    fn databases_that_say_two_things_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a#b?c%.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE documents (title TEXT, text TEXT);",
            )
            .unwrap();
        writer
            .execute_batch(
                "INSERT INTO documents VALUES ('France', 'Paris.'), ('Japan', 'Tokyo.');",
            )
            .unwrap();
        let error = Knowledge::open(&path).err().unwrap().to_string();
        assert!(
            error.contains("a#b?c%.db-wal holds changes that are not in the database yet"),
            "{error}"
        );
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        assert_eq!(Knowledge::open(&path).unwrap().passages("France").unwrap()[0].text, "Paris.");
        writer
            .execute_batch(
                "INSERT INTO documents VALUES ('France', 'Lyon.'); PRAGMA \
            wal_checkpoint(TRUNCATE);",
            )
            .unwrap();
        let error = Knowledge::open(&path).err().unwrap().to_string();
        assert!(error.ends_with("the title `France` occurs twice"), "{error}");
    }
}
