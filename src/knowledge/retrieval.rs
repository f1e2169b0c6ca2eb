//! Retrieves passages for a claim: from its topic's article, or from all articles.

use std::{collections::BTreeSet, rc::Rc};

use rusqlite::OptionalExtension;

use crate::{
    facts::ranked_words,
    rows::{Claim, Evidence, Page, PageMatch, RetrievedPassages},
};

use super::{
    base::{Knowledge, keep},
    cut::{CutArticle, cut},
    database::has_search_index,
    error::KnowledgeError,
    schema::{PASSAGES_OF_AN_ARTICLE, SEARCHED_TOKENS},
};

/// How passages are retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrievalSettings {
    /// Maximum number of passages for a claim.
    pub num_passages: usize,
    /// Maximum length of a passage in tokens ([`super::approximate_tokens`]).
    pub max_passage_tokens: usize,
    /// Whether all claims of a topic get the same passages, where its article fits the budget.
    pub shared: bool,
    /// Maximum length, in tokens, of an article that is shared as a whole.
    pub page_budget: usize,
    /// The articles that passages are from.
    pub within: Within,
}

impl Default for RetrievalSettings {
    /// FActScore's: five passages of 256 tokens, and as many tokens for a shared article.
    fn default() -> Self {
        Self {
            num_passages: 5,
            max_passage_tokens: SEARCHED_TOKENS,
            shared: false,
            page_budget: 5 * SEARCHED_TOKENS,
            within: Within::Topic,
        }
    }
}

/// The articles that passages are retrieved from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Within {
    /// The article of the claim's topic.
    Topic,
    /// All articles, by the full-text index.
    All,
}

impl Knowledge {
    /// The passages for a claim, best first: those of its topic's article that BM25 ranks highest
    /// for "topic claim" (k1 1.2, b 0.75). Shared passages are in the order of the article. A claim
    /// without an article gets none.
    ///
    /// Where a topic is ambiguous, call [`Knowledge::settle_pages`] before: otherwise each claim's
    /// words choose its article.
    ///
    /// # Errors
    /// Where the file can no longer be read, or all articles are to be searched without an index.
    pub fn retrieve(
        &self,
        claim: &Claim,
        settings: &RetrievalSettings,
    ) -> Result<RetrievedPassages, KnowledgeError> {
        let query = format!("{} {}", claim.topic, claim.text);
        if settings.within == Within::All {
            let passages = self.search(&query, settings.num_passages)?;
            let found = passages.first().map(|passage| passage.title.clone());
            let how = if found.is_some() { PageMatch::Search } else { PageMatch::Missing };
            let page = Page { asked: claim.topic.clone(), found, how };
            return Ok(RetrievedPassages { claim_id: claim.id.clone(), page, passages });
        }
        let page = self.page(claim)?;
        let mut passages = Vec::new();
        if let Some(title) = &page.found {
            let article = self.cut_article(title, settings.max_passage_tokens)?;
            if settings.shared && article.tokens <= settings.page_budget {
                passages.extend((0..article.len()).filter_map(|index| article.passage(index)));
            } else {
                let best = article.ranking.order(&query).into_iter().take(settings.num_passages);
                passages.extend(best.filter_map(|index| article.passage(index)));
            }
        }
        Ok(RetrievedPassages { claim_id: claim.id.clone(), page, passages })
    }

    /// An article as passages.
    fn cut_article(&self, title: &str, tokens: usize) -> Result<Rc<CutArticle>, KnowledgeError> {
        let key = (title.to_owned(), tokens);
        if let Some(article) = self.cut.borrow().get(&key) {
            return Ok(Rc::clone(article));
        }
        let article = Rc::new(cut(title, &self.text(title)?.unwrap_or_default(), tokens));
        keep(&mut self.cut.borrow_mut(), key, Rc::clone(&article));
        Ok(article)
    }

