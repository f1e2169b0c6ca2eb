//! The kind `classify`: knowledge classes of facts from verified answers to questions.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{CLAIMS, PROBE, PROMPTS, RESPONSES, VERDICTS},
        write_csv,
    },
    preference::{ClassCounts, ClassTable, Thresholds, UnknownQuestion, probed_fact},
    recipe::schema::{Declared, Input, Kind},
    rows::{
        Prompt, Response, RowGroups,
        json_lines::{self, RowWriter},
    },
    stage_support::claim_verdicts::ClaimVerdicts,
    verification::VerifiedResponse,
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "classify",
    // 1: first version. 2: numbers, dates and letters normalised.
    version: 2,
    about: "Classify each probed fact as known, potentially known or unknown.",
    inputs: &[
        Input::one("prompts", &PROMPTS, "Questions, with the sentences that answer them."),
        Input::one("responses", &RESPONSES, "Several responses to each question."),
        Input::one("claims", &CLAIMS, "Claims of the responses."),
        Input::one("verdicts", &VERDICTS, "Verdicts on the claims."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&PROBE],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Share of correct answers from which on a fact counts as known.
    // Sampling makes even a known fact wrong now and then: one answer in ten may be.
    #[parameter(default = 0.9, above = 0, max = 1, former = "known")]
    known_threshold: f64,
    /// Minimum correct answers for a fact to count as potentially known.
    #[parameter(default = 1, min = 1, max = 100_000, former = "least_right")]
    min_correct: usize,
    /// Minimum contradicting answers for a fact to count as potentially known.
    #[parameter(default = 1, min = 1, max = 100_000, former = "least_contradicting")]
    min_contradicting: usize,
}

/// Writes `probe.jsonl` and `probe.csv`.
///
/// # Errors
/// If inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { known_threshold, min_correct, min_contradicting } = context.parameters()?;
    let thresholds = Thresholds { known_threshold, min_correct, min_contradicting };
    let mut answers = AnswersByQuestion::open(context)?;
    let facts = RowWriter::create(&context.output("probe.jsonl"));
    let mut facts = facts.map_err(StageError::doing(WRITING))?;
    let mut table = ClassTable::default();
    let questions = json_lines::checked_rows(&context.input_file("prompts", "prompts.jsonl")?);
    for question in questions.map_err(StageError::doing(ASKING))? {
        let question: Prompt = question.map_err(StageError::doing(ASKING))?;
        let answers = answers.to(&question)?;
        if let Some(fact) = probed_fact(question, &answers, thresholds) {
            table.add(&fact);
            facts.write(&fact).map_err(StageError::doing(WRITING))?;
        }
    }
    answers.finish()?;
    facts.finish().map_err(StageError::doing(WRITING))?;
    write_csv(&context.output("probe.csv"), &table.rows)?;
    describe(context, &table.rows);
    Ok(())
}

const ASKING: &str = "read the questions";
const READING: &str = "read the responses";
const WRITING: &str = "write the facts";
const PURPOSE: &str = "classify the facts";

/// Verified answers by their question, read along with the questions.
struct AnswersByQuestion {
    responses: RowGroups<Response>,
    claims: ClaimVerdicts,
}

impl AnswersByQuestion {
    fn open(context: &Context) -> Result<Self, StageError> {
        let responses = RowGroups::open(&context.input_file("responses", "responses.jsonl")?);
        let responses = responses.map_err(StageError::doing(READING))?;
        Ok(Self { responses, claims: ClaimVerdicts::open(context, PURPOSE)? })
    }

    fn to(&mut self, question: &Prompt) -> Result<Vec<VerifiedResponse>, StageError> {
        let responses = self.responses.of(&question.id).map_err(StageError::doing(READING))?;
        responses.into_iter().map(|response| self.claims.verified(response)).collect()
    }

    /// Checks that all of them belong to questions that were asked for.
    fn finish(self) -> Result<(), StageError> {
        // Before the claims, which would be left with their response.
        let left = self.responses.left().map_err(StageError::doing(READING))?;
        match left.map(|response| UnknownQuestion(response.id, response.prompt_id)) {
            Some(problem) => Err(StageError::doing(PURPOSE)(problem)),
            None => self.claims.finish(),
        }
    }
}

/// Notes the number of known, potentially known and unknown facts by domain and attribute.
fn describe(context: &Context, counts: &[ClassCounts]) {
    let mut domains: Vec<&str> = counts.iter().map(|row| row.domain.as_str()).collect();
    domains.dedup();
    for domain in domains {
        let counts: Vec<&ClassCounts> = counts.iter().filter(|row| row.domain == domain).collect();
        // A domain without answers has 0 % right ones, rather than NaN.
        let answers = sum(&counts, |row| row.answers).max(1);
        let share = 100.0 * sum(&counts, |row| row.right) as f64 / answers as f64;
        let attributes: Vec<String> = counts
            .iter()
            .filter(|row| !row.attribute.is_empty())
            .map(|row| format!("{} {}/{}/{}", row.attribute, row.known, row.potential, row.unknown))
            .collect();
        let attributes = if attributes.is_empty() {
            String::new()
        } else {
            format!(" ({})", attributes.join(", "))
        };
        context.note(format!(
            "{domain}: {} facts known, {} potentially, {} unknown; {share:.1} % of answers \
            correct{attributes}",
            sum(&counts, |row| row.known),
            sum(&counts, |row| row.potential),
            sum(&counts, |row| row.unknown),
        ));
    }
}

