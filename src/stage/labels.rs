//! The kind `labels`: people's labels as responses, claims and verdicts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    context::{
        Context, InputPath, StageError,
        artifact::{CLAIMS, LABELS, RESPONSES, VERDICTS},
    },
    evaluation::{AnnotatedResponse, IrrelevantFacts, LabelledFact, annotated_responses},
    facts::align,
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{
        CharSpan, Claim, ClaimId, FactLabel, Finish, LabelRow, Response, ResponseId, Verdict,
        json_lines::{self, Line},
    },
    verification::Tally,
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "labels",
    version: 1,
    about: "Read labels by people, such as FActScore's: responses, facts as claims, labels as \
    verdicts.",
    inputs: &[Input::many(
        "files",
        &LABELS,
        "Labelled files (JSON lines), one per system: annotated responses, or labelled claims.",
    )
    .path()],
    parameters: Parameters::PARAMETERS,
    provides: &[&LABELS, &RESPONSES, &CLAIMS, &VERDICTS],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Names of the systems in the order of the files; they become the domains of the responses.
    systems: Option<Vec<String>>,
    /// Irrelevant facts: irrelevant, unsupported except in irrelevant sentences, or unsupported.
    #[parameter(default = "dropped")]
    irrelevant: IrrelevantFacts,
}

/// System of a file whose rows and recipe name none.
const UNNAMED: &str = "system";

/// As many names as files, all different.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { systems: Some(systems), .. } = chosen.parameters() else { return Vec::new() };
    let files = chosen.inputs.get("files").copied().unwrap_or_default();
    let right = "one name per file is expected, each name once";
    let repeated =
        systems.iter().enumerate().find(|(index, name)| systems[..*index].contains(name));
    if let Some((_, name)) = repeated {
        let problem = format!("`systems` names `{name}` twice");
        return vec![Mismatch::error("systems", problem, right)];
    }
    if systems.len() != files {
        let problem = format!("`systems` has {} names for {files} files", systems.len());
        return vec![Mismatch::error("systems", problem, right)];
    }
    Vec::new()
}

/// A row of labels.
pub(super) struct LabelSource {
    /// File and line.
    place: String,
    /// The system, for a row that names none itself.
    system: String,
    row: LabelRow,
}

/// Rows of labels with the name of their system.
///
/// # Errors
/// If the file cannot be read, or a row is neither an annotated response nor a labelled claim.
fn read_labels(input: &InputPath, system: &str) -> Result<Vec<LabelSource>, StageError> {
    let path = &input.path;
    let path = if path.is_dir() { path.join("labels.jsonl") } else { path.clone() };
    let mut rows = Vec::new();
    for line in
        json_lines::lines::<LabelRow>(&path).map_err(StageError::doing("read the labels"))?
    {
        let Line { number, row } = line.map_err(StageError::doing("read the labels"))?;
        let place = format!("{}:{number}", path.display());
        row.check()
            .map_err(|problem| StageError(format!("cannot read the labels: {place}: {problem}")))?;
        rows.push(LabelSource { place, system: system.to_owned(), row });
    }
    Ok(rows)
}

/// Labels of a single input, from a stage or a file, on the input `claims` or their responses. A
/// label that names a claim by its id belongs to the response of this claim.
///
/// # Errors
/// If they cannot be read, or label something twice.
pub(super) fn read_annotated(context: &Context) -> Result<Vec<AnnotatedResponse>, StageError> {
    let mut rows = Vec::new();
    for input in context.inputs("labels") {
        rows.extend(read_labels(input, UNNAMED)?);
    }
    let known = named_claims(context, &rows)?;
    let claim_of = |source: &LabelSource| source.row.claim_id.clone();
    let is_known =
        |source: &LabelSource| claim_of(source).is_some_and(|id| known.contains_key(&id));
    // Labels on claims of another extraction are compared by their words.
    if rows.iter().any(is_known) {
        let is_foreign =
            |source: &mut LabelSource| source.row.claim_id.is_some() && !is_known(&*source);
        let foreign: Vec<LabelSource> = rows.extract_if(.., is_foreign).collect();
        if let Some(first) = foreign.first() {
            context.warn(format!(
                "{} labels are on claims that are not among these claims, and are ignored: first \
                `{}` ({})",
                foreign.len(),
                claim_of(first).unwrap_or_default(),
                first.place
            ));
        }
    }
    for LabelSource { row, .. } in &mut rows {
        let response = row.claim_id.as_ref().and_then(|id| known.get(id));
        row.response_id = row.response_id.take().or_else(|| response.cloned());
    }
    annotated(rows)
}

