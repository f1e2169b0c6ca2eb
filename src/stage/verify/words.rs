//! `by = "words"`: the words, names, numbers and dates of retrieved passages.

use crate::{
    context::StageError,
    knowledge::RetrievalSettings,
    rows::{FactLabel, PageMatch},
    stage_support::missing_pages::MissingPages,
    verification::WordsVerifier,
};

use super::{
    decision::Decision,
    source::PassageSource,
    task::{VerifyTask, WrittenVerdicts},
};

/// Writes verdicts by words.
pub(super) fn verify(
    task: &VerifyTask<'_>,
    written: &mut WrittenVerdicts,
) -> Result<(), StageError> {
    let decision = Decision::new(task.context, task.rule, WordsVerifier::NAME)?;
    let mut source = PassageSource::open(task, RetrievalSettings::default())?;
    let verifier = WordsVerifier::default();
    let mut missing = MissingPages::default();
    let mut letters = LetterCounts::default();
    for claim in task.each_claim()? {
        let claim = claim?;
        let retrieved = source.passages(&claim)?;
        let verdict = verifier.verdict(&claim, &retrieved);
        if retrieved.page.how == PageMatch::Missing && verdict.verdict != FactLabel::Irrelevant {
            missing.add(&claim.topic);
        }
        letters.add(&claim.text);
        written.add(&decision.made(verdict))?;
    }
    source.finish()?;
    missing.warn(task.context, written.count());
    if letters.are_mostly_foreign() {
        task.context.warn(format!(
            "most letters of the claims are not Latin: {} was fitted on English claims, and was \
            measured on no other language",
            WordsVerifier::NAME
        ));
    }
    task.context.note(format!(
        "{} compares words, names and numbers; it is weak on paraphrases",
        WordsVerifier::NAME
    ));
    Ok(())
}

/// Letters of claims, and the Latin ones among them. A name in its own script does not make an
/// English claim foreign.
#[derive(Default)]
struct LetterCounts {
    all: usize,
    latin: usize,
}

impl LetterCounts {
    fn add(&mut self, text: &str) {
        for letter in text.chars() {
            self.all += usize::from(letter.is_alphabetic());
            self.latin += usize::from(is_latin(letter));
        }
    }

    fn are_mostly_foreign(&self) -> bool {
        2 * self.latin < self.all
    }
}