fn sum(counts: &[&ClassCounts], count: fn(&ClassCounts) -> usize) -> usize {
    counts.iter().map(|row| count(row)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.known_threshold, parameters.min_correct, parameters.min_contradicting),
            (0.9, 1, 1)
        );
    }

    /// Without answer sentences in the questions, every claim of a response counts for its fact.
    #[test]
    fn classes_are_written_and_counted() {
        let folder = test_support::judged(&[
            ("people", "Ann", "tune", &["S", "N", "N"]),
            ("people", "Bo", "tune", &["S", "S", "S"]),
            ("countries", "Peru", "test", &["N", "I"]),
        ]);
        let path = folder.path();
        let question = |id: &str, topic: &str, attribute: &str| {
            let domain = id.split('/').next().unwrap();
            format!(
                "{{\"id\":\"{id}\",\"prompt\":\"?\",\"topic\":\"{topic}\",\"domain\":\"{domain}\",\"split\":\"tune\",\"form\":\"question\",\"attribute\":\"{attribute}\"}}\n"
            )
        };
        let questions = [
            question("people/Ann", "Ann", "field"),
            question("people/Bo", "Bo", "year"),
            question("countries/Peru", "Peru", "capital"),
        ];
        std::fs::write(path.join("prompts.jsonl"), questions.concat()).unwrap();
        let inputs = [("prompts", path), ("responses", path), ("claims", path), ("verdicts", path)];
        let notes = Trial::new(&inputs, json!({})).run(&KIND, path, run).unwrap();
        expect_test::expect![[r#"
            people: 1 facts known, 1 potentially, 0 unknown; 66.7 % of answers correct (field 0/1/0, year 1/0/0)
            countries: 0 facts known, 0 potentially, 1 unknown; 0.0 % of answers correct (capital 0/0/1)"#]]
        .assert_eq(&notes.join("\n"));
        expect_test::expect![[r#"
            domain,attribute,facts,known,potential,unknown,answers,right,contradicting,other
            people,field,1,0,1,0,3,1,2,0
            people,year,1,1,0,0,3,3,0,0
            countries,capital,1,0,0,1,2,0,1,1
        "#]]
        .assert_eq(&std::fs::read_to_string(path.join("probe.csv")).unwrap());
        let rows = std::fs::read_to_string(path.join("probe.jsonl")).unwrap();
        expect_test::expect![[r#"{"id":"people/Ann","topic":"Ann","domain":"people","split":"tune","attribute":"field","question":"Tell me about Ann.","truth":[],"class":"potential","n":3,"right":1,"contradicting":2,"other":0,"max_conf":0.6666666666666666,"exp_conf":0.5555555555555556,"neg_ent":-0.6365141682948128,"answers":[{"id":"people/Ann#0","output":"S","finish":"stop","reply":"right","claims":1,"claim":"Ann says S0.","span":[0,1],"judgement":"supported"},{"id":"people/Ann#1","output":"N","finish":"stop","reply":"contradicting","claims":1,"claim":"Ann says N0.","span":[0,1],"judgement":"unsupported"},{"id":"people/Ann#2","output":"N","finish":"stop","reply":"contradicting","claims":1,"claim":"Ann says N0.","span":[0,1],"judgement":"unsupported"}]}"#]].assert_eq(rows.lines().next().unwrap());
        let strict =
            Trial::new(&inputs, json!({"min_contradicting": 3})).run(&KIND, path, run).unwrap();
        assert!(
            strict[0].starts_with("people: 1 facts known, 0 potentially, 1 unknown"),
            "{strict:?}"
        );
        std::fs::write(path.join("prompts.jsonl"), questions[1..].concat()).unwrap();
        let error = Trial::new(&inputs, json!({})).run(&KIND, path, run).unwrap_err().to_string();
        assert!(
            error.contains(
                "the answer `people/Ann#0` belongs to `people/Ann`, which is not a \
            question of the prompts"
            ),
            "{error}"
        );
    }

    /// One of Ann's three answers is right: its class has confidence 1/3, the other 2/3.
    #[test]
    fn measures_of_one_fact_are_those_worked_out_by_hand() {
        let folder = test_support::judged(&[("people", "Ann", "tune", &["S", "N", "N"])]);
        let path = folder.path();
        let question = r#"{"id":"people/Ann","prompt":"?","topic":"Ann","domain":"people","split":"tune","form":"question","attribute":"field"}"#;
        std::fs::write(path.join("prompts.jsonl"), format!("{question}\n")).unwrap();
        let inputs = [("prompts", path), ("responses", path), ("claims", path), ("verdicts", path)];
        Trial::new(&inputs, json!({})).run(&KIND, path, run).unwrap();
        let row: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("probe.jsonl")).unwrap()).unwrap();
        let (once, twice) = (1.0_f64 / 3.0, 2.0_f64 / 3.0);
        let by_hand = [
            ("max_conf", twice),
            ("exp_conf", once * once + twice * twice),
            ("neg_ent", once * once.ln() + twice * twice.ln()),
        ];
        for (field, expected) in by_hand {
            assert!(
                (row[field].as_f64().unwrap() - expected).abs() < 1e-12,
                "{field}: {}",
                row[field]
            );
        }
        assert_eq!(
            (&row["right"], &row["contradicting"], &row["class"]),
            (&json!(1), &json!(2), &json!("potential"))
        );
    }
}
