//! A domain in an experiment: a table with its wording, the number of its rows, and its attributes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{facts::normalise, seed::Seed};

use super::{Entity, FactTable, Phrases, PhrasesError};

/// A table of facts with its wording and selection.
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
    /// The table has fewer rows.
    #[error("`rows.{domain}` is {wanted}, but the table has {rows} rows")]
    TooManyRows {
        /// The domain.
        domain: String,
        /// Requested rows.
        wanted: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// More tuning rows than rows in use.
    #[error("`tune.{domain}` is {wanted}, but only {rows} rows are used")]
    TooManyTuned {
        /// The domain.
        domain: String,
        /// Requested tuning rows.
        wanted: usize,
        /// Rows in use.
        rows: usize,
    },
    /// An attribute has no wording.
    #[error(
        "`attributes.{domain}` names `{attribute}`, which has no phrases; attributes with \
        phrases: {known}"
    )]
    UnknownAttribute {
        /// The domain.
        domain: String,
        /// The attribute.
        attribute: String,
        /// The attributes with wording.
        known: String,
    },
    /// Two topics have the same normal form.
    #[error(
        "`{0}` ({1}) and `{2}` ({3}) have the same name; names of topics must be unique over all \
        domains"
    )]
    SameName(String, String, String, String),
}

impl Domain {
    /// A domain with all its rows and worded attributes in use, all of them in the test split.
    ///
    /// # Errors
    /// Fails if table and wording do not fit.
    pub fn new(table: FactTable, phrases: Phrases) -> Result<Self, DomainError> {
        phrases.check(&table)?;
        // Columns without wording serve pronouns, or a later version of the table.
        let attributes = table
            .attributes
            .iter()
            .filter(|attribute| phrases.attribute.contains_key(attribute.as_str()))
            .cloned()
            .collect();
        Ok(Self { rows: table.entities.len(), tune: 0, table, phrases, attributes })
    }

    /// Uses only the first rows.
    ///
    /// # Errors
    /// Fails if the table has fewer.
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
    /// Fails if one of them has no wording.
    pub fn with_attributes(mut self, wanted: &[String]) -> Result<Self, DomainError> {
        if let Some(attribute) =
            wanted.iter().find(|attribute| !self.attributes.contains(attribute))
        {
            let (domain, known) = (self.phrases.domain, self.attributes.join(", "));
            return Err(DomainError::UnknownAttribute {
                domain,
                attribute: attribute.clone(),
                known,
            });
        }
        self.attributes.retain(|attribute| wanted.contains(attribute));
        Ok(self)
    }

    /// Sets the number of tuning rows, which are drawn at random.
    ///
    /// # Errors
    /// Fails if fewer rows are in use.
    pub fn with_tune(mut self, wanted: usize) -> Result<Self, DomainError> {
        if wanted > self.rows {
            return Err(DomainError::TooManyTuned {
                domain: self.phrases.domain,
                wanted,
                rows: self.rows,
            });
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

    /// The rows in use.
    pub fn entities(&self) -> &[Entity] {
        &self.table.entities[..self.rows]
    }

    /// The facts of a topic in use: attribute and right values, in the order of the columns.
    pub fn facts<'a>(
        &'a self,
        entity: &'a Entity,
    ) -> impl Iterator<Item = (&'a str, &'a [String])> {
        self.attributes.iter().filter_map(|attribute| {
            Some((attribute.as_str(), entity.values.get(attribute)?.as_slice()))
        })
    }

    /// The topics of the tune split; the others belong to the test split.
    pub fn tune_topics(&self, seed: &Seed) -> BTreeSet<&str> {
        let mut topics: Vec<&str> =
            self.entities().iter().map(|entity| entity.name.as_str()).collect();
        // By domain, so that another domain leaves these topics unchanged.
        seed.split("tune").split(self.name()).stream().shuffle(&mut topics);
        topics.truncate(self.tune);
        topics.into_iter().collect()
    }

    /// The knowledge of all rows: the name, and a sentence (on its own line) for every right
    /// value of every worded attribute.
    pub fn articles(&self) -> Vec<(String, String)> {
        // All rows and attributes, also those that are not in use: the knowledge must not betray
        // what an experiment asks.
        self.table
            .entities
            .iter()
            .map(|entity| (entity.name.clone(), self.article(entity)))
            .collect()
    }

    /// The sentences about a topic, one per line.
    fn article(&self, entity: &Entity) -> String {
        let mut sentences = Vec::new();
        for name in &self.table.attributes {
            if self.phrases.attribute.contains_key(name) {
                let values = entity.values.get(name).into_iter().flatten();
                sentences
                    .extend(values.map(|value| self.phrases.named_statement(entity, name, value)));
            }
        }
        sentences.join("\n")
    }
}

/// Checks that names of topics are unique over all domains in their normal form.
///
/// # Errors
/// Names both topics.
pub fn check_names(domains: &[Domain]) -> Result<(), DomainError> {
    let mut seen: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for domain in domains {
        for entity in &domain.table.entities {
            let topic = (entity.name.as_str(), domain.name());
            if let Some((name, other)) = seen.insert(normalise(&entity.name), topic) {
                let [name, other] = [name, other].map(str::to_owned);
                return Err(DomainError::SameName(
                    name,
                    other,
                    entity.name.clone(),
                    domain.name().to_owned(),
                ));
            }
        }
    }
    Ok(())
}
