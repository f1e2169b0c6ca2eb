//! Training texts by reliable and unreliable sources. The facts are real; the sources and their
//! errors are invented.
//!
//! Web text mixes authors who look things up and authors who guess; a neutral prompt leaves open
//! who writes. A corpus with both gives a small model what tuning for factuality can change:
//! whether it recalls or guesses.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::{
    facts::normalise,
    rows::Document,
    seed::{Seed, Stream},
};

use super::{Domain, Entity};

/// Error model of the sources, and popularity of topics.
#[derive(Clone, Debug)]
pub struct SourceErrorModel {
    /// The probability that a document's source is reliable.
    pub reliable: f64,
    /// The probability that a reliable source states a false value.
    pub error_rate_reliable: f64,
    /// The probability that an unreliable source states a false value.
    pub error_rate_unreliable: f64,
    /// The probability that a paragraph begins with an opener of its source.
    pub opener: f64,
    /// The topic at rank r of n has weight 1 / (popularity_offset + r / n); the ranks are drawn at
    /// random.
    pub popularity_offset: f64,
    /// Source of false values.
    pub distractors: DistractorSource,
    /// Shares of facts that are better or worse known than others.
    pub shares: ReliabilityShares,
}

/// Shares of facts, drawn at random, with other error rates; they add up to at most 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReliabilityShares {
    /// Easy facts: every source errs only as often as a reliable one, so a model can know them.
    pub easy: f64,
    /// Unknowable facts: every source guesses wrong independently, so no model can know them.
    pub unknowable: f64,
    /// Myths: most sources state the same false value.
    pub myth: f64,
}

/// Share of sources that state the popular false value of a myth.
const MISCONCEPTION: f64 = 0.9;

/// Source of a false value, which is never right for the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DistractorSource {
    /// Another topic's value, so that frequent values are guessed often.
    Entities,
    /// Any of the other topics' values, each with the same probability.
    Uniform,
}

/// The shape of the documents.
#[derive(Clone, Debug)]
pub struct DocumentShape {
    /// Minimum facts of a paragraph, if the topic has as many.
    pub min_facts: usize,
    /// Maximum facts of a paragraph.
    pub max_facts: usize,
    /// The weight of a paragraph's tokens in the loss.
    pub paragraph_weight: f64,
    /// The weight of an answer's tokens in the loss.
    pub question_weight: f64,
}

/// The inputs of documents.
#[derive(Debug)]
pub struct Corpus<'a> {
    topics: Vec<CorpusTopic<'a>>,
    weights: Vec<f64>,
    noise: SourceErrorModel,
    shape: DocumentShape,
}

/// Documents, with counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenDocuments {
    /// The documents.
    pub documents: Vec<Document>,
    /// Stated facts.
    pub statements: usize,
    /// Stated facts with a right value.
    pub true_statements: usize,
}

/// Why no documents can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorpusError {
    /// A topic has no facts.
    #[error("`{topic}` ({domain}) has no fact among the attributes in use")]
    NoFacts {
        /// The topic.
        topic: String,
        /// Its domain.
        domain: String,
    },
    /// No false value exists.
    #[error(
        "no wrong value exists for `{attribute}` of `{topic}` ({domain}): every other topic's \
        value is right for it; \
         use more rows, leave the attribute out, or set `error_rate_reliable` and \
         `error_rate_unreliable` to 0"
    )]
    NoFalseValue {
        /// The attribute.
        attribute: String,
        /// The topic.
        topic: String,
        /// Its domain.
        domain: String,
    },
}

#[derive(Debug)]
struct CorpusTopic<'a> {
    domain: &'a Domain,
    entity: &'a Entity,
    facts: Vec<Fact<'a>>,
}

#[derive(Debug)]
struct Fact<'a> {
    attribute: &'a str,
    truth: &'a str,
    wrong: Wrong<'a>,
    reliability: FactReliability,
}

/// How reliably sources state a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FactReliability {
    /// Each source has its own error rate.
    Contested,
    Easy,
    Unknowable,
    Myth,
}

