//! The kind `score`: factuality measures by response and by domain.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    context::{
        Context, CsvWriter, StageError,
        artifact::{CLAIMS, RESPONSES, SCORES, VERDICTS},
        write_json,
    },
    diagnostic::counted,
    evaluation::{DomainScores, Estimate, ScoreSettings, ScoreSums, Scores, answer_score},
    recipe::schema::{Declared, Input, Kind, given_as},
    rows::{FactLabel, MeasureName, Response},
    stage_support::claim_verdicts::ClaimVerdicts,
    verification::{ClaimVerdict, JudgedClaim},
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "score",
    // 1: first version. 2: deduplicated precision and distinct unsupported facts. 3: Student's t
    // intervals over topics, none from one topic. 4: intervals of means within the possible range,
    // and of positive width for shares that are equal in all topics. 5: repeats that extraction
    // found are no facts. 6: undecided claims are counted apart.
    version: 6,
    about: "Score the factuality of responses, by response and domain, with 95 % intervals over \
    topics.",
    inputs: &[
        Input::one("responses", &RESPONSES, "Responses."),
        Input::one("claims", &CLAIMS, "Claims of the responses."),
        Input::one("verdicts", &VERDICTS, "Verdicts on the claims."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&SCORES],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: Some(redundant),
};

/// What `irrelevant` is by default.
const DROPPED: &str = "dropped";

/// A default that is written out.
fn redundant(values: &BTreeMap<String, Value>) -> Vec<&'static str> {
    given_as(values, "irrelevant", DROPPED)
}

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// FActScore's length penalty: responses with fewer facts are penalised; 0 is off.
    #[parameter(default = 10.0, min = 0, max = 1e6)]
    pub gamma: f64,
    /// K of F1@K: the number of supported facts wanted; compared scores need the same.
    #[parameter(default = 64, min = 1, max = 1_000_000)]
    pub k: usize,
    /// Irrelevant claims: left out (dropped, the default), or wrong as in FActScore (unsupported).
    #[parameter(words = &[DROPPED, "unsupported"])]
    pub irrelevant: Option<String>,
    /// In-domain domain; the mean over all others is out-of-domain.
    pub in_domain: Option<String>,
}

/// Writes `scores.json` and `responses.csv`.
///
/// # Errors
/// If inputs cannot be read or do not belong together.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { gamma, k, irrelevant, in_domain } = context.parameters()?;
    let irrelevant_is_wrong = irrelevant.as_deref() == Some("unsupported");
    let settings = ScoreSettings { gamma, k, irrelevant_is_wrong };
    let scored = ScoredResponses::of(context, settings)?;
    scored.describe(context, irrelevant_is_wrong);
    let scores = scored.sums.scores(settings, in_domain.as_deref());
    let scores = scores.map_err(StageError::doing("score the responses"))?;
    write_json(&context.output("scores.json"), &scores)?;
    scores.domains.iter().chain(&scores.out_of_domain).for_each(|domain| describe(context, domain));
    warn_of_missing_intervals(context, &scores);
    Ok(())
}

/// Sums over the responses, and their counts.
#[derive(Default)]
struct ScoredResponses {
    sums: ScoreSums,
    responses: usize,
    /// Whether any response has a relevant claim.
    has_facts: bool,
    claims: usize,
    irrelevant: usize,
    undecided: usize,
}

impl ScoredResponses {
    /// Scores one response after the other, and writes `responses.csv`.
    fn of(context: &Context, settings: ScoreSettings) -> Result<Self, StageError> {
        let mut judged = ClaimVerdicts::open(context, "score the responses")?;
        let mut rows = CsvWriter::create(&context.output("responses.csv"))?;
        let mut found = Self { claims: judged.claims(), ..Self::default() };
        for response in context.each_row::<Response>("responses")? {
            let response = response?;
            let mut claims = judged.of(&response)?;
            for claim in &mut claims {
                let label = &mut claim.verdict.verdict;
                if *label == FactLabel::Irrelevant {
                    found.irrelevant += 1;
                    // As in FActScore.
                    if settings.irrelevant_is_wrong {
                        *label = FactLabel::Unsupported;
                    }
                }
            }
            let claims: Vec<JudgedClaim<'_>> = claims.iter().map(ClaimVerdict::judged).collect();
            let answer = answer_score(&response, &claims, settings);
            found.responses += 1;
            found.has_facts |= answer.facts > 0;
            found.undecided += answer.undecided;
            found.sums.add(&answer);
            rows.write(&answer)?;
        }
        judged.finish()?;
        rows.finish()?;
        Ok(found)
    }

