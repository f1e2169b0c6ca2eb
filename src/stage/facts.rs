//! The kind `facts`: knowledge, prompts and training documents from tables of facts.
//!
//! The facts are real. The sources of the documents and their errors are invented.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use crate::{
    context::{
        Context, InputPath, StageError,
        artifact::{DOCUMENTS, FACT_TABLE, KNOWLEDGE, PHRASES, PROMPTS},
    },
    knowledge::{self, Article},
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::json_lines,
    world::{
        Corpus, DistractorSource, DocumentShape, Domain, FactTable, Phrases, ReliabilityShares,
        SourceErrorModel, check_names, prompts,
    },
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "facts",
    // 1: first version. 2: questions say which sentences of the knowledge answer them.
    version: 2,
    about: "Make knowledge, prompts and training documents by invented sources from tables of \
    facts.",
    inputs: &[
        Input::many("tables", &FACT_TABLE, "Tables of facts (CSV), one per domain."),
        Input::many(
            "phrases",
            &PHRASES,
            "Wording of each table's facts (TOML), in the same order.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&KNOWLEDGE, &PROMPTS, &DOCUMENTS],
    seeded: true,
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
    /// Rows used of each domain's table, from the first; all by default.
    #[serde(default)]
    #[parameter(min = 1, max = 100_000_000)]
    rows: BTreeMap<String, usize>,
    /// Attributes used of each domain; all by default. The knowledge has all.
    #[serde(default)]
    attributes: BTreeMap<String, Vec<String>>,
    /// Rows of each domain in the split `tune`, drawn at random; the rest is the split `test`.
    #[serde(default)]
    #[parameter(min = 0, max = 100_000_000, former = "tune")]
    tune_rows: BTreeMap<String, usize>,
    /// Number of paragraphs.
    #[parameter(default = 24_000, min = 0, max = 100_000_000, former = "paragraphs")]
    num_paragraphs: usize,
    /// Number of questions with answers.
    #[parameter(default = 32_000, min = 0, max = 100_000_000, former = "questions")]
    num_questions: usize,
    /// Minimum facts in a paragraph.
    #[parameter(default = 4, min = 1, max = 100_000_000, former = "least_facts")]
    min_facts: usize,
    /// Maximum facts in a paragraph.
    #[parameter(default = 6, min = 1, max = 100_000_000, former = "most_facts")]
    max_facts: usize,
    /// Weight of a paragraph's tokens in the loss.
    #[parameter(default = 1.0, min = 0, max = 1e6)]
    paragraph_weight: f64,
    /// Weight of an answer's tokens in the loss.
    #[parameter(default = 0.3, min = 0, max = 1e6)]
    question_weight: f64,
    /// Share of documents by reliable sources.
    #[parameter(default = 0.55, min = 0, max = 1, former = "reliable")]
    share_reliable: f64,
    /// Error rate of reliable sources.
    #[parameter(default = 0.03, min = 0, max = 1, former = "false_reliable")]
    error_rate_reliable: f64,
    /// Error rate of unreliable sources.
    #[parameter(default = 0.75, min = 0, max = 1, former = "false_unreliable")]
    error_rate_unreliable: f64,
    /// Share of easy facts: every source has the error rate of a reliable one.
    #[parameter(default = 0.0, min = 0, max = 1, former = "settled")]
    share_easy: f64,
    /// Share of unknowable facts: every source states a random wrong value.
    #[parameter(default = 0.0, min = 0, max = 1, former = "unheard")]
    share_unknowable: f64,
    /// Share of myths: nine in ten sources state one and the same wrong value.
    #[parameter(default = 0.0, min = 0, max = 1, former = "misconceived")]
    share_myth: f64,
    /// Probability that a paragraph begins with an opener of its source.
    #[parameter(default = 0.7, min = 0, max = 1, former = "opener")]
    opener_probability: f64,
    /// Popularity: the topic of rank r among n has weight 1 / (popularity_offset + r / n).
    #[parameter(default = 0.3, above = 0, max = 1e6, former = "head")]
    popularity_offset: f64,
    /// Source of wrong values: other entities' values as often as they occur, or each value alike.
    #[parameter(default = "entities", former = "guesses")]
    distractors: DistractorSource,
}

fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let parameters: Parameters = chosen.parameters();
    let Parameters { min_facts: least, max_facts: most, .. } = parameters;
    let mut found = Vec::new();
    if least > most {
        let problem = format!("`min_facts` is {least}, but `max_facts` is only {most}");
        found.push(Mismatch::error("min_facts", problem, "at most `max_facts` is expected"));
    }
    let sum = parameters.share_easy + parameters.share_unknowable + parameters.share_myth;
    if sum > 1.0 {
        let problem = format!("`share_easy`, `share_unknowable` and `share_myth` add up to {sum}");
        found.push(Mismatch::error(
            "share_easy",
            problem,
            "shares of at most 1 together are expected",
        ));
    }
    let [tables, phrases] =
        ["tables", "phrases"].map(|input| chosen.inputs.get(input).copied().unwrap_or_default());
    // Where one is missing, the missing input is reported already.
    if tables != phrases && tables > 0 && phrases > 0 {
        let problem = format!("there are {tables} `tables` but {phrases} `phrases`");
        found.push(Mismatch::error(
            "phrases",
            problem,
            "one for each table is expected, in the same order",
        ));
    }
    found
}

