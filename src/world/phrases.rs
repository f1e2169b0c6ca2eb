//! Wording of a domain's facts: prompts, sentences, questions, and openers of sources.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::facts::{capitalised, normalise};

use super::{Entity, FactTable};

/// The wording of one domain; a phrases file holds one.
///
/// Texts have placeholders: `{name}` is the topic's name, `{value}` the value of the fact; in
/// sentences `{pronoun}` and `{possessive}`, which read `She` and `Her` in a response and `Marie
/// Curie` and `Marie Curie's` in the knowledge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrases {
    /// The domain's name: "people", ...
    pub domain: String,
    /// Prompt for a paragraph, with `{name}`.
    pub prompt: String,
    /// The pronoun of all topics: She, He, It or They.
    pub pronoun: Option<String>,
    /// Column of the table with the pronoun, if topics differ.
    pub pronoun_column: Option<String>,
    /// Openers of sources.
    pub openers: Openers,
    /// The wording of each attribute.
    pub attribute: BTreeMap<String, AttributePhrases>,
}

/// Openers of paragraphs, e.g. `Biographers record:`. The sources are invented.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openers {
    /// Openers of reliable sources.
    pub reliable: Vec<String>,
    /// Openers of unreliable sources.
    pub unreliable: Vec<String>,
}

/// The wording of one attribute.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributePhrases {
    /// The sentence that states the fact, with `{pronoun}` or `{possessive}` first, and `{value}`.
    pub sentence: String,
    /// The question that asks for the fact, with `{name}`.
    pub question: String,
    /// Sentences for single values with another wording: `island = "{pronoun} has no land
    /// border."`.
    #[serde(default)]
    pub special: BTreeMap<String, String>,
}

/// Why phrases cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhrasesError {
    /// A text lacks a placeholder, or has an unknown one.
    #[error("{place}: `{text}` {problem}")]
    Text {
        /// Path of the text: `attribute.capital.sentence`.
        place: String,
        /// The text.
        text: String,
        /// The problem.
        problem: String,
    },
    /// An attribute is not a column.
    #[error("`attribute.{attribute}` is not a column of the table, which has: {columns}")]
    NoColumn {
        /// The attribute.
        attribute: String,
        /// The columns.
        columns: String,
    },
    /// Two attributes have the same wording.
    #[error(
        "the attributes `{0}` and `{1}` have the same wording (`{2}`), so that their facts could \
        be confused"
    )]
    Alike(String, String, String),
    /// The pronoun has no source, or two.
    #[error("exactly one of `pronoun` and `pronoun_column` must be given")]
    Pronoun,
    /// A topic's pronoun is invalid.
    #[error("`{0}`: the pronoun `{1}` is unknown; expected She, He, It or They")]
    UnknownPronoun(String, String),
}

/// Pronouns with their possessives.
const PRONOUNS: [(&str, &str); 4] =
    [("She", "Her"), ("He", "His"), ("It", "Its"), ("They", "Their")];

impl Phrases {
    /// Checks the wording against its table.
    ///
    /// # Errors
    /// Names the wrong text and the right form.
    pub fn check(&self, table: &FactTable) -> Result<(), PhrasesError> {
        check_text("prompt", &self.prompt, &["name"], &["{name}"])?;
        for (kind, openers) in
            [("reliable", &self.openers.reliable), ("unreliable", &self.openers.unreliable)]
        {
            let place = format!("openers.{kind}");
            if openers.is_empty() {
                return Err(wrong_text(&place, "", "needs an opener"));
            }
            for opener in openers {
                if !opener.ends_with(':') {
                    let problem =
                        "must end in a colon, which tells the extraction that it is not a fact";
                    return Err(wrong_text(&place, opener, problem));
                }
                check_text(&place, opener, &[], &[])?;
            }
        }
        for (attribute, phrases) in &self.attribute {
            if !table.attributes.contains(attribute) {
                let columns = table.attributes.join(", ");
                return Err(PhrasesError::NoColumn { attribute: attribute.clone(), columns });
            }
            phrases.check(attribute)?;
        }
        self.check_unlike()?;
        if self.pronoun.is_some() == self.pronoun_column.is_some() {
            return Err(PhrasesError::Pronoun);
        }
        // Here for all, so that no document fails in the middle of a run.
        table.entities.iter().try_for_each(|entity| self.pronoun(entity).map(drop))
    }

