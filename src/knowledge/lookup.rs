//! Finds the article of a topic.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::OptionalExtension;

use crate::{
    facts::{Ranking, bare, ranked_words, spellings},
    rows::{Claim, Page, PageMatch},
};

use super::{
    base::{Candidates, Knowledge, keep},
    error::KnowledgeError,
    marks::plain,
    normal_title::normal_title,
};

/// Maximum words of a title at the beginning of a claim.
const LONGEST_TITLE: usize = 8;
/// Maximum number of articles that are compared for an ambiguous topic.
const MOST_COMPARED: usize = 64;
/// Maximum number of redirects in a row.
const MOST_REDIRECTS: usize = 4;
/// Characters at the beginning of an article that are compared.
const COMPARED_LENGTH: usize = 1500;

/// Topics that several articles may be about, with the words of all claims about them.
#[derive(Clone, Debug, Default)]
pub struct AmbiguousTopics {
    by_name: BTreeMap<String, AmbiguousTopic>,
}

#[derive(Clone, Debug)]
struct AmbiguousTopic {
    titles: Vec<String>,
    /// How they were found.
    how: PageMatch,
    /// Each word once: thirty claims have `the` thirty times.
    words: BTreeSet<String>,
}

impl Knowledge {
    /// The title of a topic's article, if it does not depend on the claim.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn title_of(&self, topic: &str) -> Result<Option<String>, KnowledgeError> {
        Ok(match self.candidates(topic)? {
            Candidates::One(title, _) => Some(title),
            Candidates::Missing | Candidates::Several(..) => None,
        })
    }

    /// Notes the words of a claim if its topic is ambiguous.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn note_topic(
        &self,
        claim: &Claim,
        topics: &mut AmbiguousTopics,
    ) -> Result<(), KnowledgeError> {
        if let Some(topic) = topics.by_name.get_mut(&claim.topic) {
            topic.words.extend(ranked_words(&claim.text));
        } else if let Candidates::Several(titles, how) = self.candidates(&claim.topic)? {
            let words = ranked_words(&claim.text).into_iter().collect();
            topics.by_name.insert(claim.topic.clone(), AmbiguousTopic { titles, how, words });
        }
        Ok(())
    }

    /// Chooses the articles of ambiguous topics by the words of all claims about them, so that
    /// claims of one topic are verified against one article.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn settle_pages(&self, topics: AmbiguousTopics) -> Result<(), KnowledgeError> {
        for (name, topic) in topics.by_name {
            let page = self.nearest(&name, topic)?;
            self.settled.borrow_mut().insert(name, page);
        }
        Ok(())
    }

    /// The article to read for a claim: that of its topic, else, if it has no topic, the one that
    /// its words name.
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn page(&self, claim: &Claim) -> Result<Page, KnowledgeError> {
        let asked = claim.topic.as_str();
        if asked.trim().is_empty() {
            let found = self.title_in(&claim.text)?;
            let how = if found.is_some() { PageMatch::Named } else { PageMatch::Missing };
            return Ok(Page { asked: asked.to_owned(), found, how });
        }
        if let Some(page) = self.settled.borrow().get(asked) {
            return Ok(page.clone());
        }
        match self.candidates(asked)? {
            Candidates::Missing => Ok(page(asked, None, PageMatch::Missing)),
            Candidates::One(title, how) => Ok(page(asked, Some(title), how)),
            Candidates::Several(titles, how) => {
                let words = ranked_words(&claim.text).into_iter().collect();
                self.nearest(asked, AmbiguousTopic { titles, how, words })
            }
        }
    }

    /// The articles that a topic may mean.
    fn candidates(&self, topic: &str) -> Result<Candidates, KnowledgeError> {
        if let Some(candidates) = self.found.borrow().get(topic) {
            return Ok(candidates.clone());
        }
        let candidates = self.look_up(topic)?;
        keep(&mut self.found.borrow_mut(), topic.to_owned(), candidates.clone());
        Ok(candidates)
    }

    fn look_up(&self, topic: &str) -> Result<Candidates, KnowledgeError> {
        let name = topic.replace('_', " ");
        let name = name.trim();
        if name.is_empty() {
            return Ok(Candidates::Missing);
        }
        if let Some((title, how)) = self.named(name)? {
            return self.unless_ambiguous(title, how);
        }
        let mut alike = Vec::new();
        for title in self.with_parentheses(bare(name))? {
            alike.extend(self.meanings(title)?);
        }
        if bare(name) != name
            && let Some((title, _)) = self.named(bare(name))?
        {
            alike.extend(self.meanings(title)?);
        }
        let mut seen = BTreeSet::new();
        alike.retain(|title| seen.insert(title.clone()));
        Ok(match alike.len() {
            0 => Candidates::Missing,
            1 => Candidates::One(alike.remove(0), PageMatch::Parentheses),
            _ => Candidates::Several(alike, PageMatch::Parentheses),
        })
    }

    /// The titles of an article, or of those that it lists.
    fn meanings(&self, title: String) -> Result<Vec<String>, KnowledgeError> {
        Ok(match self.unless_ambiguous(title, PageMatch::Parentheses)? {
            Candidates::One(title, _) => vec![title],
            Candidates::Several(titles, _) => titles,
            Candidates::Missing => Vec::new(),
        })
    }

    /// An article, or those that it lists if it is a disambiguation page.
    fn unless_ambiguous(
        &self,
        title: String,
        how: PageMatch,
    ) -> Result<Candidates, KnowledgeError> {
        let Some(index) = self.index else { return Ok(Candidates::One(title, how)) };
        let query = format!(
            "SELECT target FROM {index}.disambiguations WHERE title = ?1 ORDER BY place LIMIT ?2"
        );
        let mut query = self.prepared(&query)?;
        let rows = query.query_map((&title, MOST_COMPARED as i64), |row| row.get::<_, String>(0));
        let listed: Result<Vec<String>, _> = rows.map_err(|source| self.error(source))?.collect();
        let listed = listed.map_err(|source| self.error(source))?;
        if listed.is_empty() {
            return Ok(Candidates::One(title, how));
        }
        let mut articles = Vec::new();
        for target in listed {
            if let Some((found, _)) = self.exact(&target)?
                && found != title
                && !articles.contains(&found)
            {
                articles.push(found);
            }
        }
        Ok(match articles.len() {
            // It lists no article that is known: what it says itself is all there is.
            0 => Candidates::One(title, how),
            1 => Candidates::One(articles.remove(0), PageMatch::Disambiguation),
            _ => Candidates::Several(articles, PageMatch::Disambiguation),
        })
    }

    /// The article of this name: as it is spelt, by a redirect, or in another spelling.
    fn named(&self, name: &str) -> Result<Option<(String, PageMatch)>, KnowledgeError> {
        if let Some(found) = self.exact(name)? {
            return Ok(Some(found));
        }
        let Some(index) = self.index else {
            let found = self.spelt(name)?;
            return Ok(found.map(|title| (title, PageMatch::Normal)));
        };
        let query = format!("SELECT title FROM {index}.titles WHERE normal = ?1 ORDER BY title");
        let mut query = self.prepared(&query)?;
        let rows = query.query_map([normal_title(name)], |row| row.get::<_, String>(0));
        let titles: Result<Vec<String>, _> = rows.map_err(|source| self.error(source))?.collect();
        let mut best: Option<((bool, bool), String, PageMatch)> = None;
        for title in titles.map_err(|source| self.error(source))? {
            let Some((found, how)) = self.exact(&title)? else { continue };
            // Titles that differ in more than case, and redirects, come after others.
            let rank = (title.to_lowercase() != name.to_lowercase(), how == PageMatch::Redirect);
            if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                let is_redirect = how == PageMatch::Redirect;
                best = Some((rank, found, if is_redirect { how } else { PageMatch::Normal }));
            }
        }
        Ok(best.map(|(_, title, how)| (title, how)))
    }

    /// The article with exactly this title, or the one that a redirect with this title leads to.
    fn exact(&self, name: &str) -> Result<Option<(String, PageMatch)>, KnowledgeError> {
        let mut name = name.to_owned();
        // Redirects may lead back to where they began.
        for followed in 0..=MOST_REDIRECTS {
            if self.has_article(&name)? {
                let how = if followed == 0 { PageMatch::Exact } else { PageMatch::Redirect };
                return Ok(Some((name, how)));
            }
            let Some(index) = self.index else { break };
            let query = format!("SELECT target FROM {index}.redirects WHERE source = ?1");
            let target = self.prepared(&query)?.query_row([&name], |row| row.get(0)).optional();
            match target.map_err(|source| self.error(source))? {
                Some(target) => name = target,
                None => break,
            }
        }
        Ok(None)
    }

    fn has_article(&self, title: &str) -> Result<bool, KnowledgeError> {
        let mut query = self.prepared("SELECT 1 FROM documents WHERE title = ?1")?;
        query.exists([title]).map_err(|source| self.error(source))
    }

    /// The title that is one of a name's spellings.
    fn spelt(&self, name: &str) -> Result<Option<String>, KnowledgeError> {
        for spelling in spellings(name) {
            if self.has_article(&spelling)? {
                return Ok(Some(spelling));
            }
        }
        Ok(None)
    }

    /// Articles whose title is this name with something in parentheses behind it.
    fn with_parentheses(&self, name: &str) -> Result<Vec<String>, KnowledgeError> {
        let Some(index) = self.index else {
            let mut found = Vec::new();
            for spelling in spellings(name) {
                found.extend(self.range("documents", "title", &spelling)?);
            }
            found.sort();
            return Ok(found);
        };
        let mut found = Vec::new();
        for title in self.range(&format!("{index}.titles"), "normal", &normal_title(name))? {
            found.extend(self.exact(&title)?.map(|(title, _)| title));
        }
        Ok(found)
    }

    /// Titles of a table whose column is this name with a parenthesis behind it.
    fn range(&self, table: &str, column: &str, name: &str) -> Result<Vec<String>, KnowledgeError> {
        let query = format!(
            "SELECT title FROM {table} WHERE {column} >= ?1 AND {column} < ?2 \
             ORDER BY {column}, title LIMIT ?3"
        );
        let mut query = self.prepared(&query)?;
        // `)` is the character after `(`, so that the index gives all names with a parenthesis.
        let (from, to) = (format!("{name} ("), format!("{name} )"));
        let rows = query.query_map((from, to, MOST_COMPARED as i64), |row| row.get::<_, String>(0));
        let rows: Result<Vec<String>, _> = rows.map_err(|source| self.error(source))?.collect();
        rows.map_err(|source| self.error(source))
    }

    /// The article among several whose beginning is nearest to claims about the topic.
    fn nearest(&self, name: &str, topic: AmbiguousTopic) -> Result<Page, KnowledgeError> {
        let AmbiguousTopic { titles, how, mut words } = topic;
        let mut beginnings = Vec::with_capacity(titles.len());
        for title in &titles {
            let text: String =
                self.text(title)?.unwrap_or_default().chars().take(COMPARED_LENGTH).collect();
            beginnings.push(format!("{title} {}", plain(&text)));
        }
        let ranking = Ranking::new(beginnings.iter().map(String::as_str));
        // What stands in parentheses tells something, but not the name itself.
        words.extend(ranked_words(name));
        for word in ranked_words(bare(name)) {
            words.remove(&word);
        }
        let query = words.into_iter().collect::<Vec<_>>().join(" ");
        let scores = ranking.scores(&query);
        let best = ranking.order(&query)[0];
        // Titles with one name and other parentheses: of equals, none is surely meant.
        let is_sure = scores.iter().filter(|score| **score == scores[best]).count() == 1;
        if how == PageMatch::Parentheses && !is_sure {
            return Ok(page(name, None, PageMatch::Missing));
        }
        Ok(page(name, titles.into_iter().nth(best), how))
    }

    /// The title that a text names: the longest at its beginning, else the longest capitalised one
    /// anywhere (the first of equals).
    ///
    /// # Errors
    /// Where the file can no longer be read.
    pub fn title_in(&self, text: &str) -> Result<Option<String>, KnowledgeError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        // A title may stand behind an article that it does not have itself.
        let first = usize::from(
            words.first().is_some_and(|word| matches!(*word, "The" | "the" | "A" | "An")),
        );
        for start in 0..=first {
            if let Some((title, _)) = self.title_at(&words, start)? {
                return Ok(Some(title));
            }
        }
        let mut best: Option<(String, usize)> = None;
        for start in 1..words.len() {
            // Common words are titles too, and would be found in nearly every claim.
            let is_name = words[start]
                .chars()
                .find(|c| c.is_alphanumeric())
                .is_some_and(|c| !c.is_lowercase());
            let found = if is_name { self.title_at(&words, start)? } else { None };
            if let Some((title, length)) = found
                && best.as_ref().is_none_or(|(_, longest)| length > *longest)
            {
                best = Some((title, length));
            }
        }
        Ok(best.map(|(title, _)| title))
    }

    /// The longest title at a word, and its number of words.
    fn title_at(
        &self,
        words: &[&str],
        start: usize,
    ) -> Result<Option<(String, usize)>, KnowledgeError> {
        let most = LONGEST_TITLE.min(words.len().saturating_sub(start));
        // The longest first: "New York City" is not an article about New York.
        for length in (1..=most).rev() {
            let name = words[start..start + length].join(" ");
            let trimmed =
                name.trim_matches(|c: char| !(c.is_alphanumeric() || matches!(c, ')' | '(')));
            let owner = ["'s", "\u{2019}s", "'", "\u{2019}"]
                .iter()
                .find_map(|end| trimmed.strip_suffix(end));
            // Titles may end with a period, as "Washington, D.C.".
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
}

fn page(asked: &str, found: Option<String>, how: PageMatch) -> Page {
    Page { asked: asked.to_owned(), found, how }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::{Builder, KnowledgeEntry, base};

    fn article(title: &str, text: &str) -> KnowledgeEntry {
        KnowledgeEntry::Article { title: title.to_owned(), text: text.to_owned() }
    }

    fn redirect(source: &str, target: &str) -> KnowledgeEntry {
        KnowledgeEntry::Redirect { source: source.to_owned(), target: target.to_owned() }
    }

    fn entries() -> Vec<KnowledgeEntry> {
        vec![
            article("Kurt G\u{f6}del", "Kurt G\u{f6}del was a logician."),
            article("Jo Ray (boxer)", "Jo Ray was a boxer, who won a title in Oslo."),
            article("Jo Ray (singer)", "Jo Ray was a singer, whose songs were sold."),
            article("Michael Holm (painter)", "Michael Holm was a painter."),
            article("IU", "IU is a singer."),
            article("Planet Mercury", "Mercury is the planet nearest to the Sun."),
            article("Mercury (element)", "Mercury is a liquid metal with the symbol Hg."),
            redirect("Goedel", "Kurt G\u{f6}del"),
            redirect("K. Goedel", "Goedel"),
            redirect("Loop", "Loop"),
            redirect("Planet No. 1", "Planet Mercury"),
            KnowledgeEntry::Disambiguation {
                title: "Mercury".to_owned(),
                text: "Mercury may be a planet or an element.".to_owned(),
                targets: ["Mercury, Nevada", "Planet No. 1", "Mercury (element)"]
                    .map(str::to_owned)
                    .to_vec(),
            },
            redirect("Hermes", "Mercury"),
            KnowledgeEntry::Disambiguation {
                title: "Godel (disambiguation)".to_owned(),
                text: "Names.".to_owned(),
                targets: vec!["IU".to_owned(), "Michael Holm (painter)".to_owned()],
            },
        ]
    }

    fn knowledge(folder: &tempfile::TempDir) -> Knowledge {
        let path = folder.path().join("knowledge.db");
        let mut builder = Builder::open(&path).unwrap();
        builder.add(entries(), "0").unwrap();
        builder.finish(None).unwrap();
        Knowledge::open(&path).unwrap()
    }

    fn claim(topic: &str, text: &str) -> Claim {
        Claim { topic: topic.to_owned(), text: text.to_owned(), ..Claim::default() }
    }

    #[test]
    fn topics_lead_to_articles_in_many_ways() {
        use PageMatch::{Disambiguation, Exact, Missing, Named, Normal, Parentheses, Redirect};
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(&folder);
        let metal = "It is a metal.";
        for (topic, text, found, how) in [
            ("IU", "x", "IU", Exact),
            ("Kurt_G\u{f6}del", "x", "Kurt G\u{f6}del", Exact),
            ("kurt godel", "x", "Kurt G\u{f6}del", Normal),
            ("Goedel", "x", "Kurt G\u{f6}del", Redirect),
            ("K. Goedel", "x", "Kurt G\u{f6}del", Redirect),
            ("k goedel", "x", "Kurt G\u{f6}del", Redirect),
            ("IU (singer)", "x", "IU", Parentheses),
            ("Michael Holm", "x", "Michael Holm (painter)", Parentheses),
            ("Michael Holm (artist)", "x", "Michael Holm (painter)", Parentheses),
            ("Jo Ray", "He sold many songs.", "Jo Ray (singer)", Parentheses),
            ("Jo Ray", "He ate.", "", Missing),
            ("Mercury", metal, "Mercury (element)", Disambiguation),
            ("Hermes", metal, "Mercury (element)", Disambiguation),
            ("Mercury", "It is near the Sun.", "Planet Mercury", Disambiguation),
            ("Mercury (planet)", "It is small.", "Planet Mercury", Parentheses),
            ("Godel", "She is a singer.", "IU", Parentheses),
            ("Ann Lee", "IU is a singer.", "", Missing),
            ("Loop", "x", "", Missing),
            ("", "IU is a singer.", "IU", Named),
            (" ", "She is a singer.", "", Missing),
        ] {
            let page = knowledge.page(&claim(topic, text)).unwrap();
            assert_eq!(
                (page.found.as_deref().unwrap_or_default(), page.how),
                (found, how),
                "{topic}"
            );
            assert_eq!(page.asked, topic);
        }
        assert_eq!(knowledge.title_of("Mercury").unwrap(), None, "no claim tells which");
    }

    #[test]
    fn claims_of_one_topic_have_one_article() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(&folder);
        let claims = [
            claim("Mercury", "Mercury is hot."),
            claim("Mercury", "Mercury is a liquid metal."),
            claim("Mercury", "Its symbol is Hg."),
            claim("IU", "IU is near the Sun."),
        ];
        let mut topics = AmbiguousTopics::default();
        claims.iter().for_each(|claim| knowledge.note_topic(claim, &mut topics).unwrap());
        knowledge.settle_pages(topics).unwrap();
        for claim in &claims[..3] {
            let page = knowledge.page(claim).unwrap();
            assert_eq!(page.found.as_deref(), Some("Mercury (element)"), "{}", claim.text);
        }
    }

    /// FActScore's database has no tables but its own.
    #[test]
    fn a_database_without_our_tables_is_searched_by_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain.db");
        let articles = entries().into_iter().filter_map(|entry| match entry {
            KnowledgeEntry::Article { title, text } => {
                Some(crate::knowledge::Article::new(&title, &text))
            }
            _ => None,
        });
        base::write(&path, articles).unwrap();
        let knowledge = Knowledge::open(&path).unwrap();
        let page = |topic: &str, text: &str| knowledge.page(&claim(topic, text)).unwrap();
        assert_eq!(page("kurt g\u{f6}del", "x").how, PageMatch::Normal);
        assert_eq!(page("Jo Ray", "He won a title.").found.as_deref(), Some("Jo Ray (boxer)"));
        assert_eq!(page("Goedel", "x").how, PageMatch::Missing);
    }
}
