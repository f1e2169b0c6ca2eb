//! The kind `agree`: agreement of claims and verdicts with labels by people.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{AGREEMENT, CLAIMS, LABELS, RESPONSES, VERDICTS},
        write_csv, write_json,
    },
    evaluation::{
        AgreementMeasureName, AgreementRow, AgreementSettings, HumanAgreement, IrrelevantFacts,
        ToolOutput, agreement,
    },
    recipe::schema::{Declared, Input, Kind},
    rows::{Claim, Response, Verdict},
    seed::Seed,
};

use super::labels::read_annotated;

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "agree",
    // 1: first version. 2: a label by `claim_id` belongs to the response of its claim, or to none.
    version: 2,
    about: "Measure how far claims and verdicts agree with labels by people, with 95 % intervals.",
    inputs: &[
        Input::one("labels", &LABELS, "Labels by people: a stage of kind `labels`, or a file."),
        Input::one(
            "claims",
            &CLAIMS,
            "Claims: the labelled facts, or claims extracted from the labelled responses.",
        ),
        Input::optional("verdicts", &VERDICTS, "Verdicts on the claims."),
        Input::optional(
            "responses",
            &RESPONSES,
            "Responses with ids of their own; they are found among the labels by their text.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&AGREEMENT],
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
    /// Irrelevant facts: dropped, unsupported except in irrelevant sentences, or unsupported.
    #[parameter(default = "dropped")]
    irrelevant: IrrelevantFacts,
    /// Draws of topics for the intervals (cluster bootstrap).
    #[parameter(default = 1000, min = 100, max = 1_000_000)]
    resamples: usize,
}

/// Topics from which on an interval is to be trusted.
const FEW_TOPICS: usize = 10;

/// Writes `agreement.json`, `agreement.csv`, `compared_claims.csv` and `compared_responses.csv`.
///
/// # Errors
/// If inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { irrelevant, resamples } = context.parameters()?;
    let claims: Vec<Claim> = context.rows("claims")?;
    let labelled = read_annotated(context)?;
    let verdicts: Option<Vec<Verdict>> =
        is_given(context, "verdicts").then(|| context.rows("verdicts")).transpose()?;
    let responses: Option<Vec<Response>> =
        is_given(context, "responses").then(|| context.rows("responses")).transpose()?;
    let tool = ToolOutput {
        claims: &claims,
        verdicts: verdicts.as_deref(),
        responses: responses.as_deref().unwrap_or_default(),
    };
    let settings = AgreementSettings { irrelevant, resamples };
    // The kind is not seeded: its draws are the same in every run.
    let seed = Seed::root(0).split("agreement");
    let found = agreement(&labelled, &tool, settings, &seed)
        .map_err(StageError::doing("compare the claims with the labels"))?;
    write_json(&context.output("agreement.json"), &found.agreement)?;
    write_csv(&context.output("agreement.csv"), &found.agreement.rows)?;
    write_csv(&context.output("compared_claims.csv"), &found.claims)?;
    write_csv(&context.output("compared_responses.csv"), &found.responses)?;
    describe(context, &found.agreement);
    warn(context, &found.agreement);
    Ok(())
}

fn is_given(context: &Context, input: &str) -> bool {
    context.inputs(input).next().is_some()
}