/// Whether a letter is Latin, also with accents or in full width.
fn is_latin(letter: char) -> bool {
    letter.is_alphabetic()
        && matches!(letter, '\0'..='\u{2af}' | '\u{1e00}'..='\u{1eff}' | '\u{2c60}'..='\u{2c7f}'
            | '\u{a722}'..='\u{a7ff}' | '\u{fb00}'..='\u{fb06}' | '\u{ff21}'..='\u{ff5a}')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{
        context::test_support::Trial,
        rows::{Claim, FactLabel, Verdict, json_lines},
        stage::verify::kind::{KIND, run},
    };
    use serde_json::{Value, json};

    const CLAIMS: &str = r#"{"id":"0","response_id":"a","topic":"Ada Quill","text":"Ada Quill was born in Oslo in 1903.","span":[0,1]}
{"id":"1","response_id":"a","topic":"Ada Quill","text":"Ada Quill was born in Rome in 1931.","span":[0,1]}
{"id":"2","response_id":"a","topic":"Ada Quill","text":"I cannot help with that.","span":[0,1],"kind":"refusal"}
"#;
    const PASSAGES: &str = r#"{"claim_id":"0","page":{"asked":"Ada Quill","found":"Ada Quill","how":"exact"},"passages":[{"title":"Ada Quill","text":"Ada Quill (born 1903 in Oslo) was a Norwegian poet. She taught in Bergen.","sentences":[[0,51],[52,73]]}]}
{"claim_id":"1","page":{"asked":"Ada Quill","found":"Ada Quill","how":"exact"},"passages":[{"title":"Ada Quill","text":"Ada Quill (born 1903 in Oslo) was a Norwegian poet. She taught in Bergen.","sentences":[[0,51],[52,73]]}]}
{"claim_id":"2","page":{"asked":"Ada Quill","how":"missing"},"passages":[]}
"#;

    fn judged(
        folder: &Path,
        more: &[(&str, &Path)],
        parameters: Value,
    ) -> Result<Vec<Verdict>, String> {
        let (claims, passages) = (folder.join("claims.jsonl"), folder.join("passages.jsonl"));
        std::fs::write(&claims, CLAIMS).unwrap();
        std::fs::write(&passages, PASSAGES).unwrap();
        let inputs = [&[("claims", claims.as_path()), ("passages", passages.as_path())], more];
        let trial = Trial::new(&inputs.concat(), parameters);
        trial.run(&KIND, folder, run).map_err(|error| error.to_string())?;
        Ok(json_lines::read_rows(&folder.join("verdicts.jsonl")).unwrap())
    }

    fn labels(verdicts: &[Verdict]) -> Vec<FactLabel> {
        verdicts.iter().map(|verdict| verdict.verdict).collect()
    }

    #[test]
    fn rows_say_how_sure_the_verifier_is_by_what_and_from_which_page() {
        let folder = tempfile::tempdir().unwrap();
        let found = judged(folder.path(), &[], json!({})).unwrap();
        assert_eq!(
            labels(&found),
            [FactLabel::Supported, FactLabel::Unsupported, FactLabel::Irrelevant]
        );
        let first = &found[0];
        let log_odds = first.log_odds.unwrap();
        assert!((first.probability - 1.0 / (1.0 + (-log_odds).exp())).abs() < 1e-12);
        assert_eq!(first.verifier, "words/1");
        assert_eq!(first.page.as_ref().unwrap().found.as_deref(), Some("Ada Quill"));
        assert_eq!(first.evidence[0].text, "Ada Quill (born 1903 in Oslo) was a Norwegian poet.");
        assert!(found[1].probability < first.probability - 0.3);
        assert_eq!((found[2].log_odds, found[2].evidence.len()), (None, 0));
    }

    #[test]
    fn passages_are_retrieved_from_knowledge_as_they_would_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let given = judged(folder.path(), &[], json!({})).unwrap();
        let articles = folder.path().join("articles.jsonl");
        let text = "Ada Quill (born 1903 in Oslo) was a Norwegian poet. She taught in Bergen.";
        let row = json!({"title": "Ada Quill", "text": text});
        std::fs::write(&articles, format!("{row}\n")).unwrap();
        let claims = folder.path().join("claims.jsonl");
        let inputs = [("claims", claims.as_path()), ("knowledge", articles.as_path())];
        let notes = Trial::new(&inputs, json!({})).run(&KIND, folder.path(), run).unwrap();
        assert!(notes.concat().contains("weak on paraphrases"), "{notes:?}");
        let found: Vec<Verdict> =
            json_lines::read_rows(&folder.path().join("verdicts.jsonl")).unwrap();
        assert_eq!(found, given);
    }

    #[test]
    fn thresholds_margins_and_calibrations_decide() {
        let folder = tempfile::tempdir().unwrap();
        let strict = judged(folder.path(), &[], json!({"threshold": 1.0})).unwrap();
        assert_eq!(labels(&strict)[..2], [FactLabel::Unsupported; 2]);
        let open = judged(folder.path(), &[], json!({"abstain_margin": 1.0})).unwrap();
        assert_eq!(
            labels(&open),
            [FactLabel::Undecided, FactLabel::Undecided, FactLabel::Irrelevant]
        );
        let quality = json!({"auroc": 0.5, "balanced_accuracy": 0.5, "calibration_error": 0.1,
            "brier": 0.2, "reliability": []});
        let calibration = |verifier: &str| {
            json!({"verifier": verifier, "curve": {"method": "platt", "slope": 0.0,
                "intercept": 0.0}, "threshold": 0.4, "claims": 9, "supported": 4, "topics": 3,
                "folds": 3, "before": quality, "after": quality})
        };
        let path = folder.path().join("calibration.json");
        std::fs::write(&path, calibration("words/1").to_string()).unwrap();
        let found = judged(folder.path(), &[("calibration", &path)], json!({})).unwrap();
        assert_eq!(found.iter().map(|one| one.probability).collect::<Vec<_>>(), [0.5, 0.5, 0.0]);
        assert_eq!(labels(&found)[..2], [FactLabel::Supported; 2]);
        std::fs::write(&path, calibration("words/0").to_string()).unwrap();
        let error = judged(folder.path(), &[("calibration", &path)], json!({})).unwrap_err();
        assert!(error.contains("is of the verifier `words/0`, but `words/1` verifies"), "{error}");
    }

    fn warnings(folder: &Path, claims: &[(&str, &str)]) -> String {
        let (asked, known) = (folder.join("asked.jsonl"), folder.join("articles.jsonl"));
        let rows = claims.iter().enumerate().map(|(index, (topic, text))| Claim {
            id: index.to_string().as_str().into(),
            topic: (*topic).to_owned(),
            text: (*text).to_owned(),
            ..Claim::default()
        });
        json_lines::write(&asked, rows).unwrap();
        let articles = "{\"title\":\"\u{41e}\u{441}\u{43b}\u{43e}\",\"text\":\"\u{41e}\u{441}\
            \u{43b}\u{43e}.\"}\n{\"title\":\"Oslo\",\"text\":\"Oslo has trams.\"}\n";
        std::fs::write(&known, articles).unwrap();
        let inputs = [("claims", asked.as_path()), ("knowledge", known.as_path())];
        Trial::new(&inputs, json!({})).warnings(&KIND, folder, run).unwrap().join(" | ")
    }

    #[test]
    fn claims_in_another_script_than_the_fitted_one_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let name = "\u{41e}\u{441}\u{43b}\u{43e}";
        let russian = format!("{name} - \u{433}\u{43e}\u{440}\u{43e}\u{434}.");
        let told = warnings(folder.path(), &[(name, &russian)]);
        assert!(told.starts_with("most letters of the claims are not Latin: words/1"), "{told}");
        let english = [("Oslo", "Oslo (\u{41e}\u{441}\u{43b}\u{43e}) has tr\u{e4}ms.")];
        assert_eq!(warnings(folder.path(), &english), "");
        assert_eq!(warnings(folder.path(), &[("Oslo", "1905 - 1906")]), "");
    }

    #[test]
    fn claims_that_name_no_topic_and_no_article_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let claims = [("", "Oslo has trams."), ("", "Bergen has rain.")];
        assert_eq!(
            warnings(folder.path(), &claims),
            "1 of 2 claims have no topic, and their words name no article"
        );
    }

    #[test]
    fn claims_without_passages_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.jsonl");
        std::fs::write(&other, CLAIMS.replace("\"id\":\"1\"", "\"id\":\"7\"")).unwrap();
        let passages = folder.path().join("passages.jsonl");
        std::fs::write(&passages, PASSAGES).unwrap();
        let inputs = [("claims", other.as_path()), ("passages", passages.as_path())];
        let error = Trial::new(&inputs, json!({})).run(&KIND, folder.path(), run).unwrap_err();
        assert!(error.to_string().contains("the claim `7` has no passages"), "{error}");
    }
}