/// The claims of the input `claims` that labels name by their ids, with their responses.
fn named_claims(
    context: &Context,
    rows: &[LabelSource],
) -> Result<BTreeMap<ClaimId, ResponseId>, StageError> {
    let named: BTreeSet<&ClaimId> =
        rows.iter().filter_map(|source| source.row.claim_id.as_ref()).collect();
    let mut found = BTreeMap::new();
    for claim in context.each_row::<Claim>("claims")? {
        let Claim { id, response_id, .. } = claim?;
        // People label hundreds of claims, of which there may be millions.
        if named.contains(&id) {
            found.insert(id, response_id);
        }
    }
    Ok(found)
}

/// The responses of rows.
fn annotated(rows: Vec<LabelSource>) -> Result<Vec<AnnotatedResponse>, StageError> {
    let mut places = Vec::with_capacity(rows.len());
    let rows = rows.into_iter().map(|LabelSource { place, system, row }| {
        places.push(place);
        (system, row)
    });
    let rows: Vec<(String, LabelRow)> = rows.collect();
    annotated_responses(rows).map_err(|error| {
        let [first, second] = error.rows.map(|row| &places[row]);
        StageError(format!("cannot read the labels: {second}: {error}, first in {first}"))
    })
}

/// Writes `labels.jsonl`, `responses.jsonl`, `claims.jsonl` and `verdicts.jsonl`.
///
/// # Errors
/// If the files cannot be read, or label something twice.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { systems, irrelevant } = context.parameters()?;
    let files: Vec<&InputPath> = context.inputs("files").collect();
    let mut rows = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let named = systems.as_ref().and_then(|names| names.get(index).cloned());
        let unnamed = || match files.len() {
            1 => UNNAMED.to_owned(),
            _ => format!("{UNNAMED}-{}", index + 1),
        };
        rows.extend(read_labels(file, &named.unwrap_or_else(unnamed))?);
    }
    let named: Vec<LabelRow> = rows.iter().map(with_system).collect();
    let labelled = annotated(rows)?;
    write(context, "labels.jsonl", &named)?;
    write(context, "responses.jsonl", labelled.iter().map(response))?;
    write(context, "claims.jsonl", labelled.iter().flat_map(claims))?;
    let facts = labelled.iter().flat_map(|response| &response.facts);
    write(context, "verdicts.jsonl", facts.map(|fact| verdict(fact, irrelevant)))?;
    describe(context, &labelled);
    Ok(())
}

fn write<T: serde::Serialize>(
    context: &Context,
    file: &str,
    rows: impl IntoIterator<Item = T>,
) -> Result<(), StageError> {
    json_lines::write(&context.output(file), rows).map_err(StageError::doing("write the labels"))
}

fn with_system(LabelSource { system, row, .. }: &LabelSource) -> LabelRow {
    let system = if row.system.is_empty() { system } else { &row.system };
    LabelRow { system: system.clone(), ..row.clone() }
}

fn response(labelled: &AnnotatedResponse) -> Response {
    // The id of the prompt is that of the response up to the number of the sample.
    let id = labelled.id.as_str();
    let (prompt, sample) = id.rsplit_once('#').unwrap_or((id, "0"));
    Response {
        id: labelled.id.clone(),
        prompt_id: prompt.to_owned(),
        sample: sample.parse().unwrap_or(0),
        topic: labelled.topic.clone(),
        // Scores are by domain: one for each system.
        domain: labelled.system.clone(),
        split: "test".to_owned(),
        prompt: labelled.input.as_str().into(),
        output: labelled.output.clone(),
        finish: Finish::Stop,
    }
}