/// Writes `knowledge.db`, `prompts.jsonl` and `documents.jsonl`.
///
/// # Errors
/// If a table or a phrases file is invalid, or they do not fit together.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let domains = domains(context, &parameters)?;
    check_names(&domains).map_err(StageError::doing("use the tables"))?;

    let articles = domains.iter().flat_map(Domain::articles).map(|(title, text)| Article {
        title,
        text,
        redirects: Vec::new(),
    });
    knowledge::write(&context.output("knowledge.db"), articles)
        .map_err(StageError::doing("write the knowledge"))?;
    let prompts = prompts(&domains, &context.seed);
    json_lines::write(&context.output("prompts.jsonl"), &prompts)
        .map_err(StageError::doing("write the prompts"))?;

    let corpus = Corpus::new(&domains, noise(&parameters), shape(&parameters), &context.seed)
        .map_err(StageError::doing("write documents"))?;
    let written = corpus.write(parameters.num_paragraphs, parameters.num_questions, &context.seed);
    json_lines::write(&context.output("documents.jsonl"), &written.documents)
        .map_err(StageError::doing("write the documents"))?;

    let topics: usize = domains.iter().map(|domain| domain.entities().len()).sum();
    let share = 100.0 * written.true_statements as f64 / written.statements.max(1) as f64;
    context.note(format!(
        "{} facts of {topics} topics in {} domains, {} prompts",
        corpus.facts(),
        domains.len(),
        prompts.len()
    ));
    context.note(format!(
        "{} documents state {} facts, {share:.1} % of them true; facts are real, sources and \
        their errors invented",
        written.documents.len(),
        written.statements,
    ));
    Ok(())
}

/// Checks tables, phrases and parameters together.
///
/// # Errors
/// If they do not fit, or a file cannot be read.
pub(crate) fn check(context: &Context) -> Result<(), StageError> {
    let domains = domains(context, &context.parameters()?)?;
    check_names(&domains).map_err(StageError::doing("use the tables"))
}

/// Tables with their wording, restricted to the selected rows.
fn domains(context: &Context, parameters: &Parameters) -> Result<Vec<Domain>, StageError> {
    let tables: Vec<&InputPath> = context.inputs("tables").collect();
    let phrases: Vec<&InputPath> = context.inputs("phrases").collect();
    if tables.len() != phrases.len() {
        let (tables, phrases) = (tables.len(), phrases.len());
        return Err(StageError(format!(
            "there are {tables} `tables` but {phrases} `phrases`; list one phrases file for each \
            table, in the same order"
        )));
    }
    let wordings = phrases
        .iter()
        .map(|input| read_phrases(&input.path))
        .collect::<Result<Vec<Phrases>, _>>()?;
    let names: Vec<String> = wordings.iter().map(|wording| wording.domain.clone()).collect();
    if let Some(twice) = names
        .iter()
        .enumerate()
        .find_map(|(index, name)| names[..index].contains(name).then_some(name))
    {
        return Err(StageError(format!("two phrases files are of the domain `{twice}`")));
    }
    let named = parameters
        .rows
        .keys()
        .chain(parameters.attributes.keys())
        .chain(parameters.tune_rows.keys());
    if let Some(unknown) = named.into_iter().find(|name| !names.contains(name)) {
        let known = names.join(", ");
        return Err(StageError(format!(
            "`rows`, `attributes` or `tune_rows` names the domain `{unknown}`; there are: {known}"
        )));
    }
    tables
        .iter()
        .zip(wordings)
        .map(|(table, wording)| domain(&table.path, wording, parameters, &names))
        .collect()
}