    /// Notes how irrelevant and undecided claims count.
    fn describe(&self, context: &Context, irrelevant_is_wrong: bool) {
        let Self { responses, claims, irrelevant, undecided, .. } = self;
        // Most responses have none, and nothing is to be said.
        if *irrelevant > 0 {
            let how = if irrelevant_is_wrong { "counted as unsupported" } else { "left out" };
            context
                .note(format!("{irrelevant} of {} irrelevant, {how}", counted(*claims, "claim")));
        }
        // Possible, but far more often a sign that claims and responses are of different stages.
        if *responses > 0 && !self.has_facts {
            context.warn(format!(
                "none of {} has a relevant claim: do the claims belong to these responses?",
                counted(*responses, "response")
            ));
        }
        if *undecided > 0 {
            context.note(format!(
                "{undecided} of {} undecided, counted in no measure",
                counted(*claims, "claim")
            ));
        }
    }
}

/// A single topic, or equal unbounded values in all topics, give no interval.
fn warn_of_missing_intervals(context: &Context, scores: &Scores) {
    let domains = scores.domains.iter().chain(&scores.out_of_domain);
    let measures: Vec<&Estimate> = domains.flat_map(|domain| domain.measures.values()).collect();
    let bare = measures.iter().filter(|estimate| estimate.interval().is_none()).count();
    if bare > 0 {
        let all = measures.len();
        let single = scores
            .domains
            .iter()
            .filter(|domain| domain.topics == 1)
            .map(|domain| domain.domain.as_str());
        let single: Vec<&str> = single.collect();
        let of =
            if single.is_empty() { String::new() } else { format!(" ({})", single.join(", ")) };
        context.warn(format!(
            "{bare} of {all} means have no interval, because their domain has a single topic{of}, \
            or all topics are equal"
        ));
    }
}