/// Notes the figures of all responses.
fn describe(context: &Context, agreement: &HumanAgreement) {
    use AgreementMeasureName as Name;
    let row = |name| agreement.row("all", name);
    if let (Some(precision), Some(recall), Some(f1)) =
        (row(Name::ClaimPrecision), row(Name::ClaimRecall), row(Name::ClaimF1))
    {
        let (count, facts) = (f1.count, agreement.counts.facts);
        context.note(format!(
            "{count} claims against {facts} facts of people: precision {}, recall {}, F1 {}",
            percent(precision),
            percent(recall),
            percent(f1)
        ));
    }
    if let (Some(accuracy), Some(balanced)) = (row(Name::Accuracy), row(Name::BalancedAccuracy)) {
        let auroc = row(Name::Auroc).map_or("none".to_owned(), percent);
        context.note(format!(
            "verdicts on {} claims: accuracy {} (always true: {}), balanced accuracy {}, AUROC \
            {auroc}",
            accuracy.count,
            percent(accuracy),
            accuracy.always_true.map_or("none".to_owned(), short),
            percent(balanced)
        ));
    }
    if let Some(error) = row(Name::AbsoluteError) {
        let pearson = row(Name::Pearson).map_or("none".to_owned(), |row| decimal(row.value));
        context.note(format!(
            "factual precision of {} responses: off by {} on average (always true: {}), Pearson \
            {pearson}",
            error.count,
            percent(error),
            error.always_true.map_or("none".to_owned(), short)
        ));
    }
    if let Some(order) = &agreement.order {
        let names: Vec<&str> = order.systems.iter().map(|one| one.system.as_str()).collect();
        let (names, same) = (names.join(", "), if order.is_same { "the same" } else { "another" });
        context.note(format!("systems by people: {names}; {same} order by the tool"));
    }
}