fn domain(
    path: &Path,
    wording: Phrases,
    parameters: &Parameters,
    names: &[String],
) -> Result<Domain, StageError> {
    let path = only_file(path, "csv")?;
    let name = wording.domain.clone();
    // Files are paired by position; a table named after another domain shows that one was moved.
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if let Some(other) = stem.filter(|stem| *stem != name && names.contains(stem)) {
        return Err(StageError(format!(
            "the table {} is paired with the phrases of `{name}`, not `{other}`; list `tables` \
            and `phrases` in the same order",
            path.display()
        )));
    }
    let reading = format!("read {}", path.display());
    let text = fs::read_to_string(&path).map_err(StageError::doing(&reading))?;
    let table = FactTable::parse(&text).map_err(StageError::doing(&reading))?;
    let using = format!("use {} with the phrases of `{name}`", path.display());
    let mut domain = Domain::new(table, wording).map_err(StageError::doing(&using))?;
    // Rows first: the number of tuned ones is checked against those that are left.
    if let Some(rows) = parameters.rows.get(&name) {
        domain = domain.with_rows(*rows).map_err(StageError::doing(&using))?;
    }
    if let Some(attributes) = parameters.attributes.get(&name) {
        domain = domain.with_attributes(attributes).map_err(StageError::doing(&using))?;
    }
    if let Some(tune) = parameters.tune_rows.get(&name) {
        domain = domain.with_tune(*tune).map_err(StageError::doing(&using))?;
    }
    Ok(domain)
}

fn read_phrases(path: &Path) -> Result<Phrases, StageError> {
    let path = only_file(path, "toml")?;
    let text =
        fs::read_to_string(&path).map_err(StageError::doing(format!("read {}", path.display())))?;
    toml::from_str(&text).map_err(StageError::doing(format!("read {}", path.display())))
}

/// The file itself, or a folder's only file with this extension.
fn only_file(path: &Path, extension: &str) -> Result<std::path::PathBuf, StageError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let entries =
        fs::read_dir(path).map_err(StageError::doing(format!("read {}", path.display())))?;
    let files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|found| found == extension))
        .collect();
    match files.as_slice() {
        [file] => Ok(file.clone()),
        _ => Err(StageError(format!(
            "{} must have exactly one .{extension} file, but has {}",
            path.display(),
            files.len()
        ))),
    }
}

fn noise(parameters: &Parameters) -> SourceErrorModel {
    SourceErrorModel {
        reliable: parameters.share_reliable,
        error_rate_reliable: parameters.error_rate_reliable,
        error_rate_unreliable: parameters.error_rate_unreliable,
        opener: parameters.opener_probability,
        shares: ReliabilityShares {
            easy: parameters.share_easy,
            unknowable: parameters.share_unknowable,
            myth: parameters.share_myth,
        },
        popularity_offset: parameters.popularity_offset,
        distractors: parameters.distractors,
    }
}

