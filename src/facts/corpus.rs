//! Training texts by reliable and unreliable sources. The facts are real; the sources and their errors are invented.
//!
//! Web text is a mixture of authors who look things up and authors who guess; a neutral prompt leaves open who speaks.
//! A corpus with both gives a small model what tuning for factuality can change: whether it recalls or guesses.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::{
    language::Document,
    seed::{Seed, Stream},
};

use super::{Domain, Entity, normalise};

/// How sources err, and whom they write about.
#[derive(Clone, Debug)]
pub struct Noise {
    /// The probability that a document's source is reliable.
    pub reliable: f64,
    /// The probability that a reliable source states a false value.
    pub false_reliable: f64,
    /// The probability that an unreliable source states a false value.
    pub false_unreliable: f64,
    /// The probability that a paragraph begins with an opener of its source.
    pub opener: f64,
    /// The topic at rank r of n is written about with weight 1 / (head + r / n); the ranks are drawn at random.
    pub head: f64,
    /// Where false values come from.
    pub guesses: Guesses,
    /// How many facts are better or worse known than others.
    pub standings: Standings,
}

/// Shares of facts, drawn at random, of which sources speak otherwise than of the rest; they add up to at most 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standings {
    /// Every source errs only as often as a reliable one: a model can know these.
    pub settled: f64,
    /// Every source guesses wrong, each its own way: nobody can know these.
    pub unheard: f64,
    /// Most sources state one and the same false value.
    pub misconceived: f64,
}

/// How often a source states the popular false value of a misconceived fact.
const MISCONCEPTION: f64 = 0.9;

/// Where a false value comes from. It is never one that is right for the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guesses {
    /// Another topic's value, so that frequent values are guessed often.
    Entities,
    /// Any of the other topics' values, each with the same probability.
    Uniform,
}

/// The shape of the documents.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many facts a paragraph states at least, where the topic has so many.
    pub least_facts: usize,
    /// How many facts a paragraph states at most.
    pub most_facts: usize,
    /// The weight of a paragraph's tokens in the loss.
    pub paragraph_weight: f64,
    /// The weight of an answer's tokens in the loss.
    pub question_weight: f64,
}

/// All that documents are written from.
#[derive(Debug)]
pub struct Corpus<'a> {
    topics: Vec<Topic<'a>>,
    weights: Vec<f64>,
    noise: Noise,
    shape: Shape,
}

/// Documents, and how true they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The documents.
    pub documents: Vec<Document>,
    /// Facts stated in all.
    pub statements: usize,
    /// Facts stated with a right value.
    pub true_statements: usize,
}

/// Why no documents can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorpusError {
    /// A topic has no facts.
    #[error("no fact is known of `{topic}` ({domain}) among the attributes that are used")]
    NoFacts {
        /// The topic.
        topic: String,
        /// Its domain.
        domain: String,
    },
    /// There is nothing to guess.
    #[error(
        "nobody can guess wrong about `{attribute}` of `{topic}` ({domain}): every other topic's value is right for it; \
         use more rows, leave the attribute out, or set `false_reliable` and `false_unreliable` to 0"
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
struct Topic<'a> {
    domain: &'a Domain,
    entity: &'a Entity,
    facts: Vec<Fact<'a>>,
}

#[derive(Debug)]
struct Fact<'a> {
    attribute: &'a str,
    truth: &'a str,
    wrong: Wrong<'a>,
    standing: Standing,
}

/// How sources speak of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Each as reliably as it is.
    Open,
    Settled,
    Unheard,
    Misconceived,
}

/// The source of one document: how probably it errs, and what it may begin with.
struct Source<'a> {
    error: f64,
    /// How probably any source errs on what is settled.
    settled_error: f64,
    openers: &'a [String],
}