/// The facts of a response as claims, with the characters that state them.
fn claims(labelled: &AnnotatedResponse) -> Vec<Claim> {
    let sentences = places(&labelled.sentences, &labelled.output);
    let texts: Vec<String> = labelled.facts.iter().map(|fact| fact.text.clone()).collect();
    // The response of labelled claims is made of them.
    let whole = if sentences.is_empty() { places(&texts, &labelled.output) } else { Vec::new() };
    let facts = labelled.facts.iter().enumerate();
    facts
        .map(|(index, fact)| {
            let sentence = fact.sentence.and_then(|sentence| sentences[sentence]);
            let spans = match sentence {
                Some(place) => shifted(&align(&fact.text, &place.of(&labelled.output)), place),
                None => whole.get(index).copied().flatten().into_iter().collect(),
            };
            let hull = spans.first().zip(spans.last());
            let hull = hull.map(|(first, last)| CharSpan::new(first.start(), last.end()));
            Claim {
                id: fact.id.clone(),
                response_id: labelled.id.clone(),
                topic: labelled.topic.clone(),
                text: fact.text.clone(),
                span: hull.or(sentence).unwrap_or_default(),
                spans,
                sentence,
                ..Claim::default()
            }
        })
        .collect()
}

/// Ranges of a sentence as ranges of the text that it is in.
fn shifted(spans: &[CharSpan], place: CharSpan) -> Vec<CharSpan> {
    let start = place.start();
    spans.iter().map(|span| CharSpan::new(start + span.start(), start + span.end())).collect()
}

/// Places of texts in the text that has them one after the other; none of a text that it lacks.
fn places(texts: &[String], output: &str) -> Vec<Option<CharSpan>> {
    let (mut bytes, mut characters) = (0, 0);
    let mut place = |text: &String| {
        let text = text.trim();
        let start = bytes + output[bytes..].find(text).filter(|_| !text.is_empty())?;
        characters += output[bytes..start].chars().count();
        let first = characters;
        characters += text.chars().count();
        bytes = start + text.len();
        Some(CharSpan::new(first, characters))
    };
    texts.iter().map(&mut place).collect()
}

fn verdict(fact: &LabelledFact, irrelevant: IrrelevantFacts) -> Verdict {
    let label = fact.label_under(irrelevant);
    let probability = f64::from(u8::from(label == FactLabel::Supported));
    Verdict {
        verifier: "people".to_owned(),
        ..Verdict::new(fact.id.clone(), label, probability, Vec::new())
    }
}

