//! What a database of knowledge holds, in its table `meta`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{
    database::open_database,
    error::{KnowledgeError, in_database},
    marks::plain,
};

/// Numbers of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnowledgeSummary {
    /// Articles, disambiguation pages among them.
    pub articles: u64,
    /// Redirects.
    pub redirects: u64,
    /// Disambiguation pages.
    pub disambiguations: u64,
    /// Articles without text.
    pub without_text: u64,
    /// The first of them.
    pub first_without_text: Option<String>,
}

impl KnowledgeSummary {
    /// That of a database which the kind `knowledge` made.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(path: &Path) -> Result<Self, KnowledgeError> {
        let connection = open_database(path)?;
        Self::read(&connection, "main").map_err(in_database(path))
    }

    /// Reads it from a database among those that are open.
    pub(super) fn read(connection: &Connection, schema: &str) -> rusqlite::Result<Self> {
        let query = format!("SELECT value FROM {schema}.meta WHERE key = ?1");
        let mut query = connection.prepare(&query)?;
        let mut number = |key: &str| -> rusqlite::Result<u64> {
            let value = query.query_row([key], |row| row.get::<_, i64>(0)).optional()?;
            Ok(value.map_or(0, i64::unsigned_abs))
        };
        let mut summary = Self {
            articles: number("articles")?,
            redirects: number("redirects")?,
            disambiguations: number("disambiguations")?,
            without_text: number("without_text")?,
            first_without_text: None,
        };
        let first = query.query_row(["first_without_text"], |row| row.get(0)).optional()?;
        summary.first_without_text = first;
        Ok(summary)
    }

    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let query = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
        let mut query = transaction.prepare(query)?;
        for (key, number) in [
            ("articles", self.articles),
            ("redirects", self.redirects),
            ("disambiguations", self.disambiguations),
            ("without_text", self.without_text),
        ] {
            query.execute((key, number as i64))?;
        }
        if let Some(title) = &self.first_without_text {
            query.execute(("first_without_text", title))?;
        }
        Ok(())
    }

    /// Counts what the tables have.
    pub(super) fn recount(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let count = |rows: &str| {
            let query = format!("SELECT count(*) FROM {rows}");
            transaction.query_row(&query, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        };
        self.articles = count("documents")?;
        self.redirects = count("redirects")?;
        self.disambiguations = count("(SELECT DISTINCT title FROM disambiguations)")?;
        self.without_text = self.without_text.min(self.articles);
        Ok(())
    }

    /// Counts an article.
    pub(super) fn count_article(&mut self, title: &str, text: &str) {
        self.articles += 1;
        if plain(text).trim().is_empty() {
            self.without_text += 1;
            self.first_without_text.get_or_insert_with(|| title.to_owned());
        }
    }
}