    fn check_unlike(&self) -> Result<(), PhrasesError> {
        // Verdicts are on sentences: two attributes with one sentence could not be told apart.
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (attribute, phrases) in &self.attribute {
            for text in std::iter::once(&phrases.sentence).chain(phrases.special.values()) {
                if let Some(other) = seen.insert(normalise(text), attribute)
                    && other != attribute
                {
                    return Err(PhrasesError::Alike(
                        other.to_owned(),
                        attribute.clone(),
                        text.clone(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The pronoun and the possessive of a topic.
    fn pronoun(&self, entity: &Entity) -> Result<(&'static str, &'static str), PhrasesError> {
        let word = match (&self.pronoun, &self.pronoun_column) {
            (Some(word), _) => word.as_str(),
            (None, Some(column)) => entity.values.get(column).map_or("", |words| words[0].as_str()),
            (None, None) => return Err(PhrasesError::Pronoun),
        };
        let known = PRONOUNS.into_iter().find(|(pronoun, _)| pronoun.eq_ignore_ascii_case(word));
        known.ok_or_else(|| PhrasesError::UnknownPronoun(entity.name.clone(), word.to_owned()))
    }

    /// The prompt for a paragraph about a topic.
    pub fn paragraph_prompt(&self, entity: &Entity) -> String {
        self.prompt.replace("{name}", &entity.name)
    }

    /// The question for one fact.
    ///
    /// # Panics
    /// If the attribute has no wording.
    pub fn question(&self, entity: &Entity, attribute: &str) -> String {
        self.attribute[attribute].question.replace("{name}", &entity.name)
    }

    /// A fact as a response states it: `She was born in Warsaw.`
    ///
    /// # Panics
    /// If the attribute has no wording, or the topic no pronoun ([`Phrases::check`]).
    pub fn statement(&self, entity: &Entity, attribute: &str, value: &str) -> String {
        let (pronoun, possessive) = self.pronoun(entity).expect("pronouns were checked");
        self.sentence(attribute, value, [pronoun, possessive])
    }

    /// A fact as the knowledge states it: `Marie Curie was born in Warsaw.`
    ///
    /// # Panics
    /// If the attribute has no wording.
    pub fn named_statement(&self, entity: &Entity, attribute: &str, value: &str) -> String {
        // Elements are written small, but not at the beginning of a sentence.
        let name = capitalised(&entity.name);
        self.sentence(attribute, value, [&name, &format!("{name}'s")])
    }

    fn sentence(&self, attribute: &str, value: &str, [pronoun, possessive]: [&str; 2]) -> String {
        let phrases = &self.attribute[attribute];
        let template = phrases.special.get(value).unwrap_or(&phrases.sentence);
        let named = template.replace("{pronoun}", pronoun).replace("{possessive}", possessive);
        let sentence = named.replace("{value}", value);
        match sentence.strip_suffix("..") {
            // An abbreviation at the end brings the full stop along.
            Some(start) => format!("{start}."),
            None => sentence,
        }
    }
}

impl AttributePhrases {
    fn check(&self, attribute: &str) -> Result<(), PhrasesError> {
        let question = format!("attribute.{attribute}.question");
        check_text(&question, &self.question, &["name"], &["{name}"])?;
        let known = ["pronoun", "possessive", "value"];
        let place = format!("attribute.{attribute}.sentence");
        check_text(&place, &self.sentence, &known, &["{value}"])?;
        let mut sentences = vec![(place, &self.sentence)];
        for (value, sentence) in &self.special {
            // A special sentence, such as of an island's neighbours, may do without its value.
            let place = format!("attribute.{attribute}.special.{value}");
            check_text(&place, sentence, &known, &[])?;
            sentences.push((place, sentence));
        }
        for (place, text) in sentences {
            if !text.starts_with("{pronoun} ") && !text.starts_with("{possessive} ") {
                let problem = "must begin with `{pronoun} ` or `{possessive} `, from which the \
                    extraction finds the topic";
                return Err(wrong_text(&place, text, problem));
            }
            // The extraction splits sentences at full stops.
            if !text.ends_with('.') {
                return Err(wrong_text(&place, text, "must end in a full stop"));
            }
        }
        Ok(())
    }
}

fn wrong_text(place: &str, text: &str, problem: &str) -> PhrasesError {
    PhrasesError::Text {
        place: place.to_owned(),
        text: text.to_owned(),
        problem: problem.to_owned(),
    }
}

/// Checks the white space around a text and its placeholders.
fn check_text(
    place: &str,
    text: &str,
    known: &[&str],
    needed: &[&str],
) -> Result<(), PhrasesError> {
    let found: BTreeSet<&str> =
        text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or(rest)).collect();
    // A misspelt placeholder would stay in the text as it is.
    let unknown = found.iter().find(|name| !known.contains(name));
    let missing = needed.iter().find(|name| !text.contains(**name));
    let problem = match (unknown, missing) {
        _ if text.trim() != text || text.is_empty() => {
            "must not be empty, nor begin or end with a space".to_owned()
        }
        (Some(name), _) if known.is_empty() => {
            format!("has a placeholder `{{{name}}}`, but takes none")
        }
        (Some(name), _) => {
            format!("has an unknown placeholder `{{{name}}}`; known: {}", known.join(", "))
        }
        (None, Some(name)) => format!("needs the placeholder `{name}`"),
        (None, None) => return Ok(()),
    };
    Err(wrong_text(place, text, &problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(sentence: &str) -> Phrases {
        Phrases {
            domain: "countries".to_owned(),
            prompt: "Tell me about {name}.".to_owned(),
            pronoun: Some("It".to_owned()),
            pronoun_column: None,
            openers: Openers {
                reliable: vec!["Atlases list:".to_owned()],
                unreliable: vec!["Sailors tell:".to_owned()],
            },
            attribute: BTreeMap::from([(
                "neighbour".to_owned(),
                AttributePhrases {
                    sentence: sentence.to_owned(),
                    question: "What country borders {name}?".to_owned(),
                    special: BTreeMap::from([(
                        "island".to_owned(),
                        "{pronoun} has no land border.".to_owned(),
                    )]),
                },
            )]),
        }
    }

    fn table() -> FactTable {
        FactTable::parse("name,neighbour\nFrance,Spain; Italy\nJapan,island\n").unwrap()
    }

    #[test]
    fn facts_are_worded() {
        let (phrases, table) = (phrases("{pronoun} borders {value}."), table());
        phrases.check(&table).unwrap();
        let (france, japan) = (&table.entities[0], &table.entities[1]);
        assert_eq!(phrases.paragraph_prompt(france), "Tell me about France.");
        assert_eq!(phrases.question(japan, "neighbour"), "What country borders Japan?");
        assert_eq!(phrases.statement(france, "neighbour", "Spain"), "It borders Spain.");
        assert_eq!(
            phrases.statement(france, "neighbour", "Yet. Another Rep."),
            "It borders Yet. Another Rep."
        );
        assert_eq!(
            phrases.named_statement(japan, "neighbour", "island"),
            "Japan has no land border."
        );
    }

    #[test]
    fn wrong_wording_is_told() {
        let problem = |sentence: &str| phrases(sentence).check(&table()).unwrap_err().to_string();
        assert_eq!(
            problem("{pronoun} borders it."),
            "attribute.neighbour.sentence: `{pronoun} borders it.` needs the placeholder `{value}`"
        );
        assert!(problem("{pronoum} borders {value}.").contains("unknown placeholder `{pronoum}`"));
        assert!(problem("Near {value}.").contains("must begin with `{pronoun} `"));
        assert!(problem("{pronoun} borders {value}").contains("must end in a full stop"));
        let mut other = phrases("{pronoun} borders {value}.");
        other.pronoun = Some("Xe".to_owned());
        assert_eq!(
            other.check(&table()).unwrap_err().to_string(),
            "`France`: the pronoun `Xe` is unknown; expected She, He, It or They"
        );
    }

    #[test]
    fn attributes_worded_alike_are_refused() {
        let mut alike = phrases("{pronoun} borders {value}.");
        alike.attribute.insert("sea".to_owned(), alike.attribute["neighbour"].clone());
        let table = FactTable::parse("name,neighbour,sea\nFrance,Spain,Atlantic\n").unwrap();
        assert!(matches!(alike.check(&table), Err(PhrasesError::Alike(..))));
    }
}
