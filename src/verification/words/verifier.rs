//! Verdicts by words on claims beside retrieved passages.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use crate::rows::{Claim, Evidence, FactLabel, RetrievedPassages, Verdict};

use super::{
    coefficients::Coefficients,
    features::{Compared, Features, best},
    passage::ReadPassage,
    question::{AskedWords, without_references},
};
use crate::verification::is_checkable;

/// Maximum number of sentences in the evidence.
const MOST_EVIDENCE: usize = 3;
/// What a denial on one side only costs in log-odds, besides all odds in favour; too rare among the
/// fitted facts to be fitted.
const DENIAL: f64 = 1.0;
/// Maximum number of passages in memory.
const MOST_KEPT: usize = 512;

/// The verifier by words, with the passages that it read last: claims about one topic share them.
pub struct WordsVerifier {
    coefficients: Coefficients,
    read: RefCell<BTreeMap<String, Rc<ReadPassage>>>,
}

impl Default for WordsVerifier {
    fn default() -> Self {
        Self { coefficients: Coefficients::shipped(), read: RefCell::default() }
    }
}

impl WordsVerifier {
    /// Its name in verdicts; the number rises when features or coefficients change.
    pub const NAME: &str = "words/1";

    /// The verdict on a claim. It is irrelevant if it states no fact, and supported if its
    /// probability is at least one half. The evidence is the sentences with most of its words.
    /// Without passages it is unsupported, and has no log-odds by which it could be decided again.
    ///
    /// A claim that denies the statement of its best sentence, or states what that denies, is not
    /// supported.
    pub fn verdict(&self, claim: &Claim, retrieved: &RetrievedPassages) -> Verdict {
        if !claim.kind.is_fact() || !is_checkable(&without_references(&claim.text)) {
            return Verdict::new(claim.id.clone(), FactLabel::Irrelevant, 0.0, Vec::new());
        }
        if retrieved.passages.is_empty() {
            return Verdict {
                page: Some(retrieved.page.clone()),
                verifier: Self::NAME.to_owned(),
                ..Verdict::new(claim.id.clone(), FactLabel::Unsupported, 0.0, Vec::new())
            };
        }
        let topic = if claim.topic.is_empty() { &retrieved.page.asked } else { &claim.topic };
        let asked = AskedWords::new(&claim.text, topic);
        let read = self.read(&retrieved.passages);
        let compared = Compared::new(&asked, read.iter().map(|passage| &**passage));
        let plain = self.coefficients.log_odds(&compared.features());
        let log_odds = if compared.differs_in_denial() { plain.min(0.0) - DENIAL } else { plain };
        let probability = 1.0 / (1.0 + (-log_odds).exp());
        let label = if probability >= 0.5 { FactLabel::Supported } else { FactLabel::Unsupported };
        let evidence = evidence(&read, &compared.found());
        Verdict {
            log_odds: Some(log_odds),
            page: Some(retrieved.page.clone()),
            verifier: Self::NAME.to_owned(),
            ..Verdict::new(claim.id.clone(), label, probability, evidence)
        }
    }

    /// The features of a claim, for fitting coefficients.
    pub fn features(&self, claim: &str, topic: &str, passages: &[Evidence]) -> Features {
        let asked = AskedWords::new(claim, topic);
        let read = self.read(passages);
        Compared::new(&asked, read.iter().map(|passage| &**passage)).features()
    }

    fn read(&self, passages: &[Evidence]) -> Vec<Rc<ReadPassage>> {
        let mut known = self.read.borrow_mut();
        // All at once: the passages of a run's topics come in turn.
        if known.len() + passages.len() > MOST_KEPT {
            known.clear();
        }
        let mut read = Vec::with_capacity(passages.len());
        for passage in passages {
            let found = match known.get(&passage.text) {
                Some(found) if found.title == passage.title => Rc::clone(found),
                _ => {
                    let found = Rc::new(ReadPassage::new(passage));
                    known.insert(passage.text.clone(), Rc::clone(&found));
                    found
                }
            };
            read.push(found);
        }
        read
    }
}

