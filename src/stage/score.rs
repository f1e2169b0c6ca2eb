//! The kind `score`: judged answers into measures, by answer and by domain.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Context, StageError,
    artifact::{CLAIMS, RESPONSES, SCORES, VERDICTS},
};
use crate::{
    evaluation::{DomainScores, Scores, Settings, answer_scores, scores},
    language::{Claim, Response, Verdict},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "score",
    // 1: the first. 2: precision with each fact counted once, and different unsupported facts. 3: intervals by
    // Student's t over topics; none from one topic.
    version: 3,
    about: "Measures how factual answers are, by answer and by domain, with 95 % intervals over topics (they say nothing of other seeds).",
    inputs: &[
        Input::one("responses", &RESPONSES, "The answers."),
        Input::one("claims", &CLAIMS, "What they claim."),
        Input::one("verdicts", &VERDICTS, "Whether it holds."),
    ],
    parameters: &[
        Parameter::new(
            "gamma",
            Shape::Number { least: 0.0, most: 1e6, open: false },
            Default::Number(10.0),
            "FActScore penalises answers of at most so many facts; 0 means none.",
        ),
        Parameter::new(
            "k",
            Shape::Integer { least: 1, most: 1_000_000 },
            Default::Integer(64),
            "How many supported facts F1@K wants; the same for all that is compared.",
        ),
        Parameter::new(
            "in_domain",
            Shape::Text,
            Default::Absent,
            "The domain that was tuned on; the mean over all others is out-of-domain.",
        ),
    ],
    provides: &[&SCORES],
    draws: false,
    gathers: false,
    on_device: false,
    fits: None,
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    gamma: f64,
    k: usize,
    in_domain: Option<String>,
}

/// Writes `scores.json` and `responses.csv`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { gamma, k, in_domain } = context.parameters()?;
    let responses: Vec<Response> = context.rows("responses")?;
    let claims: Vec<Claim> = context.rows("claims")?;
    let verdicts: Vec<Verdict> = context.rows("verdicts")?;
    let settings = Settings { gamma, k };
    let answers =
        answer_scores(&responses, &claims, &verdicts, settings).map_err(StageError::doing("score the answers"))?;
    if !answers.is_empty() && answers.iter().all(|answer| answer.facts == 0) {
        let count = answers.len();
        context
            .warn(format!("none of {count} answers states a fact that was checked: are the claims of these answers?"));
    }
    let scores = scores(&answers, settings, in_domain.as_deref()).map_err(StageError::doing("score the answers"))?;
    write_json(&context.output("scores.json"), &scores)?;
    write_csv(&context.output("responses.csv"), &answers)?;
    scores.domains.iter().chain(&scores.out_of_domain).for_each(|domain| describe(context, domain));
    warn_of_missing_intervals(context, &scores);
    Ok(())
}

/// One topic says nothing of others.
fn warn_of_missing_intervals(context: &Context, scores: &Scores) {
    let measures = || scores.domains.iter().chain(&scores.out_of_domain).flat_map(|domain| domain.measures.values());
    let bare = measures().filter(|estimate| estimate.interval().is_none()).count();
    if bare > 0 {
        let all = measures().count();
        let single = scores.domains.iter().filter(|domain| domain.topics == 1).map(|domain| domain.domain.as_str());
        let single: Vec<&str> = single.collect();
        let of = if single.is_empty() { String::new() } else { format!(" ({})", single.join(", ")) };
        context.warn(format!(
            "{bare} of {all} means have no interval, because they come from a domain of one topic{of}: an interval of zero width \
             from one topic would say that they are certain"
        ));
    }
}

fn describe(context: &Context, scores: &DomainScores) {
    let DomainScores { domain, answers, topics, measures } = scores;
    let percent = |name: &str| measures.get(name).map_or(0.0, |estimate| 100.0 * estimate.mean);
    let precision = measures.get("precision").map_or("none".to_owned(), |estimate| {
        let interval = estimate
            .interval()
            .map_or("–".to_owned(), |[low, high]| format!("[{:.1}, {:.1}]", 100.0 * low, 100.0 * high));
        format!("{:.1} % {interval}", 100.0 * estimate.mean)
    });
    let facts = measures.get("facts").map_or(0.0, |estimate| estimate.mean);
    let responding = percent("responding");
    context.note(format!("{domain}: precision {precision}, {facts:.2} facts an answer, {responding:.1} % of {answers} answers ({topics} topics) state facts"));
}

/// Writes a value as indented JSON with an end of line.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StageError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(StageError::doing(format!("write {}", path.display())))?;
    text.push('\n');
    std::fs::write(path, text).map_err(StageError::doing(format!("write {}", path.display())))
}

