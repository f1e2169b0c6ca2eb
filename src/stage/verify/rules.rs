//! `matching`: rules on the sentences of the topic's article.

use crate::{
    context::StageError,
    rows::{FactLabel, PageMatch},
    stage::settled::settle_pages,
    stage_support::missing_pages::MissingPages,
    verification::{Matching, verify_on_page},
};

use super::task::{VerifyTask, WrittenVerdicts, no_fact};

/// Writes verdicts by a rule.
pub(super) fn verify(
    task: &VerifyTask<'_>,
    matching: Matching,
    written: &mut WrittenVerdicts,
) -> Result<(), StageError> {
    let knowledge = task.knowledge()?;
    // All claims of an ambiguous topic choose its article together, as for retrieved passages.
    settle_pages(task.context, &knowledge)?;
    let mut missing = MissingPages::default();
    for claim in task.each_claim()? {
        let claim = claim?;
        let page = knowledge.page(&claim).map_err(StageError::doing("read the knowledge"))?;
        let verdict = match claim.kind.is_fact() {
            true => verify_on_page(&claim, &page, &knowledge, matching)
                .map_err(StageError::doing("read the knowledge"))?,
            false => no_fact(&claim),
        };
        if page.how == PageMatch::Missing && verdict.verdict != FactLabel::Irrelevant {
            missing.add(&claim.topic);
        }
        written.add(&verdict)?;
    }
    missing.warn(task.context, written.count());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::{
        context::test_support::Trial,
        rows::{Claim, FactLabel, Verdict, json_lines},
        stage::verify::kind::{KIND, run},
    };

    const ARTICLES: &str = r#"{"title":"Mercury (planet)","text":"Mercury is the planet nearest to the Sun. Mercury has no moon."}
{"title":"Mercury (element)","text":"Mercury is a liquid metal with the symbol Hg."}
{"title":"Oslo","text":"Oslo has trams."}
"#;

    /// Labels and warnings of a rule for claims with these topics and texts.
    fn judged(
        folder: &Path,
        matching: &str,
        claims: &[(&str, &str)],
    ) -> (Vec<(FactLabel, usize)>, Vec<String>) {
        let (asked, known) = (folder.join("claims.jsonl"), folder.join("articles.jsonl"));
        let rows = claims.iter().enumerate().map(|(index, (topic, text))| Claim {
            id: index.to_string().as_str().into(),
            topic: (*topic).to_owned(),
            text: (*text).to_owned(),
            ..Claim::default()
        });
        json_lines::write(&asked, rows).unwrap();
        std::fs::write(&known, ARTICLES).unwrap();
        let inputs = [("claims", asked.as_path()), ("knowledge", known.as_path())];
        let trial = Trial::new(&inputs, json!({"matching": matching}));
        let warnings = trial.warnings(&KIND, folder, run).unwrap();
        let verdicts: Vec<Verdict> = json_lines::read_rows(&folder.join("verdicts.jsonl")).unwrap();
        let found = verdicts.iter().map(|verdict| (verdict.verdict, verdict.evidence.len()));
        (found.collect(), warnings)
    }

    #[test]
    fn claims_of_an_ambiguous_topic_are_read_in_the_article_that_they_choose() {
        let folder = tempfile::tempdir().unwrap();
        let claims = [
            ("Mercury", "Mercury is the planet nearest to the Sun."),
            ("Mercury", "Mercury has no moon."),
            ("Mercury", "Mercury is a liquid metal with the symbol Hg."),
        ];
        for matching in ["contained", "exact"] {
            let (verdicts, warnings) = judged(folder.path(), matching, &claims[..2]);
            assert_eq!(verdicts, [(FactLabel::Supported, 1); 2], "{matching}");
            assert_eq!(warnings, [""; 0], "{matching}");
            let (metal, _) = judged(folder.path(), matching, &claims[2..]);
            assert_eq!(metal, [(FactLabel::Supported, 1)], "{matching}");
            // The claims choose one article together: a claim does not leave it for its own words.
            let (both, _) = judged(folder.path(), matching, &claims);
            let labels: Vec<FactLabel> = both.iter().map(|(label, _)| *label).collect();
            assert_eq!(labels[..2], [FactLabel::Supported; 2], "{matching}");
            assert_eq!(labels[2], FactLabel::Unsupported, "{matching}");
        }
    }

    #[test]
    fn claims_without_article_are_counted_and_others_name_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let claims = [("", "Oslo has trams."), ("", "Bergen has rain."), ("Rome", "It has hills.")];
        let (verdicts, warnings) = judged(folder.path(), "contained", &claims);
        assert_eq!(
            verdicts,
            [(FactLabel::Supported, 1), (FactLabel::Unsupported, 0), (FactLabel::Unsupported, 0)]
        );
        assert_eq!(
            warnings,
            ["1 of 3 claims are about a topic without an article in the knowledge: `Rome`; \
            1 of 3 claims have no topic, and their words name no article"]
        );
    }
}