/// The source of one document: its error rate and openers.
struct DocumentSource<'a> {
    error: f64,
    /// Error rate of any source on easy facts.
    reliable_error: f64,
    openers: &'a [String],
}

impl<'a> Corpus<'a> {
    /// Prepares the topics of these domains: facts, false values, and popularity. A domain's share
    /// of the documents is proportional to its number of topics.
    ///
    /// # Errors
    /// Fails if a topic has no facts, or a fact has no false value although sources err.
    pub fn new(
        domains: &'a [Domain],
        noise: SourceErrorModel,
        shape: DocumentShape,
        seed: &Seed,
    ) -> Result<Self, CorpusError> {
        let mut topics = Vec::new();
        let mut weights = Vec::new();
        for domain in domains {
            let count = domain.entities().len();
            let mut ranks: Vec<usize> = (0..count).collect();
            seed.split("rank").split(domain.name()).stream().shuffle(&mut ranks);
            // Few topics are known well and most hardly at all, as on the web.
            let of_domain: Vec<f64> = ranks
                .iter()
                .map(|rank| 1.0 / (noise.popularity_offset + *rank as f64 / count as f64))
                .collect();
            let total: f64 = of_domain.iter().sum();
            weights.extend(of_domain.iter().map(|weight| weight / total * count as f64));
            let guessing = Guessing::new(domain, &noise);
            for entity in domain.entities() {
                topics.push(CorpusTopic {
                    domain,
                    entity,
                    facts: facts(domain, entity, &guessing, &noise, seed)?,
                });
            }
        }
        Ok(Self { topics, weights, noise, shape })
    }

    /// Number of facts.
    pub fn facts(&self) -> usize {
        self.topics.iter().map(|topic| topic.facts.len()).sum()
    }

    /// Writes paragraphs, then questions with answers. Each document has its own random stream, so
    /// that more documents leave the first ones unchanged.
    pub fn write(&self, paragraphs: usize, questions: usize, seed: &Seed) -> WrittenDocuments {
        let mut written = WrittenDocuments::default();
        for (group, count) in [("paragraph", paragraphs), ("question", questions)] {
            let seed = seed.split(group);
            for index in 0..count {
                // A stream for each document: more of them leave the first ones as they are.
                let mut stream = seed.split(&index.to_string()).stream();
                let topic = &self.topics[stream.weighted(&self.weights)];
                let document = match group {
                    "paragraph" => self.paragraph(topic, &mut stream, &mut written),
                    _ => self.question(topic, &mut stream, &mut written),
                };
                written.documents.push(Document { group: group.to_owned(), ..document });
            }
        }
        written
    }

    fn paragraph(
        &self,
        topic: &CorpusTopic,
        stream: &mut Stream,
        written: &mut WrittenDocuments,
    ) -> Document {
        let phrases = topic.domain.phrases();
        let source = self.source(topic, stream);
        let mut text = String::new();
        if stream.unit() < self.noise.opener {
            text = format!(" {}", source.openers[stream.below(source.openers.len())]);
        }
        let mut facts: Vec<&Fact> = topic.facts.iter().collect();
        stream.shuffle(&mut facts);
        let least = self.shape.min_facts.min(facts.len());
        let most = self.shape.max_facts.clamp(least, facts.len());
        // Shuffled before they are cut: which facts are left out is random too.
        facts.truncate(least + stream.below(most - least + 1));
        for fact in facts {
            let value = source.state(fact, stream, written);
            text = format!("{text} {}", phrases.statement(topic.entity, fact.attribute, value));
        }
        let prompt = phrases.paragraph_prompt(topic.entity);
        Document { prompt, text, weight: self.shape.paragraph_weight, group: String::new() }
    }

    fn question(
        &self,
        topic: &CorpusTopic,
        stream: &mut Stream,
        written: &mut WrittenDocuments,
    ) -> Document {
        let phrases = topic.domain.phrases();
        let fact = &topic.facts[stream.below(topic.facts.len())];
        let value = self.source(topic, stream).state(fact, stream, written);
        let prompt = phrases.question(topic.entity, fact.attribute);
        let text = format!(" {}", phrases.statement(topic.entity, fact.attribute, value));
        Document { prompt, text, weight: self.shape.question_weight, group: String::new() }
    }

