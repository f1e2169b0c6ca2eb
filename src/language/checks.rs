//! What must hold in rows of files beyond their form: ids that occur once, spans that do not end before they begin,
//! probabilities and weights in their range.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};

use super::{Claim, ProbedFact, Prompt, Response, StatedFact, Verdict};

/// The largest weight of a row.
const LARGEST_WEIGHT: f64 = 1e6;

/// A row with an id, which no other row of its file has, and with conditions of its own.
pub trait Row: DeserializeOwned {
    /// What it is called in messages.
    const WHAT: &'static str;

    /// Its id.
    fn id(&self) -> &str;

    /// Whether its fields go together.
    ///
    /// # Errors
    /// Says which do not, and why.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Row for Prompt {
    const WHAT: &'static str = "prompt";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Row for Response {
    const WHAT: &'static str = "response";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Row for Claim {
    const WHAT: &'static str = "claim";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Row for Verdict {
    const WHAT: &'static str = "verdict on";

    fn id(&self) -> &str {
        &self.claim_id
    }
}

impl Row for ProbedFact {
    const WHAT: &'static str = "fact";

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), String> {
        let counted = self.right + self.contradicting + self.other;
        if self.n == 0 || counted != self.n {
            return Err(format!("the fact was asked {} times, but {counted} answers are counted", self.n));
        }
        for (name, share) in [("max_conf", self.max_conf), ("exp_conf", self.exp_conf)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("`{name}` is {share}, but must be from 0 to 1"));
            }
        }
        if self.neg_ent > 0.0 {
            return Err(format!("`neg_ent` is {}, but minus an entropy is at most 0", self.neg_ent));
        }
        let wrong = self.answers.iter().find_map(|answer| {
            Some(format!("the answer `{}`: {}", answer.id, span_problem(answer.span, &answer.output)?))
        });
        wrong.map_or(Ok(()), Err)
    }
}

impl StatedFact {
    /// What is wrong with the place where an answer is said to state it.
    pub fn span_problem(&self, answer: &str) -> Option<String> {
        span_problem(self.span, answer)
    }
}

/// What is wrong with a span of a text's characters.
pub fn span_problem([from, to]: [usize; 2], text: &str) -> Option<String> {
    let characters = text.chars().count();
    if from > to {
        return Some(format!("the span [{from}, {to}] ends before it begins"));
    }
    let bytes = if to <= text.len() { "; it seems to count bytes, but characters are expected" } else { "" };
    (to > characters)
        .then(|| format!("the span [{from}, {to}] goes beyond the {characters} characters of the text{bytes}"))
}

/// Reads a span.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    let [from, to] = <[usize; 2]>::deserialize(deserializer)?;
    match from <= to {
        true => Ok([from, to]),
        false => Err(D::Error::custom(format!("the span [{from}, {to}] ends before it begins"))),
    }
}

/// Reads a probability.
pub(super) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!("the probability is {value}, but must be from 0 to 1"))),
    }
}

/// Reads what a row counts in a loss.
pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match (0.0..=LARGEST_WEIGHT).contains(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!("the weight is {value}, but must be from 0 to {LARGEST_WEIGHT}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_characters() {
        assert_eq!(span_problem([0, 6], "Göödel"), None);
        assert_eq!(
            span_problem([0, 8], "Göödel").unwrap(),
            "the span [0, 8] goes beyond the 6 characters of the text; it seems to count bytes, but characters are expected"
        );
        assert_eq!(span_problem([2, 7], "abcdef").unwrap(), "the span [2, 7] goes beyond the 6 characters of the text");
        assert_eq!(span_problem([4, 3], "abcdef").unwrap(), "the span [4, 3] ends before it begins");
    }

    #[test]
    fn a_probed_fact_whose_counts_or_numbers_cannot_be_is_refused() {
        let fact = ProbedFact::answered("people", "Ann", 0, 3, 1);
        fact.check().unwrap();
        let problem = |fact: ProbedFact| fact.check().unwrap_err();
        assert_eq!(
            problem(ProbedFact { other: 2, ..fact.clone() }),
            "the fact was asked 3 times, but 5 answers are counted"
        );
        assert_eq!(problem(ProbedFact { max_conf: 1.5, ..fact.clone() }), "`max_conf` is 1.5, but must be from 0 to 1");
        assert!(problem(ProbedFact { neg_ent: 0.5, ..fact }).contains("at most 0"));
    }
}
