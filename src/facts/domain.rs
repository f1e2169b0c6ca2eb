//! A domain as an experiment uses it: a table with its wording, how many of its rows, and which of its attributes.

use std::collections::{BTreeMap, BTreeSet};

use crate::seed::Seed;

use super::{Entity, FactTable, Phrases, PhrasesError};

/// A table of facts with its wording, and what is used of it.
#[derive(Clone, Debug)]
pub struct Domain {
    table: FactTable,
    phrases: Phrases,
    rows: usize,
    attributes: Vec<String>,
    tune: usize,
}

/// Why a domain cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// The wording is wrong.
    #[error(transparent)]
    Phrases(#[from] PhrasesError),
    /// More rows are wanted than there are.
    #[error("`rows.{domain}` is {wanted}, but the table has {rows} rows")]
    TooManyRows {
        /// The domain.
        domain: String,
        /// Rows wanted.
        wanted: usize,
        /// Rows there are.
        rows: usize,
    },
    /// More rows are to be tuned on than are used.
    #[error("`tune.{domain}` is {wanted}, but only {rows} rows are used")]
    TooManyTuned {
        /// The domain.
        domain: String,
        /// Rows to tune on.
        wanted: usize,
        /// Rows used.
        rows: usize,
    },
    /// An attribute has no wording.
    #[error("`attributes.{domain}` names `{attribute}`, for which there are no phrases; there are: {known}")]
    UnknownAttribute {
        /// The domain.
        domain: String,
        /// The attribute.
        attribute: String,
        /// The attributes that have phrases.
        known: String,
    },
    /// Two topics read the same.
    #[error("`{0}` ({1}) and `{2}` ({3}) are names of one spelling; a topic's name must be its own in all domains")]
    SameName(String, String, String, String),
}

impl Domain {
    /// A domain with all its rows and worded attributes in use, all of them held out.
    ///
    /// # Errors
    /// Where table and wording do not fit.
    pub fn new(table: FactTable, phrases: Phrases) -> Result<Self, DomainError> {
        phrases.check(&table)?;
        let worded = |attribute: &&String| phrases.attribute.contains_key(attribute.as_str());
        let attributes = table.attributes.iter().filter(worded).cloned().collect();
        Ok(Self { rows: table.entities.len(), tune: 0, table, phrases, attributes })
    }

    /// Uses only the first rows.
    ///
    /// # Errors
    /// Where there are not so many.
    pub fn with_rows(mut self, wanted: usize) -> Result<Self, DomainError> {
        let rows = self.table.entities.len();
        if wanted > rows {
            return Err(DomainError::TooManyRows { domain: self.phrases.domain, wanted, rows });
        }
        self.rows = wanted;
        Ok(self)
    }

    /// Uses only these attributes.
    ///
    /// # Errors
    /// Where one of them has no wording.
    pub fn with_attributes(mut self, wanted: &[String]) -> Result<Self, DomainError> {
        if let Some(attribute) = wanted.iter().find(|attribute| !self.attributes.contains(attribute)) {
            let (domain, known) = (self.phrases.domain, self.attributes.join(", "));
            return Err(DomainError::UnknownAttribute { domain, attribute: attribute.clone(), known });
        }
        self.attributes.retain(|attribute| wanted.contains(attribute));
        Ok(self)
    }

    /// Sets how many rows are for tuning; which ones is drawn at random.
    ///
    /// # Errors
    /// Where fewer rows are used.
    pub fn with_tune(mut self, wanted: usize) -> Result<Self, DomainError> {
        if wanted > self.rows {
            return Err(DomainError::TooManyTuned { domain: self.phrases.domain, wanted, rows: self.rows });
        }
        self.tune = wanted;
        Ok(self)
    }

    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.phrases.domain
    }

    /// The wording.
    pub fn phrases(&self) -> &Phrases {
        &self.phrases
    }

    /// The rows that are used.
    pub fn entities(&self) -> &[Entity] {
        &self.table.entities[..self.rows]
    }

    /// The facts of a topic that are used: attribute and right values, in the order of the columns.
    pub fn facts<'a>(&'a self, entity: &'a Entity) -> impl Iterator<Item = (&'a str, &'a [String])> {
        self.attributes
            .iter()
            .filter_map(|attribute| Some((attribute.as_str(), entity.values.get(attribute)?.as_slice())))
    }

    /// The names of the topics to tune on; the others are held out.
    pub fn tune_topics(&self, seed: &Seed) -> BTreeSet<&str> {
        let mut topics: Vec<&str> = self.entities().iter().map(|entity| entity.name.as_str()).collect();
        seed.split("tune").split(self.name()).stream().shuffle(&mut topics);
        topics.truncate(self.tune);
        topics.into_iter().collect()
    }

    /// What is true, whether used or not: for each row its name, and a sentence (on a line of its own) for every right
    /// value of every worded attribute.
    pub fn articles(&self) -> Vec<(String, String)> {
        let article = |entity: &Entity| {
            let worded = self.table.attributes.iter().filter(|name| self.phrases.attribute.contains_key(*name));
            let values =
                worded.flat_map(|name| entity.values.get(name).into_iter().flatten().map(move |value| (name, value)));
            let sentences: Vec<String> =
                values.map(|(name, value)| self.phrases.named_statement(entity, name, value)).collect();
            (entity.name.clone(), sentences.join("\n"))
        };
        self.table.entities.iter().map(article).collect()
    }
}

/// Checks that no two topics of all domains have names of one spelling.
///
/// # Errors
/// Names both.
pub fn check_names(domains: &[Domain]) -> Result<(), DomainError> {
    let mut seen: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for domain in domains {
        for entity in &domain.table.entities {
            let topic = (entity.name.as_str(), domain.name());
            if let Some((name, other)) = seen.insert(super::normalise(&entity.name), topic) {
                let [name, other] = [name, other].map(str::to_owned);
                return Err(DomainError::SameName(name, other, entity.name.clone(), domain.name().to_owned()));
            }
        }
    }
    Ok(())
}
