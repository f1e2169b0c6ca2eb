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
    /// Articles of a dump that were left out, since an earlier one has their title.
    pub repeated: u64,
    /// The title of one of them.
    pub first_repeated: Option<String>,
    /// Redirects that several articles claim.
    pub shared_redirects: u64,
    /// One of them.
    pub first_shared_redirect: Option<String>,
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
            repeated: number("repeated")?,
            shared_redirects: number("shared_redirects")?,
            ..Self::default()
        };
        let mut title = |key: &str| query.query_row([key], |row| row.get(0)).optional();
        summary.first_without_text = title("first_without_text")?;
        summary.first_repeated = title("first_repeated")?;
        summary.first_shared_redirect = title("first_shared_redirect")?;
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
        // Most databases have none of these, and the bytes that they had before.
        for (key, number) in
            [("repeated", self.repeated), ("shared_redirects", self.shared_redirects)]
        {
            if number > 0 {
                query.execute((key, number as i64))?;
            }
        }
        for (key, title) in [
            ("first_without_text", &self.first_without_text),
            ("first_repeated", &self.first_repeated),
            ("first_shared_redirect", &self.first_shared_redirect),
        ] {
            if let Some(title) = title {
                query.execute((key, title))?;
            }
        }
        Ok(())
    }

    /// What of the source is empty, left out or ambiguous, in words.
    pub fn remarks(&self) -> Vec<String> {
        let first = |title: &Option<String>| title.clone().unwrap_or_default();
        let mut found = Vec::new();
        if self.without_text > 0 {
            found.push(format!(
                "{} of {} articles (first: `{}`) are empty and support nothing",
                self.without_text,
                self.articles,
                first(&self.first_without_text)
            ));
        }
        if self.repeated > 0 {
            found.push(format!(
                "{} pages have the title of an earlier page, such as `{}`, and are left out",
                self.repeated,
                first(&self.first_repeated)
            ));
        }
        if self.shared_redirects > 0 {
            found.push(format!(
                "{} titles in `redirects` belong to several articles, such as `{}`; the first of \
                these articles is found by them",
                self.shared_redirects,
                first(&self.first_shared_redirect)
            ));
        }
        found
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