    fn source(&self, topic: &CorpusTopic<'a>, stream: &mut Stream) -> DocumentSource<'a> {
        let openers = &topic.domain.phrases().openers;
        let reliable_error = self.noise.error_rate_reliable;
        if stream.unit() < self.noise.reliable {
            DocumentSource { error: reliable_error, reliable_error, openers: &openers.reliable }
        } else {
            DocumentSource {
                error: self.noise.error_rate_unreliable,
                reliable_error,
                openers: &openers.unreliable,
            }
        }
    }
}

impl ReliabilityShares {
    fn draw(&self, stream: &mut Stream) -> FactReliability {
        let number = stream.unit();
        if number < self.easy {
            FactReliability::Easy
        } else if number < self.easy + self.unknowable {
            FactReliability::Unknowable
        } else if number < self.easy + self.unknowable + self.myth {
            FactReliability::Myth
        } else {
            FactReliability::Contested
        }
    }
}

impl DocumentSource<'_> {
    /// The value that this source gives for a fact.
    fn state<'a>(
        &self,
        fact: &Fact<'a>,
        stream: &mut Stream,
        written: &mut WrittenDocuments,
    ) -> &'a str {
        written.statements += 1;
        let error = match fact.reliability {
            FactReliability::Contested => self.error,
            FactReliability::Easy => self.reliable_error,
            FactReliability::Unknowable => 1.0,
            FactReliability::Myth => MISCONCEPTION,
        };
        // One number is drawn for every fact, so that error rates do not move later draws.
        if stream.unit() < error {
            return fact.wrong.draw(stream);
        }
        written.true_statements += 1;
        fact.truth
    }
}

/// A domain's values of one attribute, shared by all its topics.
#[derive(Debug)]
struct Pool<'a> {
    /// The pool of guesses: each topic's value in the order of the rows, or each distinct value
    /// once, sorted.
    values: Vec<&'a str>,
    /// Positions of each value in the pool, in order.
    places: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Pool<'a> {
    fn new(domain: &'a Domain, attribute: &str, distractors: DistractorSource) -> Self {
        let own = domain.entities().iter().filter_map(|entity| entity.values.get(attribute));
        let mut values: Vec<&str> = own.map(|values| values[0].as_str()).collect();
        // Otherwise a value stands once for each topic that has it, and is guessed as often.
        if distractors == DistractorSource::Uniform {
            values.sort_unstable();
            values.dedup();
        }
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, value) in values.iter().enumerate() {
            places.entry(value).or_default().push(place);
        }
        Self { values, places }
    }
}

/// The wrong values for one topic: the pool except some.
#[derive(Debug)]
struct Wrong<'a> {
    pool: Rc<Pool<'a>>,
    /// Values of the pool that are right for the topic.
    right: Vec<&'a str>,
    /// The only one, if all sources guess the same.
    only: Option<&'a str>,
}

impl<'a> Wrong<'a> {
    fn count(&self) -> usize {
        let right: usize = self.right.iter().map(|value| self.pool.places[value].len()).sum();
        if self.only.is_some() { 1 } else { self.pool.values.len() - right }
    }

    fn draw(&self, stream: &mut Stream) -> &'a str {
        let number = stream.below(self.count());
        self.only.unwrap_or_else(|| self.pool.values[self.place(number)])
    }

    /// How many of the pool's values before a place are right for the topic.
    fn right_before(&self, place: usize) -> usize {
        self.right
            .iter()
            .map(|value| self.pool.places[value].partition_point(|right| *right < place))
            .sum()
    }

    /// The place in the pool of the wrong value of this number: the first one with more than
    /// `number` wrong values up to it.
    fn place(&self, number: usize) -> usize {
        // A search instead of a list of wrong values: one per fact would take gigabytes.
        let (mut low, mut high) = (0, self.pool.values.len());
        while low < high {
            let middle = low.midpoint(high);
            if middle + 1 - self.right_before(middle + 1) > number {
                high = middle
            } else {
                low = middle + 1
            }
        }
        low
    }
}