/// Writes rows as CSV with a header.
pub(super) fn write_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), StageError> {
    let mut writer = csv::Writer::from_path(path).map_err(StageError::doing(format!("write {}", path.display())))?;
    rows.iter()
        .try_for_each(|row| writer.serialize(row))
        .and_then(|()| writer.flush().map_err(csv::Error::from))
        .map_err(StageError::doing(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.gamma, parameters.k, parameters.in_domain), (10.0, 64, None));
    }

    #[test]
    fn scores_are_written_the_same_for_every_seed() {
        let folder = trial::judged(&[
            ("people", "Ann", "test", &["SS", "SN", ""]),
            ("people", "Bo", "test", &["SSSN", "N"]),
            ("countries", "Peru", "test", &["SN"]),
            ("elements", "tin", "test", &["NI"]),
        ]);
        let path = folder.path();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path)];
        let output = path.join("scores");
        let parameters = json!({"gamma": 2, "k": 2, "in_domain": "people"});
        let notes = Trial::new(&inputs, parameters.clone()).run(&KIND, &output, run).unwrap();
        expect_test::expect![[r#"
            people: precision 56.2 % [-182.0, 294.5], 1.80 facts an answer, 80.0 % of 5 answers (2 topics) state facts
            countries: precision 50.0 % –, 2.00 facts an answer, 100.0 % of 1 answers (1 topics) state facts
            elements: precision 0.0 % –, 1.00 facts an answer, 100.0 % of 1 answers (1 topics) state facts
            out-of-domain: precision 25.0 % –, 1.50 facts an answer, 100.0 % of 2 answers (2 topics) state facts"#]]
        .assert_eq(&notes.join("\n"));
        expect_test::expect![[r#"
            response_id,prompt_id,sample,topic,domain,split,facts,supported,unsupported,irrelevant,distinct_supported,distinct_unsupported,repeats,empty,abstained,unfinished,characters,precision,deduplicated,factscore,f1_at_k
            people/Ann#0,people/Ann,0,Ann,people,test,2,2,0,0,2,0,0,false,false,false,2,1.0,1.0,1.0,1.0
            people/Ann#1,people/Ann,1,Ann,people,test,2,1,1,0,1,1,0,false,false,false,2,0.5,0.5,0.5,0.5
            people/Ann#2,people/Ann,2,Ann,people,test,0,0,0,0,0,0,0,true,false,false,0,,,,0.0
            people/Bo#0,people/Bo,0,Bo,people,test,4,3,1,0,3,1,0,false,false,false,4,0.75,0.75,0.75,0.8571428571428571
            people/Bo#1,people/Bo,1,Bo,people,test,1,0,1,0,0,1,0,false,false,false,1,0.0,0.0,0.0,0.0
            countries/Peru#0,countries/Peru,0,Peru,countries,test,2,1,1,0,1,1,0,false,false,false,2,0.5,0.5,0.5,0.5
            elements/tin#0,elements/tin,0,tin,elements,test,1,0,1,1,0,1,0,false,false,false,2,0.0,0.0,0.0,0.0
        "#]].assert_eq(&std::fs::read_to_string(output.join("responses.csv")).unwrap());
        let first = std::fs::read(output.join("scores.json")).unwrap();
        Trial { seed: 9, ..Trial::new(&inputs, parameters) }.run(&KIND, &output, run).unwrap();
        assert_eq!(std::fs::read(output.join("scores.json")).unwrap(), first);
    }

    /// Ann's answers are right to 1 and 1/2, Bo's to 3/4 and 0: topics 0.75 and 0.375, their mean 0.5625. Half their distance is
    /// 0.1875, Student's t with one degree of freedom 12.7062.
    #[test]
    fn means_and_intervals_are_those_worked_out_by_hand() {
        let folder =
            trial::judged(&[("people", "Ann", "test", &["SS", "SN", ""]), ("people", "Bo", "test", &["SSSN", "N"])]);
        let path = folder.path();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path)];
        let output = path.join("scores");
        Trial::new(&inputs, json!({"gamma": 2, "k": 2})).run(&KIND, &output, run).unwrap();
        let scores: serde_json::Value =
            serde_json::from_slice(&std::fs::read(output.join("scores.json")).unwrap()).unwrap();
        let measure = |name: &str, field: &str| scores["domains"][0]["measures"][name][field].as_f64().unwrap();
        assert!((measure("precision", "mean") - 0.5625).abs() < 1e-12);
        assert!((measure("precision", "low") - (0.5625 - 12.7062 * 0.1875)).abs() < 1e-4);
        assert!((measure("precision", "high") - (0.5625 + 12.7062 * 0.1875)).abs() < 1e-4);
        // F1@2 of SS is 1, of SN 1/2, of the empty answer 0; of SSSN 2 * 0.75 * 1 / 1.75, of N 0: the mean of five answers.
        assert!((measure("f1_at_k", "mean") - (1.5 + 6.0 / 7.0) / 5.0).abs() < 1e-12, "{}", measure("f1_at_k", "mean"));
        // FActScore with gamma 2 punishes one answer alone, that of one fact, which is wrong anyhow.
        assert!((measure("factscore", "mean") - 0.5625).abs() < 1e-12, "{}", measure("factscore", "mean"));
    }
}