    /// The passages of all articles that the full-text index ranks highest.
    fn search(&self, query: &str, most: usize) -> Result<Vec<Evidence>, KnowledgeError> {
        let is_indexed = has_search_index(&self.connection).map_err(|source| self.error(source))?;
        if self.index.is_none() || !is_indexed {
            return Err(KnowledgeError::NoSearchIndex { path: self.path.clone() });
        }
        // Words in quotes are no operators of the query language.
        let words: BTreeSet<String> = ranked_words(query).into_iter().collect();
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = self.prepared(
            "SELECT rowid FROM passages WHERE passages MATCH ?1 ORDER BY rank, rowid LIMIT ?2",
        )?;
        let rows = query.query_map((words.join(" OR "), most as i64), |row| row.get::<_, i64>(0));
        let ids: Result<Vec<i64>, _> = rows.map_err(|source| self.error(source))?.collect();
        let ids = ids.map_err(|source| self.error(source))?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let title: Option<String> = self
                .prepared("SELECT title FROM documents WHERE rowid = ?1")?
                .query_row([id / PASSAGES_OF_AN_ARTICLE], |row| row.get(0))
                .optional()
                .map_err(|source| self.error(source))?;
            let Some(title) = title else { continue };
            let article = self.cut_article(&title, SEARCHED_TOKENS)?;
            let place = (id % PASSAGES_OF_AN_ARTICLE) as usize;
            found.extend(article.passage(place));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        knowledge::{Builder, KnowledgeEntry},
        rows::ClaimId,
    };

    fn knowledge(folder: &tempfile::TempDir, search_index: bool) -> Knowledge {
        let path = folder.path().join(format!("{search_index}.db"));
        let mut builder = Builder::open(&path).unwrap();
        let article = |title: &str, text: &str| KnowledgeEntry::Article {
            title: title.to_owned(),
            text: text.to_owned(),
        };
        let articles = [
            article("Ada Quill", "Ada Quill sang. She was born in Oslo. She died in Bergen."),
            article("Oslo", "Oslo is a town. Its trams are blue."),
        ];
        builder.add(articles, "0").unwrap();
        builder.finish(Some(search_index)).unwrap();
        Knowledge::open(&path).unwrap()
    }

    fn claim(topic: &str, text: &str) -> Claim {
        Claim {
            id: ClaimId::from("c"),
            topic: topic.to_owned(),
            text: text.to_owned(),
            ..Claim::default()
        }
    }

    fn texts(found: &RetrievedPassages) -> Vec<&str> {
        found.passages.iter().map(|passage| passage.text.as_str()).collect()
    }

    #[test]
    fn the_best_passages_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(&folder, false);
        let settings =
            RetrievalSettings { num_passages: 2, max_passage_tokens: 6, ..Default::default() };
        let died = claim("Ada Quill", "She died in Bergen.");
        let found = knowledge.retrieve(&died, &settings).unwrap();
        assert_eq!(texts(&found), ["She died in Bergen.", "Ada Quill sang."]);
        assert_eq!((found.claim_id.as_str(), found.page.how), ("c", PageMatch::Exact));
        let shared = RetrievalSettings { shared: true, ..settings };
        let all = ["Ada Quill sang.", "She was born in Oslo.", "She died in Bergen."];
        assert_eq!(texts(&knowledge.retrieve(&died, &shared).unwrap()), all);
        let long = RetrievalSettings { page_budget: 14, ..shared };
        assert_eq!(texts(&knowledge.retrieve(&died, &long).unwrap()).len(), 2);
        let missing = knowledge.retrieve(&claim("Bo Hay", "Ada Quill sang."), &settings).unwrap();
        assert!(missing.passages.is_empty() && missing.page.how == PageMatch::Missing);
    }

    #[test]
    fn all_articles_are_searched_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let settings = RetrievalSettings { within: Within::All, ..Default::default() };
        let asked = claim("", "What is the colour of \"trams\" OR (Oslo*?");
        let indexed = knowledge(&folder, true);
        let found = indexed.retrieve(&asked, &settings).unwrap();
        assert_eq!(found.page.found.as_deref(), Some("Oslo"));
        assert_eq!(found.page.how, PageMatch::Search);
        assert_eq!(found.passages[0].text, "Oslo is a town. Its trams are blue.");
        assert_eq!(found.passages[0].sentences.len(), 2);
        let nothing = indexed.retrieve(&claim("", "..."), &settings).unwrap();
        assert_eq!(nothing.page.how, PageMatch::Missing);
        let error = knowledge(&folder, false).retrieve(&asked, &settings).unwrap_err().to_string();
        assert!(error.contains("has no full-text index"), "{error}");
    }
}