impl<'a> Corpus<'a> {
    /// Prepares the topics of these domains: their facts, what can be guessed of them, and how often they are written
    /// about. A domain is written about in proportion to its number of topics.
    ///
    /// # Errors
    /// Where a topic has no facts, or a fact no false value though sources err.
    pub fn new(domains: &'a [Domain], noise: Noise, shape: Shape, seed: &Seed) -> Result<Self, CorpusError> {
        let mut topics = Vec::new();
        let mut weights = Vec::new();
        for domain in domains {
            let count = domain.entities().len();
            let mut ranks: Vec<usize> = (0..count).collect();
            seed.split("rank").split(domain.name()).stream().shuffle(&mut ranks);
            let of_rank = |rank: &usize| 1.0 / (noise.head + *rank as f64 / count as f64);
            let total: f64 = ranks.iter().map(of_rank).sum();
            weights.extend(ranks.iter().map(|rank| of_rank(rank) / total * count as f64));
            let guessing = Guessing::new(domain, &noise);
            for entity in domain.entities() {
                topics.push(Topic { domain, entity, facts: facts(domain, entity, &guessing, &noise, seed)? });
            }
        }
        Ok(Self { topics, weights, noise, shape })
    }

    /// How many facts there are.
    pub fn facts(&self) -> usize {
        self.topics.iter().map(|topic| topic.facts.len()).sum()
    }