fn describe(context: &Context, scores: &DomainScores) {
    let DomainScores { domain, answers, topics, measures } = scores;
    let precision = measures.get(&MeasureName::Precision).map_or("none".to_owned(), |estimate| {
        let interval = estimate.interval().map_or("–".to_owned(), |[low, high]| {
            format!("[{:.1}, {:.1}]", 100.0 * low, 100.0 * high)
        });
        format!("{:.1} % {interval}", 100.0 * estimate.mean)
    });
    let facts = measures.get(&MeasureName::Facts).map_or(0.0, |estimate| estimate.mean);
    let responding =
        measures.get(&MeasureName::Responding).map_or(0.0, |estimate| 100.0 * estimate.mean);
    context.note(format!(
        "{domain}: precision {precision}, {facts:.2} facts per response, \
    {responding:.1} % of {} ({}) with facts",
        counted(*answers, "response"),
        counted(*topics, "topic")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;

    #[test]
    fn a_default_that_is_written_out_is_redundant() {
        let redundant = |value| redundant(&[("irrelevant".to_owned(), value)].into());
        assert_eq!(redundant(json!("dropped")), ["irrelevant"]);
        assert!(redundant(json!("unsupported")).is_empty());
    }

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.gamma, parameters.k, parameters.in_domain), (10.0, 64, None));
        assert_eq!(parameters.irrelevant, None);
    }

    #[test]
    fn scores_are_written_the_same_for_every_seed() {
        let folder = test_support::judged(&[
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
            1 of 13 claims irrelevant, left out
            people: precision 56.2 % [0.0, 100.0], 1.80 facts per response, 80.0 % of 5 responses (2 topics) with facts
            countries: precision 50.0 % –, 2.00 facts per response, 100.0 % of 1 response (1 topic) with facts
            elements: precision 0.0 % –, 1.00 facts per response, 100.0 % of 1 response (1 topic) with facts
            out-of-domain: precision 25.0 % –, 1.50 facts per response, 100.0 % of 2 responses (2 topics) with facts"#]]
        .assert_eq(&notes.join("\n"));
        expect_test::expect![[r#"
            response_id,prompt_id,sample,topic,domain,split,facts,supported,unsupported,irrelevant,undecided,distinct_supported,distinct_unsupported,repeats,empty,abstained,unfinished,characters,precision,deduplicated,factscore,f1_at_k
            people/Ann#0,people/Ann,0,Ann,people,test,2,2,0,0,0,2,0,0,false,false,false,2,1.0,1.0,1.0,1.0
            people/Ann#1,people/Ann,1,Ann,people,test,2,1,1,0,0,1,1,0,false,false,false,2,0.5,0.5,0.5,0.5
            people/Ann#2,people/Ann,2,Ann,people,test,0,0,0,0,0,0,0,0,true,false,false,0,,,,0.0
            people/Bo#0,people/Bo,0,Bo,people,test,4,3,1,0,0,3,1,0,false,false,false,4,0.75,0.75,0.75,0.8571428571428571
            people/Bo#1,people/Bo,1,Bo,people,test,1,0,1,0,0,0,1,0,false,false,false,1,0.0,0.0,0.0,0.0
            countries/Peru#0,countries/Peru,0,Peru,countries,test,2,1,1,0,0,1,1,0,false,false,false,2,0.5,0.5,0.5,0.5
            elements/tin#0,elements/tin,0,tin,elements,test,1,0,1,1,0,0,1,0,false,false,false,2,0.0,0.0,0.0,0.0
        "#]].assert_eq(&std::fs::read_to_string(output.join("responses.csv")).unwrap());
        let first = std::fs::read(output.join("scores.json")).unwrap();
        Trial { seed: 9, ..Trial::new(&inputs, parameters) }.run(&KIND, &output, run).unwrap();
        assert_eq!(std::fs::read(output.join("scores.json")).unwrap(), first);
    }

    /// Ann's responses have precision 1 and 1/2, Bo's to 3/4 and 0: topics 0.75 and 0.375, their
    /// mean 0.5625. Half their distance is 0.1875, Student's t with one degree of freedom 12.7062,
    /// and what would lie beyond 0 and 1 is cut. Precisions of four cities are 1/2, 1/2, 3/4 and
    /// 3/4: their mean is 5/8, its standard error 0.0721688, Student's t 3.182446.
    #[test]
    fn means_and_intervals_are_those_worked_out_by_hand() {
        let folder = test_support::judged(&[
            ("people", "Ann", "test", &["SS", "SN", ""]),
            ("people", "Bo", "test", &["SSSN", "N"]),
            ("cities", "Rome", "test", &["SN"]),
            ("cities", "Oslo", "test", &["NS"]),
            ("cities", "Lima", "test", &["SSSN"]),
            ("cities", "Kyiv", "test", &["SNSS"]),
        ]);
        let path = folder.path();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path)];
        let output = path.join("scores");
        Trial::new(&inputs, json!({"gamma": 2, "k": 2})).run(&KIND, &output, run).unwrap();
        let scores: serde_json::Value =
            serde_json::from_slice(&std::fs::read(output.join("scores.json")).unwrap()).unwrap();
        let of = |domain: &str, name: &str, field: &str| {
            let domains = scores["domains"].as_array().unwrap();
            let found = domains.iter().find(|found| found["domain"] == domain).unwrap();
            found["measures"][name][field].as_f64().unwrap()
        };
        let measure = |name: &str, field: &str| of("people", name, field);
        assert!((measure("precision", "mean") - 0.5625).abs() < 1e-12);
        assert_eq!((measure("precision", "low"), measure("precision", "high")), (0.0, 1.0));
        assert!((of("cities", "precision", "low") - (0.625 - 3.182446 * 0.0721688)).abs() < 1e-5);
        assert!((of("cities", "precision", "high") - (0.625 + 3.182446 * 0.0721688)).abs() < 1e-5);
        // F1@2 of SS is 1, of SN 1/2, of the empty response 0; of SSSN 2 * 0.75 * 1 / 1.75, of N 0:
        // the mean of five responses.
        assert!(
            (measure("f1_at_k", "mean") - (1.5 + 6.0 / 7.0) / 5.0).abs() < 1e-12,
            "{}",
            measure("f1_at_k", "mean")
        );
        // FActScore with gamma 2 penalises only the response with one fact, which is wrong anyway.
        assert!(
            (measure("factscore", "mean") - 0.5625).abs() < 1e-12,
            "{}",
            measure("factscore", "mean")
        );
    }
}