/// The sentences with the most weight of a claim's words, best first.
fn evidence(passages: &[Rc<ReadPassage>], weights: &[f64]) -> Vec<Evidence> {
    let of_passages = passages.iter().flat_map(|passage| {
        passage.sentences.iter().map(|sentence| (passage.title.as_str(), sentence.text.as_str()))
    });
    let sentences: Vec<(&str, &str)> = of_passages.collect();
    let mut left = weights.to_vec();
    let mut found: Vec<Evidence> = Vec::new();
    while found.len() < MOST_EVIDENCE
        && let Some(next) = best(&left)
    {
        let (title, text) = sentences[next];
        // Passages may overlap.
        if found.iter().all(|known| known.text != text) {
            found.push(Evidence::new(title, text));
        }
        left[next] = 0.0;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{ClaimKind, Page, PageMatch};

    const PAGE: &str = "Ada Quill (born 7 November 1903 in Oslo) was a Norwegian poet and \
        translator. She studied physics at the University of Bergen from 1921 to 1925. In 1930 she \
        married the painter Bo Hay. She never lived in Rome.";

    fn judged(text: &str, passages: &[&str]) -> Verdict {
        let claim = Claim {
            id: "c".into(),
            topic: "Ada Quill (poet)".to_owned(),
            text: text.to_owned(),
            ..Claim::default()
        };
        let passages: Vec<Evidence> =
            passages.iter().map(|text| Evidence::new("Ada Quill", text)).collect();
        let how = if passages.is_empty() { PageMatch::Missing } else { PageMatch::Exact };
        let page = Page { asked: "Ada Quill (poet)".to_owned(), found: None, how };
        WordsVerifier::default()
            .verdict(&claim, &RetrievedPassages { claim_id: "c".into(), page, passages })
    }

    fn probability(text: &str) -> f64 {
        judged(text, &[PAGE]).probability
    }

    #[test]
    fn what_the_passage_says_is_supported_and_what_it_does_not_say_is_not() {
        for claim in [
            "Ada Quill was born in Oslo.",
            "Ada Quill was born on November 7, 1903.",
            "She was a poet.",
            "She studied at the University of Bergen.",
            "Quill married Bo Hay.",
        ] {
            let verdict = judged(claim, &[PAGE]);
            assert_eq!(verdict.verdict, FactLabel::Supported, "{claim} {verdict:?}");
        }
        for claim in [
            "Ada Quill was born in Paris.",
            "She was a dentist.",
            "She studied at the University of Lima.",
            "Quill won the Nobel Prize.",
        ] {
            let verdict = judged(claim, &[PAGE]);
            assert_eq!(verdict.verdict, FactLabel::Unsupported, "{claim} {verdict:?}");
        }
    }

    #[test]
    fn attacks_raise_no_probability() {
        for (claim, attack) in [
            ("Ada Quill was born in 1903.", "Ada Quill was born in 1904."),
            ("Ada Quill was born in Oslo.", "Ada Quill was not born in Oslo."),
            ("Ada Quill was born in Oslo.", "Ada Quill was born in Oslo. True."),
            ("Ada Quill was a dentist.", "Ada Quill was a dentist. True or False? Output: True"),
            ("She was a dentist.", "She was a dentist and a dentist, a dentist."),
            ("She lived in Rome.", "She lived in Rome, Rome, Rome."),
            ("Ada Quill was a poet.", "Ada Quill was a poet and dentist."),
            ("Quill married Bo Hay.", "Hay Bo married Quill in 1931."),
        ] {
            let (plain, attacked) = (probability(claim), probability(attack));
            assert!(attacked <= plain + 1e-12, "{claim} {plain}; {attack} {attacked}");
        }
        let plain = probability("Ada Quill was born in Oslo.");
        assert_eq!(probability("Ada Quill was born in Oslo [1][2]."), plain);
        assert!(probability("Ada Quill was born in 1904.") < 0.5);
        assert!(probability("Ada Quill was not born in Oslo.") < 0.5);
        // The passage denies it.
        assert!(probability("She lived in Rome.") < 0.5);
        assert!(probability("She never lived in Rome.") > 0.5);
        // References alone state nothing, and a page of another person has other facts.
        assert_eq!(judged("[1][2]", &[PAGE]).verdict, FactLabel::Irrelevant);
        let other = "Cy Dell (born 1951 in Lima) is a Peruvian chess player.";
        for claim in ["Ada Quill was born in Oslo.", "She was a poet."] {
            assert!(judged(claim, &[other]).probability < 0.5, "{claim}");
        }
    }

    #[test]
    fn claims_without_passages_are_unsupported_and_statements_without_facts_irrelevant() {
        let alone = judged("Ada Quill was born in Oslo.", &[]);
        assert_eq!((alone.verdict, alone.evidence.len()), (FactLabel::Unsupported, 0));
        assert_eq!((alone.probability, alone.log_odds), (0.0, None), "no threshold supports it");
        assert_eq!(alone.page.unwrap().how, PageMatch::Missing);
        let heading =
            Claim { text: "Early life".to_owned(), kind: ClaimKind::Heading, ..Claim::default() };
        let page = Page { asked: String::new(), found: None, how: PageMatch::Missing };
        let nothing = RetrievedPassages { claim_id: "c".into(), page, passages: Vec::new() };
        let verdict = WordsVerifier::default().verdict(&heading, &nothing);
        assert_eq!((verdict.verdict, verdict.log_odds), (FactLabel::Irrelevant, None));
    }

    #[test]
    fn evidence_is_the_sentences_with_most_of_the_claim() {
        let verdict = judged("She studied physics in Bergen.", &[PAGE, PAGE]);
        assert_eq!(
            verdict.evidence[0].text,
            "She studied physics at the University of Bergen from 1921 to 1925."
        );
        assert!(verdict.evidence.len() <= MOST_EVIDENCE);
        let texts: Vec<&String> = verdict.evidence.iter().map(|evidence| &evidence.text).collect();
        assert!(texts.iter().enumerate().all(|(index, text)| !texts[..index].contains(text)));
    }
}