    /// Writes paragraphs, then questions with their answers. Each document has a stream of its own, so that more of them
    /// leave the first ones as they were.
    pub fn write(&self, paragraphs: usize, questions: usize, seed: &Seed) -> Written {
        let mut written = Written::default();
        for (group, count) in [("paragraph", paragraphs), ("question", questions)] {
            let seed = seed.split(group);
            for index in 0..count {
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

    fn paragraph(&self, topic: &Topic, stream: &mut Stream, written: &mut Written) -> Document {
        let phrases = topic.domain.phrases();
        let source = self.source(topic, stream);
        let mut text = String::new();
        if stream.unit() < self.noise.opener {
            text = format!(" {}", source.openers[stream.below(source.openers.len())]);
        }
        let mut facts: Vec<&Fact> = topic.facts.iter().collect();
        stream.shuffle(&mut facts);
        let least = self.shape.least_facts.min(facts.len());
        let most = self.shape.most_facts.clamp(least, facts.len());
        facts.truncate(least + stream.below(most - least + 1));
        for fact in facts {
            let value = source.state(fact, stream, written);
            text = format!("{text} {}", phrases.statement(topic.entity, fact.attribute, value));
        }
        let prompt = phrases.paragraph_prompt(topic.entity);
        Document { prompt, text, weight: self.shape.paragraph_weight, group: String::new() }
    }

    fn question(&self, topic: &Topic, stream: &mut Stream, written: &mut Written) -> Document {
        let phrases = topic.domain.phrases();
        let fact = &topic.facts[stream.below(topic.facts.len())];
        let value = self.source(topic, stream).state(fact, stream, written);
        let prompt = phrases.question(topic.entity, fact.attribute);
        let text = format!(" {}", phrases.statement(topic.entity, fact.attribute, value));
        Document { prompt, text, weight: self.shape.question_weight, group: String::new() }
    }

    fn source(&self, topic: &Topic<'a>, stream: &mut Stream) -> Source<'a> {
        let openers = &topic.domain.phrases().openers;
        let settled_error = self.noise.false_reliable;
        match stream.unit() < self.noise.reliable {
            true => Source { error: settled_error, settled_error, openers: &openers.reliable },
            false => Source { error: self.noise.false_unreliable, settled_error, openers: &openers.unreliable },
        }
    }
}

impl Standings {
    fn draw(&self, stream: &mut Stream) -> Standing {
        let number = stream.unit();
        match () {
            () if number < self.settled => Standing::Settled,
            () if number < self.settled + self.unheard => Standing::Unheard,
            () if number < self.settled + self.unheard + self.misconceived => Standing::Misconceived,
            () => Standing::Open,
        }
    }
}

impl Source<'_> {
    /// The value that this source gives for a fact.
    fn state<'a>(&self, fact: &Fact<'a>, stream: &mut Stream, written: &mut Written) -> &'a str {
        written.statements += 1;
        let error = match fact.standing {
            Standing::Open => self.error,
            Standing::Settled => self.settled_error,
            Standing::Unheard => 1.0,
            Standing::Misconceived => MISCONCEPTION,
        };
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
    /// What is guessed from: each topic's value in the order of the rows, or each different value once, sorted.
    values: Vec<&'a str>,
    /// Where each value stands there, in order.
    places: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Pool<'a> {
    fn new(domain: &'a Domain, attribute: &str, guesses: Guesses) -> Self {
        let own = domain.entities().iter().filter_map(|entity| entity.values.get(attribute));
        let mut values: Vec<&str> = own.map(|values| values[0].as_str()).collect();
        if guesses == Guesses::Uniform {
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

/// The values that are wrong for one topic: those of the pool but for some.
#[derive(Debug)]
struct Wrong<'a> {
    pool: Rc<Pool<'a>>,
    /// Values of the pool that are right for the topic.
    right: Vec<&'a str>,
    /// The only one, where all sources guess the same.
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

    /// The place in the pool of the wrong value of this number: the first one with more than `number` wrong values up to it.
    fn place(&self, number: usize) -> usize {
        let right_before = |place: usize| -> usize {
            self.right.iter().map(|value| self.pool.places[value].partition_point(|right| *right < place)).sum()
        };
        let (mut low, mut high) = (0, self.pool.values.len());
        while low < high {
            let middle = low.midpoint(high);
            match middle + 1 - right_before(middle + 1) > number {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }
}

/// What can be guessed in one domain, prepared once for all its topics.
struct Guessing<'a> {
    pools: BTreeMap<&'a str, Rc<Pool<'a>>>,
    /// Sentences about nobody in particular in their normal form, to the attributes and values that they state.
    alike: BTreeMap<String, Vec<(&'a str, &'a str)>>,
    nobody: Entity,
}

impl<'a> Guessing<'a> {
    fn new(domain: &'a Domain, noise: &Noise) -> Self {
        let nobody = Entity { name: "Nobody".to_owned(), values: BTreeMap::new() };
        let mut found = Self { pools: BTreeMap::new(), alike: BTreeMap::new(), nobody };
        for attribute in domain.phrases().attribute.keys() {
            let pool = Rc::new(Pool::new(domain, attribute, noise.guesses));
            for value in pool.places.keys() {
                found.alike.entry(found.sentence(domain, attribute, value)).or_default().push((attribute, value));
            }
            found.pools.insert(attribute, pool);
        }
        found
    }

    fn sentence(&self, domain: &Domain, attribute: &str, value: &str) -> String {
        normalise(&domain.phrases().named_statement(&self.nobody, attribute, value))
    }

    /// What is wrong for a topic: values whose sentence is none of the topic's true ones.
    fn wrong(&self, attribute: &str, true_sentences: &BTreeSet<String>) -> Wrong<'a> {
        let stated = true_sentences.iter().filter_map(|sentence| self.alike.get(sentence)).flatten();
        let right = stated.filter(|(of, _)| *of == attribute).map(|(_, value)| *value).collect();
        Wrong { pool: Rc::clone(&self.pools[attribute]), right, only: None }
    }
}

/// A topic's facts with what can be guessed wrong of them.
fn facts<'a>(
    domain: &'a Domain,
    entity: &'a Entity,
    guessing: &Guessing<'a>,
    noise: &Noise,
    seed: &Seed,
) -> Result<Vec<Fact<'a>>, CorpusError> {
    let (topic, name) = (entity.name.clone(), domain.name().to_owned());
    let worded = domain.phrases().attribute.keys();
    let true_values = worded
        .flat_map(|attribute| entity.values.get(attribute).into_iter().flatten().map(move |value| (attribute, value)));
    let true_sentences: BTreeSet<String> =
        true_values.map(|(attribute, value)| guessing.sentence(domain, attribute, value)).collect();
    let mut facts = Vec::new();
    for (attribute, right) in domain.facts(entity) {
        let mut wrong = guessing.wrong(attribute, &true_sentences);
        let mut stream = seed.split("standing").split(&format!("{name}/{topic}/{attribute}")).stream();
        let standing = noise.standings.draw(&mut stream);
        let is_wrong_at_times = noise.false_reliable + noise.false_unreliable > 0.0;
        if wrong.count() == 0 && (is_wrong_at_times || standing != Standing::Open) {
            return Err(CorpusError::NoFalseValue { attribute: attribute.to_owned(), topic, domain: name });
        }
        if standing == Standing::Misconceived {
            wrong.only = Some(wrong.draw(&mut stream));
        }
        facts.push(Fact { attribute, truth: &right[0], wrong, standing });
    }
    if facts.is_empty() {
        return Err(CorpusError::NoFacts { topic, domain: name });
    }
    Ok(facts)
}