fn describe(context: &Context, labelled: &[AnnotatedResponse]) {
    let mut systems: Vec<&str> = Vec::new();
    let mut tally = Tally::default();
    for response in labelled {
        if !systems.contains(&response.system.as_str()) {
            systems.push(&response.system);
        }
        response.facts.iter().for_each(|fact| tally.add(fact.label));
    }
    for system in systems {
        let own = labelled.iter().filter(|response| response.system == system);
        let (count, annotated) =
            (own.clone().count(), own.filter(|response| response.is_annotated).count());
        context.note(format!("{system}: {count} responses, {annotated} of them annotated"));
    }
    let Tally { supported, unsupported, irrelevant, .. } = tally;
    context.note(format!(
        "{supported} facts supported, {unsupported} unsupported, {irrelevant} irrelevant"
    ));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::context::test_support::{self, Trial};

    const ROWS: &str = r#"{"input":"Tell me of Ann.","output":"Zoë Ann sang, and wrote. Bo did.","topic":"Ann","cat":["rare"],"annotations":[{"text":"Zoë Ann sang, and wrote.","is-relevant":true,"human-atomic-facts":[{"text":"Ann sang.","label":"S"},{"text":"Ann wrote.","label":"NS"},{"text":"Ann is Zoë.","label":"IR"}]},{"text":"Bo did.","is-relevant":false,"model-atomic-facts":[{"text":"Bo did."}]}]}
{"input":"Tell me of Cy.","output":"I do not know.","topic":"Cy","annotations":null}
"#;

    fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Vec<T> {
        json_lines::read(&folder.join(name)).unwrap()
    }

    #[test]
    fn labels_become_responses_claims_and_verdicts() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
        std::fs::write(&one, ROWS).unwrap();
        std::fs::write(&two, r#"{"claim":"Ann sang.","label":"refuted","topic":"Ann"}"#).unwrap();
        let output = folder.path().join("output");
        let parameters = json!({"systems": ["A", "B"], "irrelevant": "sentences_dropped"});
        let notes = Trial::new(&[("files", &one), ("files", &two)], parameters)
            .run(&KIND, &output, run)
            .unwrap();
        assert_eq!(
            notes,
            [
                "A: 2 responses, 1 of them annotated",
                "B: 1 responses, 1 of them annotated",
                "1 facts supported, 2 unsupported, 2 irrelevant"
            ]
        );
        let responses: Vec<Response> = read(&output, "responses.jsonl");
        let places: Vec<(&str, &str, &str)> = responses
            .iter()
            .map(|row| (row.id.as_str(), row.prompt_id.as_str(), row.domain.as_str()))
            .collect();
        let expected =
            [("A/Ann#0", "A/Ann", "A"), ("A/Cy#0", "A/Cy", "A"), ("B/Ann#0", "B/Ann", "B")];
        assert_eq!(places, expected);
        let claims: Vec<Claim> = read(&output, "claims.jsonl");
        let pieces: Vec<Vec<String>> = claims
            .iter()
            .map(|claim| {
                let response = responses.iter().find(|row| row.id == claim.response_id).unwrap();
                assert!(claim.span.problem(&response.output).is_none());
                claim.pieces().iter().map(|span| span.of(&response.output)).collect()
            })
            .collect();
        assert_eq!(pieces[0], ["Ann sang"]);
        assert_eq!(pieces[1], ["Ann", "wrote"]);
        assert_eq!(pieces[3], ["Bo did"]);
        assert_eq!(pieces[4], ["Ann sang."]);
        let verdicts: Vec<Verdict> = read(&output, "verdicts.jsonl");
        let letters: Vec<(FactLabel, f64)> =
            verdicts.iter().map(|verdict| (verdict.verdict, verdict.probability)).collect();
        use FactLabel::{Irrelevant, Supported, Unsupported};
        assert_eq!(
            letters,
            [
                (Supported, 1.0),
                (Unsupported, 0.0),
                (Unsupported, 0.0),
                (Irrelevant, 0.0),
                (Unsupported, 0.0)
            ]
        );
        // What it writes is read again, with the same ids.
        let again = folder.path().join("again");
        Trial::new(&[("files", &output)], json!({})).run(&KIND, &again, run).unwrap();
        for file in ["labels.jsonl", "responses.jsonl", "claims.jsonl"] {
            assert_eq!(
                std::fs::read_to_string(output.join(file)).unwrap(),
                std::fs::read_to_string(again.join(file)).unwrap(),
                "{file}"
            );
        }
    }

    #[test]
    fn wrong_rows_are_named_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.jsonl");
        std::fs::write(&file, format!("{ROWS}{{\"topic\":\"Ann\"}}\n")).unwrap();
        let error = Trial::new(&[("files", &file)], json!({}))
            .run(&KIND, &folder.path().join("o"), run)
            .unwrap_err()
            .to_string();
        assert!(error.contains("f.jsonl:3: the row has neither `label` nor `output`"), "{error}");
    }

    #[test]
    fn systems_are_as_many_as_files() {
        let problem = |inputs: &[&str], systems: serde_json::Value| {
            let found = test_support::misfits(&KIND, inputs, json!({"systems": systems}));
            found.first().map(|mismatch| mismatch.problem.clone())
        };
        assert_eq!(problem(&["files"], json!(["A"])), None);
        assert_eq!(
            problem(&["files"], json!(["A", "B"])).unwrap(),
            "`systems` has 2 names for 1 files"
        );
        assert_eq!(problem(&["files"], json!(["A", "A"])).unwrap(), "`systems` names `A` twice");
    }
}