fn short(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn decimal(value: f64) -> String {
    format!("{value:.3}")
}

fn percent(row: &AgreementRow) -> String {
    let interval = row.estimate().interval().map_or("–".to_owned(), |[low, high]| {
        format!("[{:.1}, {:.1}]", 100.0 * low, 100.0 * high)
    });
    format!("{} {interval}", short(row.value))
}

fn warn(context: &Context, agreement: &HumanAgreement) {
    let counts = &agreement.counts;
    if counts.unlabelled > 0 {
        let of = counts.unlabelled;
        context
            .warn(format!("{of} claims belong to no labelled response or fact, and are ignored"));
    }
    if counts.topics < FEW_TOPICS {
        context.warn(format!(
            "the labels are of {} topics: intervals over fewer than {FEW_TOPICS} topics are rough",
            counts.topics
        ));
    }
    let balanced = agreement.row("all", AgreementMeasureName::BalancedAccuracy);
    if counts.compared > 0 && balanced.is_none() {
        context.warn(
            "the compared claims do not have both labels: there is no balanced accuracy and no \
            AUROC",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::context::test_support::{self, Trial};

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.irrelevant, parameters.resamples), (IrrelevantFacts::Dropped, 1000));
    }

    /// Two topics with two claims each: right on all but the last one.
    #[test]
    fn claims_are_compared_with_labels_by_their_id() {
        let judged = test_support::judged(&[
            ("people", "Ann", "test", &["SN"]),
            ("people", "Bo", "test", &["NN"]),
        ]);
        let path = judged.path();
        let labels = [("Ann", 0, "S"), ("Ann", 1, "NS"), ("Bo", 0, "NS"), ("Bo", 1, "S")];
        let labels = labels.map(|(topic, number, label)| {
            let id = format!("people/{topic}#0/{number}");
            json!({"claim_id": id, "label": label, "topic": topic}).to_string() + "\n"
        });
        let file = path.join("mine.jsonl");
        std::fs::write(&file, labels.concat()).unwrap();
        let inputs = [("labels", file.as_path()), ("claims", path), ("verdicts", path)];
        let output = path.join("agreement");
        let notes =
            Trial::new(&inputs, json!({"resamples": 100})).run(&KIND, &output, run).unwrap();
        expect_test::expect![[r#"
            verdicts on 4 claims: accuracy 75.0 % [0.0, 100.0] (always true: 50.0 %), balanced accuracy 75.0 % [0.0, 100.0], AUROC 50.0 % [7.9, 92.1]
            factual precision of 2 responses: off by 25.0 % [0.0, 100.0] on average (always true: 50.0 %), Pearson none"#]].assert_eq(&notes.join("\n"));
        let rows = std::fs::read_to_string(output.join("compared_claims.csv")).unwrap();
        expect_test::expect![[r#"
            claim_id,response_id,system,topic,claim,fact,label,verdict,probability
            people/Ann#0/0,people/Ann#0,system,Ann,Ann says S0.,Ann says S0.,supported,supported,0.0
            people/Ann#0/1,people/Ann#0,system,Ann,Ann says N1.,Ann says N1.,unsupported,unsupported,0.0
            people/Bo#0/0,people/Bo#0,system,Bo,Bo says N0.,Bo says N0.,unsupported,unsupported,0.0
            people/Bo#0/1,people/Bo#0,system,Bo,Bo says N1.,Bo says N1.,supported,unsupported,0.0
        "#]].assert_eq(&rows);
        let text = std::fs::read_to_string(output.join("agreement.json")).unwrap();
        let agreement: HumanAgreement = serde_json::from_str(&text).unwrap();
        let accuracy = agreement.row("all", AgreementMeasureName::Accuracy).unwrap();
        assert_eq!((accuracy.count, accuracy.value), (4, 0.75));
        let responses = std::fs::read_to_string(output.join("compared_responses.csv")).unwrap();
        assert_eq!(responses.lines().count(), 3, "{responses}");
        let first = std::fs::read(output.join("agreement.json")).unwrap();
        Trial { seed: 9, ..Trial::new(&inputs, json!({"resamples": 100})) }
            .run(&KIND, &path.join("again"), run)
            .unwrap();
        let again = std::fs::read(path.join("again/agreement.json")).unwrap();
        assert_eq!(first, again, "the kind is not seeded");
    }

    /// The responses of claims are looked up and not read from their ids, and labels on other
    /// claims change no figure.
    #[test]
    fn labels_by_id_belong_to_the_response_of_their_claim() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, rows: &[serde_json::Value]| {
            let path = folder.path().join(name);
            let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
            std::fs::write(&path, rows.concat()).unwrap();
            path
        };
        let claim = |id: &str, response: &str| {
            json!({"id": id, "response_id": response, "topic": response, "text": format!("{id}."),
                "span": [0, 1]})
        };
        let verdict = |id: &str| json!({"claim_id": id, "verdict": "supported", "probability": 0.9, "evidence": []});
        let label = |id: &str, label: bool| json!({"claim_id": id, "label": label});
        let claims = written("claims.jsonl", &[claim("c0", "r0"), claim("c1", "r1")]);
        let verdicts = written("verdicts.jsonl", &[verdict("c0"), verdict("c1")]);
        let given = [label("c0", true), label("c1", false), label("r1/9", false)];
        let labels = written("labels.jsonl", &given);
        let inputs = [("claims", &claims), ("verdicts", &verdicts), ("labels", &labels)];
        let inputs = inputs.map(|(name, path)| (name, path.as_path()));
        let output = folder.path().join("out");
        let warnings =
            Trial::new(&inputs, json!({})).warnings(&KIND, &output, run).unwrap().join("\n");
        assert!(
            warnings.starts_with(
                "1 labels are on claims that are not among these claims, and are ignored: first \
                `r1/9`"
            ) && warnings.contains("labels.jsonl:3)"),
            "{warnings}"
        );
        let rows = std::fs::read_to_string(output.join("compared_responses.csv")).unwrap();
        assert_eq!(rows.lines().count(), 3, "{rows}");
        written("labels.jsonl", &[label("c0", true), label("c1", true), label("c0", false)]);
        let error = Trial::new(&inputs, json!({})).run(&KIND, &output, run).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("labels.jsonl:3: the claim `c0` is labelled twice"), "{error}");
        assert!(error.ends_with("labels.jsonl:1"), "{error}");
    }

    /// Claims without verdicts are compared with the facts alone.
    #[test]
    fn extraction_is_measured_without_verdicts() {
        let judged = test_support::judged(&[("people", "Ann", "test", &["SN"])]);
        let path = judged.path();
        let label = json!({"response_id": "people/Ann#0", "topic": "Ann", "output": "SN",
            "annotations": [{"human-atomic-facts": [{"text": "She says S0.", "label": "S"}]}]});
        let file = path.join("mine.jsonl");
        std::fs::write(&file, label.to_string()).unwrap();
        let inputs = [("labels", file.as_path()), ("claims", path)];
        let notes = Trial::new(&inputs, json!({})).run(&KIND, &path.join("o"), run).unwrap();
        expect_test::expect![
            "2 claims against 1 facts of people: precision 50.0 % –, recall 100.0 % –, F1 66.7 % –"
        ]
        .assert_eq(&notes.join("\n"));
    }
}