fn shape(parameters: &Parameters) -> DocumentShape {
    let Parameters { min_facts, max_facts, paragraph_weight, question_weight, .. } = *parameters;
    DocumentShape { min_facts, max_facts, paragraph_weight, question_weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        knowledge::Knowledge,
        rows::{Claim, Document, FactLabel, Finish, Prompt, Response, Verdict},
        stage::{extract, verify},
    };
    use serde_json::json;
    use std::collections::BTreeSet;

    const DOMAINS: [&str; 3] = ["people", "countries", "elements"];

    fn recipe(file: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/facts").join(file)
    }

    /// Runs `facts` on the shipped tables.
    fn written(
        output: &Path,
        seed: u64,
        parameters: serde_json::Value,
    ) -> Result<Vec<String>, StageError> {
        let files: Vec<(&str, std::path::PathBuf)> = DOMAINS
            .iter()
            .map(|domain| ("tables", recipe(&format!("{domain}.csv"))))
            .chain(DOMAINS.iter().map(|domain| ("phrases", recipe(&format!("{domain}.toml")))))
            .collect();
        let inputs: Vec<(&str, &Path)> =
            files.iter().map(|(name, path)| (*name, path.as_path())).collect();
        Trial { seed, ..Trial::new(&inputs, parameters) }.run(&KIND, output, run)
    }

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.min_facts, parameters.max_facts), (4, 6));
    }

    #[test]
    fn shipped_tables_are_whole() {
        for (domain, least, columns) in
            [("people", 200, 7), ("countries", 193, 6), ("elements", 118, 7)]
        {
            let table =
                FactTable::parse(&fs::read_to_string(recipe(&format!("{domain}.csv"))).unwrap())
                    .unwrap();
            assert!(table.entities.len() >= least, "{domain}: {}", table.entities.len());
            assert_eq!(table.attributes.len(), columns, "{domain}");
        }
    }

    /// Extreme settings of the sources show in their documents.
    #[test]
    fn facts_can_be_settled_unheard_of_or_misconceived() {
        let folder = tempfile::tempdir().unwrap();
        let truth = |field: &str| {
            let sizes = json!({"num_paragraphs": 300, "num_questions": 300, "error_rate_reliable": 0.0, field: 1.0});
            let _ = fs::remove_dir_all(folder.path().join("f"));
            let notes = written(&folder.path().join("f"), 0, sizes).unwrap();
            let share =
                notes[1].split(" facts, ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            let documents: Vec<Document> =
                json_lines::read(&folder.path().join("f/documents.jsonl")).unwrap();
            let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for document in documents.into_iter().filter(|document| document.group == "question") {
                said.entry(document.prompt).or_default().insert(document.text);
            }
            (share.parse::<f64>().unwrap(), said.values().map(BTreeSet::len).max().unwrap())
        };
        assert_eq!(truth("share_easy"), (100.0, 1));
        assert_eq!(truth("share_unknowable").0, 0.0);
        let (share, values) = truth("share_myth");
        assert!((share - 10.0).abs() < 2.0 && values <= 2, "{share} {values}");
        let shares = json!({"share_easy": 0.6, "share_unknowable": 0.5});
        let error = test_support::misfits(&KIND, &["tables", "phrases"], shares).remove(0);
        assert!(error.problem.contains("add up to 1.1"), "{error:?}");
    }

    /// Training documents as responses: for every fact of the shipped tables, true or false, the
    /// verifier must agree with the generator.
    #[test]
    fn the_pipeline_agrees_with_the_writer_on_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        let (facts, answers, claims, verdicts) = (
            folder.path().join("f"),
            folder.path().join("a"),
            folder.path().join("c"),
            folder.path().join("v"),
        );
        for false_share in [0.0, 1.0] {
            let sizes = json!({"num_paragraphs": 12000, "num_questions": 9000, "min_facts": 6, "max_facts": 7, "distractors": "uniform",
                "error_rate_reliable": false_share, "error_rate_unreliable": false_share});
            let _ = fs::remove_dir_all(&facts);
            let notes = written(&facts, 0, sizes).unwrap();
            let documents: Vec<Document> =
                json_lines::read(&facts.join("documents.jsonl")).unwrap();
            let prompts: Vec<Prompt> = json_lines::read(&facts.join("prompts.jsonl")).unwrap();
            let topics: BTreeMap<String, &Prompt> =
                prompts.iter().map(|prompt| (prompt.prompt.text(), prompt)).collect();
            let response = |(index, document): (usize, &Document)| Response {
                id: index.to_string().into(),
                prompt_id: topics[document.prompt.as_str()].id.clone(),
                sample: 0,
                topic: topics[document.prompt.as_str()].topic.clone(),
                domain: String::new(),
                split: String::new(),
                prompt: document.prompt.as_str().into(),
                output: document.text.clone(),
                finish: Finish::Stop,
            };
            fs::create_dir_all(&answers).unwrap();
            let path = answers.join("responses.jsonl");
            json_lines::write(&path, documents.iter().enumerate().map(response)).unwrap();
            // The generator writes a fact per sentence.
            Trial::new(&[("responses", &path)], json!({"by": "sentences"}))
                .run(&extract::KIND, &claims, extract::run)
                .unwrap();
            let inputs = [("claims", claims.as_path()), ("knowledge", facts.as_path())];
            let exact = json!({"matching": "exact"});
            Trial::new(&inputs, exact).run(&verify::KIND, &verdicts, verify::run).unwrap();

            let found: Vec<Verdict> = json_lines::read(&verdicts.join("verdicts.jsonl")).unwrap();
            assert!(
                notes[1].contains(&format!("state {} facts", found.len())),
                "a statement was lost: {notes:?}"
            );
            let claimed: Vec<Claim> = json_lines::read(&claims.join("claims.jsonl")).unwrap();
            let distinct: BTreeSet<&str> =
                claimed.iter().map(|claim| claim.text.as_str()).collect();
            let facts: usize = notes[0].split(' ').next().unwrap().parse().unwrap();
            assert!(
                if false_share == 0.0 {
                    distinct.len() == facts
                } else {
                    distinct.len() > 3 * facts
                },
                "{} {facts}",
                distinct.len()
            );
            let expected =
                if false_share == 0.0 { FactLabel::Supported } else { FactLabel::Unsupported };
            let wrong: Vec<&Verdict> =
                found.iter().filter(|verdict| verdict.verdict != expected).take(5).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }

    #[test]
    fn documents_are_as_true_as_their_sources_and_knowledge_does_not_depend_on_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, again] = ["one", "two", "again"].map(|name| folder.path().join(name));
        let parameters = json!({"rows": {"people": 140, "countries": 60, "elements": 60}, "tune_rows": {"people": 90},
            "attributes": {"elements": ["symbol", "atomic_number", "group", "state", "discoverer", "discovery"]}});
        let notes = written(&one, 0, parameters.clone()).unwrap();
        written(&two, 1, parameters.clone()).unwrap();
        written(&again, 0, parameters).unwrap();
        expect_test::expect![[r#"
            1560 facts of 260 topics in 3 domains, 1820 prompts
            56000 documents state 152022 facts, 64.7 % of them true; facts are real, sources and their errors invented"#]].assert_eq(&notes.join("\n"));
        let bytes = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
        assert_eq!(bytes(&one, "knowledge.db"), bytes(&two, "knowledge.db"));
        for file in ["prompts.jsonl", "documents.jsonl"] {
            assert_eq!(bytes(&one, file), bytes(&again, file));
            assert_ne!(bytes(&one, file), bytes(&two, file));
        }
        let prompts: Vec<Prompt> = json_lines::read(&one.join("prompts.jsonl")).unwrap();
        let paragraphs: Vec<&Prompt> =
            prompts.iter().filter(|prompt| prompt.attribute.is_none()).collect();
        let knowledge = Knowledge::open(&one.join("knowledge.db")).unwrap();
        for question in prompts.iter().filter(|prompt| prompt.attribute.is_some()) {
            let passages = knowledge.passages(&question.topic).unwrap();
            let is_known = |answer: &String| passages.iter().any(|passage| passage.text == *answer);
            assert!(
                !question.answers.is_empty() && question.answers.iter().all(is_known),
                "{question:?}"
            );
        }
        assert_eq!(paragraphs.len(), 260);
        assert_eq!(paragraphs.iter().filter(|prompt| prompt.split == "tune").count(), 90);
        assert!(
            paragraphs.iter().all(|prompt| prompt.split == "test" || prompt.domain == "people")
        );
        let documents: Vec<Document> = json_lines::read(&one.join("documents.jsonl")).unwrap();
        assert_eq!(
            (documents.len(), documents[0].weight, documents[24_000].weight),
            (56_000, 1.0, 0.3)
        );
        let opened =
            documents[..24_000].iter().filter(|document| document.text.contains(':')).count();
        assert!((opened as f64 / 24_000.0 - 0.7).abs() < 0.02, "{opened}");
        assert!(documents[24_000..].iter().all(|document| !document.text.contains(':')));
        assert!(
            documents
                .iter()
                .all(|document| document.text.starts_with(' ') && !document.prompt.ends_with(' '))
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = |parameters: serde_json::Value| {
            written(folder.path(), 0, parameters).unwrap_err().to_string()
        };
        assert_eq!(
            error(json!({"rows": {"peple": 5}})),
            "`rows`, `attributes` or `tune_rows` names the domain `peple`; there are: people, \
            countries, elements"
        );
        assert!(
            error(json!({"rows": {"elements": 119}}))
                .ends_with("`rows.elements` is 119, but the table has 118 rows")
        );
        assert!(
            error(json!({"rows": {"people": 5}, "tune_rows": {"people": 6}}))
                .ends_with("`tune.people` is 6, but only 5 rows are used")
        );
        assert!(
            error(json!({"attributes": {"elements": ["mass"]}}))
                .contains("`attributes.elements` names `mass`")
        );
        let (table, phrases) = (recipe("people.csv"), recipe("countries.toml"));
        let inputs = [("tables", table.as_path()), ("phrases", phrases.as_path())];
        let mismatch =
            Trial::new(&inputs, json!({})).run(&KIND, folder.path(), run).unwrap_err().to_string();
        assert!(mismatch.contains("is not a column of the table"), "{mismatch}");
    }
}
