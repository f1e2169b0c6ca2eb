//! The verifier: it sees the claim's text and the knowledge, and nothing else.

use crate::{
    facts::words,
    knowledge::{Knowledge, KnowledgeError, Passage},
    language::{Claim, Evidence, Judgement, Verdict},
};

use super::is_checkable;

/// When a claim counts as supported by a sentence of the document that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Both are equal in their normal form.
    Exact,
    /// All words of the claim that carry meaning occur in the sentence, and the claim does not break off.
    Contained,
}

/// Words that carry no fact by themselves.
const FUNCTION_WORDS: &[&str] = &[
    "is", "was", "are", "were", "be", "been", "has", "have", "had", "of", "in", "on", "at", "by", "for", "to", "from",
    "with", "and", "or", "as", "that", "which", "who", "it", "its", "he", "his", "she", "her", "they", "their", "this",
];

/// At most so many sentences are shown as evidence.
const MOST_EVIDENCE: usize = 3;

/// Judges one claim: it is supported where a sentence of a document whose title it names says the same, irrelevant where
/// there is nothing to check, and unsupported otherwise. The evidence are the sentences with the most words in common.
///
/// The probability is 1 or 0; with [`Matching::Contained`] it is the share of the claim's words that the best sentence has.
///
/// # Errors
/// Where the knowledge cannot be read.
pub fn verify(claim: &Claim, knowledge: &Knowledge, matching: Matching) -> Result<Verdict, KnowledgeError> {
    let verdict =
        |verdict, probability, evidence| Verdict { claim_id: claim.id.clone(), verdict, probability, evidence };
    if !is_checkable(&claim.text) {
        return Ok(verdict(Judgement::Irrelevant, 0.0, Vec::new()));
    }
    let claimed = words(&claim.text);
    let Some(named) = knowledge.find_title(&claimed) else {
        return Ok(verdict(Judgement::Unsupported, 0.0, Vec::new()));
    };
    let mut about = claimed.clone();
    about.drain(named.start..named.start + named.length);
    let mut passages: Vec<(f64, &String, Passage)> = Vec::new();
    for title in named.names {
        for passage in knowledge.passages(title)?.iter() {
            let support = support(&claimed, &about, passage, matching);
            let overlap = about.iter().filter(|word| passage.words.contains(word)).count() as f64;
            if support > 0.0 || overlap > 0.0 {
                let length_apart = (passage.words.len() as f64 - claimed.len() as f64).abs();
                let rank = 1e6 * support + 1e3 * overlap - length_apart;
                passages.push((rank, title, passage.clone()));
            }
        }
    }
    passages.sort_by(|one, two| two.0.total_cmp(&one.0));
    let best = passages.first().map_or(0.0, |best| best.0);
    passages.retain(|passage| passage.0 == best);
    passages.truncate(MOST_EVIDENCE);
    let probability = passages.first().map_or(0.0, |best| support(&claimed, &about, &best.2, matching));
    let complete = matching == Matching::Exact || !breaks_off(&claimed);
    let judgement = if probability == 1.0 && complete { Judgement::Supported } else { Judgement::Unsupported };
    let evidence =
        passages.into_iter().map(|(_, title, passage)| Evidence { title: title.clone(), text: passage.text }).collect();
    Ok(verdict(judgement, probability, evidence))
}

/// How far a sentence says what is claimed, from 0 to 1. `about` are the claim's words without the title.
fn support(claimed: &[String], about: &[String], passage: &Passage, matching: Matching) -> f64 {
    match matching {
        Matching::Exact => f64::from(u8::from(passage.words == claimed)),
        Matching::Contained => {
            let mut content = about.iter().filter(|word| !FUNCTION_WORDS.contains(&word.as_str())).peekable();
            if content.peek().is_none() {
                return 0.0;
            }
            let (found, total) = content.fold((0.0, 0.0), |(found, total), word| {
                (found + f64::from(u8::from(passage.words.contains(word))), total + 1.0)
            });
            found / total
        }
    }
}

/// Whether a claim ends in a word that something must follow.
fn breaks_off(claimed: &[String]) -> bool {
    claimed.last().is_none_or(|word| FUNCTION_WORDS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::{Article, write};

    fn judged(claim: &str, matching: Matching) -> (Judgement, f64, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let article = |title: &str, text: &str| Article { title: title.to_owned(), text: text.to_owned() };
        let articles = [
            article(
                "Marie Curie",
                "Marie Curie was born in Warsaw. Marie Curie was born in 1867. Marie Curie's field was physics. Marie Curie's field was chemistry.",
            ),
            article("Warsaw", "Warsaw is in Poland."),
            article("hydrogen", "Hydrogen is a gas."),
        ];
        write(&path, articles).unwrap();
        let claim = Claim { id: "c".to_owned(), response_id: "r".to_owned(), text: claim.to_owned(), span: [0, 0] };
        let verdict = verify(&claim, &Knowledge::open(&path).unwrap(), matching).unwrap();
        (verdict.verdict, verdict.probability, verdict.evidence.into_iter().map(|evidence| evidence.text).collect())
    }

    #[test]
    fn exact() {
        let supported = [
            "Marie Curie was born in Warsaw.",
            "marie curie was born in Warsaw",
            "Hydrogen is gas",
            "Marie Curie's field was chemistry.",
        ];
        for claim in supported {
            assert_eq!(judged(claim, Matching::Exact).0, Judgement::Supported, "{claim}");
        }
        let unsupported = [
            "Marie Curie was born in Paris.",
            "Marie Curie was born",
            "Marie Curie was born in Warsaw in 1867.",
            "Warsaw is Marie Curie's field.",
            "Ann Lee was born in Warsaw.",
            "xx",
            "Helium is a gas.",
        ];
        for claim in unsupported {
            assert_eq!(judged(claim, Matching::Exact).0, Judgement::Unsupported, "{claim}");
        }
        assert_eq!(judged("Where was Marie Curie born?", Matching::Exact).0, Judgement::Irrelevant);
    }

    #[test]
    fn evidence_is_the_nearest_sentence() {
        assert_eq!(judged("Marie Curie was born in Warsaw.", Matching::Exact).2, ["Marie Curie was born in Warsaw."]);
        assert_eq!(
            judged("Marie Curie's field was law.", Matching::Exact).2,
            ["Marie Curie's field was physics.", "Marie Curie's field was chemistry."]
        );
        assert!(judged("Marie Curie sang loudly.", Matching::Exact).2.is_empty());
    }

    #[test]
    fn contained() {
        assert_eq!(judged("Marie Curie, born in 1867.", Matching::Contained).0, Judgement::Supported);
        assert_eq!(
            judged("Marie Curie was born in 1867 in Warsaw.", Matching::Contained),
            (
                Judgement::Unsupported,
                2.0 / 3.0,
                vec!["Marie Curie was born in Warsaw.".to_owned(), "Marie Curie was born in 1867.".to_owned()]
            )
        );
        assert_eq!(judged("Marie Curie was born in", Matching::Contained).0, Judgement::Unsupported);
        assert_eq!(judged("Marie Curie was", Matching::Contained).0, Judgement::Unsupported);
    }
}