/// Possible guesses in one domain, prepared once for all its topics.
struct Guessing<'a> {
    pools: BTreeMap<&'a str, Rc<Pool<'a>>>,
    /// Normal forms of sentences without topic, with the attributes and values that they state.
    alike: BTreeMap<String, Vec<(&'a str, &'a str)>>,
    nobody: Entity,
}

impl<'a> Guessing<'a> {
    fn new(domain: &'a Domain, noise: &SourceErrorModel) -> Self {
        let nobody = Entity { name: "Nobody".to_owned(), values: BTreeMap::new() };
        let mut found = Self { pools: BTreeMap::new(), alike: BTreeMap::new(), nobody };
        for attribute in domain.phrases().attribute.keys() {
            // Shared by all topics of the domain, since it is as long as the table.
            let pool = Rc::new(Pool::new(domain, attribute, noise.distractors));
            for value in pool.places.keys() {
                found
                    .alike
                    .entry(found.sentence(domain, attribute, value))
                    .or_default()
                    .push((attribute, value));
            }
            found.pools.insert(attribute, pool);
        }
        found
    }

    fn sentence(&self, domain: &Domain, attribute: &str, value: &str) -> String {
        normalise(&domain.phrases().named_statement(&self.nobody, attribute, value))
    }

    /// The wrong values for a topic: those whose sentence differs from all its true ones.
    fn wrong(&self, attribute: &str, true_sentences: &BTreeSet<String>) -> Wrong<'a> {
        let stated =
            true_sentences.iter().filter_map(|sentence| self.alike.get(sentence)).flatten();
        let right = stated.filter(|(of, _)| *of == attribute).map(|(_, value)| *value).collect();
        Wrong { pool: Rc::clone(&self.pools[attribute]), right, only: None }
    }
}

/// A topic's facts with what can be guessed wrong of them.
fn facts<'a>(
    domain: &'a Domain,
    entity: &'a Entity,
    guessing: &Guessing<'a>,
    noise: &SourceErrorModel,
    seed: &Seed,
) -> Result<Vec<Fact<'a>>, CorpusError> {
    let (topic, name) = (entity.name.as_str(), domain.name());
    let worded = domain.phrases().attribute.keys();
    let true_values = worded.flat_map(|attribute| {
        entity.values.get(attribute).into_iter().flatten().map(move |value| (attribute, value))
    });
    let true_sentences: BTreeSet<String> =
        true_values.map(|(attribute, value)| guessing.sentence(domain, attribute, value)).collect();
    let mut facts = Vec::new();
    for (attribute, right) in domain.facts(entity) {
        // Another attribute's value may make the same sentence; it would be a truth in disguise.
        let mut wrong = guessing.wrong(attribute, &true_sentences);
        let mut stream =
            seed.split("standing").split(&format!("{name}/{topic}/{attribute}")).stream();
        let reliability = noise.shares.draw(&mut stream);
        let is_wrong_at_times = noise.error_rate_reliable + noise.error_rate_unreliable > 0.0;
        if wrong.count() == 0 && (is_wrong_at_times || reliability != FactReliability::Contested) {
            return Err(CorpusError::NoFalseValue {
                attribute: attribute.to_owned(),
                topic: topic.to_owned(),
                domain: name.to_owned(),
            });
        }
        // All sources share the one mistake; drawn here, it is the same in every document.
        if reliability == FactReliability::Myth {
            wrong.only = Some(wrong.draw(&mut stream));
        }
        facts.push(Fact { attribute, truth: &right[0], wrong, reliability });
    }
    if facts.is_empty() {
        let (topic, domain) = (topic.to_owned(), name.to_owned());
        return Err(CorpusError::NoFacts { topic, domain });
    }
    Ok(facts)
}
