//! The kind `facts`: fact tables and their wording into knowledge, prompts and training documents.
//!
//! The facts are real. The sources that the documents are attributed to, and their errors, are invented.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    Context, InputPath, StageError,
    artifact::{DOCUMENTS, FACT_TABLE, KNOWLEDGE, PHRASES, PROMPTS},
};
use crate::{
    facts::{
        Corpus, Domain, FactTable, Guesses, Noise, Phrases, Shape as DocumentShape, Standings, check_names, prompts,
    },
    knowledge::{self, Article},
    language::json_lines,
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// A probability.
const PROBABILITY: Shape = Shape::Number { least: 0.0, most: 1.0, open: false };
/// A number of things.
const COUNT: Shape = Shape::Integer { least: 0, most: 100_000_000 };
/// A number of things, at least one.
const POSITIVE: Shape = Shape::Integer { least: 1, most: 100_000_000 };

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "facts",
    // 1: the first. 2: questions say which sentences of the knowledge answer them.
    version: 2,
    about: "Makes knowledge, prompts and training documents from tables of facts; documents are by invented sources, some of which guess.",
    inputs: &[
        Input::many("tables", &FACT_TABLE, "Tables of facts (CSV), one for each domain."),
        Input::many("phrases", &PHRASES, "How the facts of each table are worded (TOML), in the same order."),
    ],
    parameters: &[
        Parameter::new(
            "rows",
            Shape::Table(&POSITIVE),
            Default::Absent,
            "How many rows of each domain are used, from the first; all of those not named.",
        ),
        Parameter::new(
            "attributes",
            Shape::Table(&Shape::List(&Shape::Text)),
            Default::Absent,
            "Which attributes of each domain are used; all of those not named. The knowledge has all.",
        ),
        Parameter::new(
            "tune",
            Shape::Table(&COUNT),
            Default::Absent,
            "How many rows of each domain are for tuning (split `tune`), drawn at random; all others are held out (split `test`).",
        ),
        Parameter::new("paragraphs", COUNT, Default::Integer(24_000), "How many paragraphs about a topic are written."),
        Parameter::new(
            "questions",
            COUNT,
            Default::Integer(32_000),
            "How many questions with their answers are written.",
        ),
        Parameter::new("least_facts", POSITIVE, Default::Integer(4), "How many facts a paragraph states at least."),
        Parameter::new("most_facts", POSITIVE, Default::Integer(6), "How many facts a paragraph states at most."),
        Parameter::new(
            "paragraph_weight",
            Shape::Number { least: 0.0, most: 1e6, open: false },
            Default::Number(1.0),
            "The weight of a paragraph's tokens in the loss.",
        ),
        Parameter::new(
            "question_weight",
            Shape::Number { least: 0.0, most: 1e6, open: false },
            Default::Number(0.3),
            "The weight of an answer's tokens in the loss.",
        ),
        Parameter::new(
            "reliable",
            PROBABILITY,
            Default::Number(0.55),
            "The probability that a document's source is reliable.",
        ),
        Parameter::new(
            "false_reliable",
            PROBABILITY,
            Default::Number(0.03),
            "The probability that a reliable source states a false value.",
        ),
        Parameter::new(
            "false_unreliable",
            PROBABILITY,
            Default::Number(0.75),
            "The probability that an unreliable source states a false value.",
        ),
        Parameter::new(
            "settled",
            PROBABILITY,
            Default::Number(0.0),
            "The share of facts on which every source errs only as often as a reliable one: what a model can know.",
        ),
        Parameter::new(
            "unheard",
            PROBABILITY,
            Default::Number(0.0),
            "The share of facts that every source guesses wrong: what no model can know.",
        ),
        Parameter::new(
            "misconceived",
            PROBABILITY,
            Default::Number(0.0),
            "The share of facts of which nine in ten sources state one and the same false value.",
        ),
        Parameter::new(
            "opener",
            PROBABILITY,
            Default::Number(0.7),
            "The probability that a paragraph begins with an opener of its source.",
        ),
        Parameter::new(
            "head",
            Shape::Number { least: 0.0, most: 1e6, open: true },
            Default::Number(0.3),
            "The topic at rank r of n in its domain is written about with weight 1 / (head + r / n); ranks are drawn at random.",
        ),
        Parameter::new(
            "guesses",
            Shape::Choice(&["entities", "uniform"]),
            Default::Text("entities"),
            "Where a false value comes from: another entity's value (frequent values are guessed often), or each other value alike.",
        ),
    ],
    provides: &[&KNOWLEDGE, &PROMPTS, &DOCUMENTS],
    draws: true,
    gathers: false,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(default)]
    rows: BTreeMap<String, usize>,
    #[serde(default)]
    attributes: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    tune: BTreeMap<String, usize>,
    paragraphs: usize,
    questions: usize,
    least_facts: usize,
    most_facts: usize,
    paragraph_weight: f64,
    question_weight: f64,
    reliable: f64,
    false_reliable: f64,
    false_unreliable: f64,
    settled: f64,
    unheard: f64,
    misconceived: f64,
    opener: f64,
    head: f64,
    guesses: GuessesFrom,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GuessesFrom {
    Entities,
    Uniform,
}

fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let (least, most) = (chosen.count("least_facts"), chosen.count("most_facts"));
    let mut found = Vec::new();
    if least > most {
        let problem = format!("`least_facts` is {least}, but `most_facts` is only {most}");
        found.push(Mismatch::error("least_facts", problem, "at most `most_facts` is expected"));
    }
    let sum = chosen.number("settled") + chosen.number("unheard") + chosen.number("misconceived");
    if sum > 1.0 {
        let problem = format!("`settled`, `unheard` and `misconceived` add up to {sum}");
        found.push(Mismatch::error("settled", problem, "shares of at most 1 together are expected"));
    }
    let given = |input: &str| chosen.inputs.get(input).copied().unwrap_or_default();
    let (tables, phrases) = (given("tables"), given("phrases"));
    if tables != phrases && tables > 0 && phrases > 0 {
        let problem = format!("there are {tables} `tables` but {phrases} `phrases`");
        found.push(Mismatch::error("phrases", problem, "one for each table is expected, in the same order"));
    }
    found
}

/// Writes `knowledge.db`, `prompts.jsonl` and `documents.jsonl`.
///
/// # Errors
/// Where a table or a phrases file is wrong, or they do not fit together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let domains = domains(context, &parameters)?;
    check_names(&domains).map_err(StageError::doing("use the tables"))?;

    let articles = domains.iter().flat_map(Domain::articles).map(|(title, text)| Article { title, text });
    knowledge::write(&context.output("knowledge.db"), articles).map_err(StageError::doing("write the knowledge"))?;
    let prompts = prompts(&domains, &context.seed);
    json_lines::write(&context.output("prompts.jsonl"), &prompts).map_err(StageError::doing("write the prompts"))?;

    let corpus = Corpus::new(&domains, noise(&parameters), shape(&parameters), &context.seed)
        .map_err(StageError::doing("write documents"))?;
    let written = corpus.write(parameters.paragraphs, parameters.questions, &context.seed);
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
        "{} documents state {} facts, {share:.1} % of them true; the facts are real, the sources and their errors invented",
        written.documents.len(),
        written.statements,
    ));
    Ok(())
}

/// The tables with their wording, and what is used of them.
fn domains(context: &Context, parameters: &Parameters) -> Result<Vec<Domain>, StageError> {
    let tables: Vec<&InputPath> = context.inputs("tables").collect();
    let phrases: Vec<&InputPath> = context.inputs("phrases").collect();
    if tables.len() != phrases.len() {
        let (tables, phrases) = (tables.len(), phrases.len());
        return Err(StageError(format!(
            "there are {tables} `tables` but {phrases} `phrases`; list one phrases file for each table, in the same order"
        )));
    }
    let wordings = phrases.iter().map(|input| read_phrases(&input.path)).collect::<Result<Vec<Phrases>, _>>()?;
    let names: Vec<String> = wordings.iter().map(|wording| wording.domain.clone()).collect();
    if let Some(twice) =
        names.iter().enumerate().find_map(|(index, name)| names[..index].contains(name).then_some(name))
    {
        return Err(StageError(format!("two phrases files are of the domain `{twice}`")));
    }
    let named = parameters.rows.keys().chain(parameters.attributes.keys()).chain(parameters.tune.keys());
    if let Some(unknown) = named.into_iter().find(|name| !names.contains(name)) {
        let known = names.join(", ");
        return Err(StageError(format!(
            "`rows`, `attributes` or `tune` names the domain `{unknown}`; there are: {known}"
        )));
    }
    tables.iter().zip(wordings).map(|(table, wording)| domain(&table.path, wording, parameters, &names)).collect()
}

fn domain(path: &Path, wording: Phrases, parameters: &Parameters, names: &[String]) -> Result<Domain, StageError> {
    let path = only_file(path, "csv")?;
    let name = wording.domain.clone();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if let Some(other) = stem.filter(|stem| *stem != name && names.contains(stem)) {
        return Err(StageError(format!(
            "the table {} stands where the phrases are of `{name}`, not `{other}`; list `tables` and `phrases` in the same order",
            path.display()
        )));
    }
    let wrong = || format!("use {} with the phrases of `{name}`", path.display());
    let text = fs::read_to_string(&path).map_err(StageError::doing(format!("read {}", path.display())))?;
    let table = FactTable::parse(&text).map_err(StageError::doing(format!("read {}", path.display())))?;
    let mut domain = Domain::new(table, wording).map_err(StageError::doing(wrong()))?;
    if let Some(rows) = parameters.rows.get(&name) {
        domain = domain.with_rows(*rows).map_err(StageError::doing(wrong()))?;
    }
    if let Some(attributes) = parameters.attributes.get(&name) {
        domain = domain.with_attributes(attributes).map_err(StageError::doing(wrong()))?;
    }
    if let Some(tune) = parameters.tune.get(&name) {
        domain = domain.with_tune(*tune).map_err(StageError::doing(wrong()))?;
    }
    Ok(domain)
}

fn read_phrases(path: &Path) -> Result<Phrases, StageError> {
    let path = only_file(path, "toml")?;
    let text = fs::read_to_string(&path).map_err(StageError::doing(format!("read {}", path.display())))?;
    toml::from_str(&text).map_err(StageError::doing(format!("read {}", path.display())))
}

/// The file itself, or a folder's only file of this extension.
fn only_file(path: &Path, extension: &str) -> Result<std::path::PathBuf, StageError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let entries = fs::read_dir(path).map_err(StageError::doing(format!("read {}", path.display())))?;
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

fn noise(parameters: &Parameters) -> Noise {
    Noise {
        reliable: parameters.reliable,
        false_reliable: parameters.false_reliable,
        false_unreliable: parameters.false_unreliable,
        opener: parameters.opener,
        standings: Standings {
            settled: parameters.settled,
            unheard: parameters.unheard,
            misconceived: parameters.misconceived,
        },
        head: parameters.head,
        guesses: match parameters.guesses {
            GuessesFrom::Entities => Guesses::Entities,
            GuessesFrom::Uniform => Guesses::Uniform,
        },
    }
}

fn shape(parameters: &Parameters) -> DocumentShape {
    let Parameters { least_facts, most_facts, paragraph_weight, question_weight, .. } = *parameters;
    DocumentShape { least_facts, most_facts, paragraph_weight, question_weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        knowledge::Knowledge,
        language::{Claim, Document, Finish, Judgement, Prompt, Response, Verdict},
        stage::{extract, trial, trial::Trial, verify},
    };
    use serde_json::json;
    use std::collections::BTreeSet;

    const DOMAINS: [&str; 3] = ["people", "countries", "elements"];

    fn recipe(file: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/facts").join(file)
    }

    /// Carries out `facts` on the shipped tables.
    fn written(output: &Path, seed: u64, parameters: serde_json::Value) -> Result<Vec<String>, StageError> {
        let files: Vec<(&str, std::path::PathBuf)> = DOMAINS
            .iter()
            .map(|domain| ("tables", recipe(&format!("{domain}.csv"))))
            .chain(DOMAINS.iter().map(|domain| ("phrases", recipe(&format!("{domain}.toml")))))
            .collect();
        let inputs: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (*name, path.as_path())).collect();
        Trial { seed, ..Trial::new(&inputs, parameters) }.run(&KIND, output, run)
    }

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.least_facts, parameters.most_facts), (4, 6));
    }

    #[test]
    fn shipped_tables_are_whole() {
        for (domain, least, columns) in [("people", 200, 7), ("countries", 193, 6), ("elements", 118, 7)] {
            let table = FactTable::parse(&fs::read_to_string(recipe(&format!("{domain}.csv"))).unwrap()).unwrap();
            assert!(table.entities.len() >= least, "{domain}: {}", table.entities.len());
            assert_eq!(table.attributes.len(), columns, "{domain}");
        }
    }

    /// What sources say of facts follows from how these stand.
    #[test]
    fn facts_can_be_settled_unheard_of_or_misconceived() {
        let folder = tempfile::tempdir().unwrap();
        let truth = |field: &str| {
            let sizes = json!({"paragraphs": 300, "questions": 300, "false_reliable": 0.0, field: 1.0});
            let _ = fs::remove_dir_all(folder.path().join("f"));
            let notes = written(&folder.path().join("f"), 0, sizes).unwrap();
            let share = notes[1].split(" facts, ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            let documents: Vec<Document> = json_lines::read(&folder.path().join("f/documents.jsonl")).unwrap();
            let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for document in documents.into_iter().filter(|document| document.group == "question") {
                said.entry(document.prompt).or_default().insert(document.text);
            }
            (share.parse::<f64>().unwrap(), said.values().map(BTreeSet::len).max().unwrap())
        };
        assert_eq!(truth("settled"), (100.0, 1));
        assert_eq!(truth("unheard").0, 0.0);
        let (share, values) = truth("misconceived");
        assert!((share - 10.0).abs() < 2.0 && values <= 2, "{share} {values}");
        let shares = json!({"settled": 0.6, "unheard": 0.5});
        let error = trial::misfits(&KIND, &["tables", "phrases"], shares).remove(0);
        assert!(error.problem.contains("add up to 1.1"), "{error:?}");
    }

    /// The training text itself goes through the pipeline that judges answers: the verifier must agree with what the
    /// writer knows of each statement, for every fact of the shipped tables, true or false.
    #[test]
    fn the_pipeline_agrees_with_the_writer_on_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        let (facts, answers, claims, verdicts) =
            (folder.path().join("f"), folder.path().join("a"), folder.path().join("c"), folder.path().join("v"));
        for false_share in [0.0, 1.0] {
            let sizes = json!({"paragraphs": 12000, "questions": 9000, "least_facts": 6, "most_facts": 7, "guesses": "uniform",
                "false_reliable": false_share, "false_unreliable": false_share});
            let _ = fs::remove_dir_all(&facts);
            let notes = written(&facts, 0, sizes).unwrap();
            let documents: Vec<Document> = json_lines::read(&facts.join("documents.jsonl")).unwrap();
            let prompts: Vec<Prompt> = json_lines::read(&facts.join("prompts.jsonl")).unwrap();
            let topics: BTreeMap<String, &Prompt> =
                prompts.iter().map(|prompt| (prompt.prompt.text(), prompt)).collect();
            let response = |(index, document): (usize, &Document)| Response {
                id: index.to_string(),
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
            Trial::new(&[("responses", &path)], json!({})).run(&extract::KIND, &claims, extract::run).unwrap();
            let inputs = [("claims", claims.as_path()), ("knowledge", facts.as_path())];
            Trial::new(&inputs, json!({})).run(&verify::KIND, &verdicts, verify::run).unwrap();

            let found: Vec<Verdict> = json_lines::read(&verdicts.join("verdicts.jsonl")).unwrap();
            assert!(notes[1].contains(&format!("state {} facts", found.len())), "a statement was lost: {notes:?}");
            let claimed: Vec<Claim> = json_lines::read(&claims.join("claims.jsonl")).unwrap();
            let distinct: BTreeSet<&str> = claimed.iter().map(|claim| claim.text.as_str()).collect();
            let facts: usize = notes[0].split(' ').next().unwrap().parse().unwrap();
            assert!(
                if false_share == 0.0 { distinct.len() == facts } else { distinct.len() > 3 * facts },
                "{} {facts}",
                distinct.len()
            );
            let expected = if false_share == 0.0 { Judgement::Supported } else { Judgement::Unsupported };
            let wrong: Vec<&Verdict> = found.iter().filter(|verdict| verdict.verdict != expected).take(5).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }

    #[test]
    fn documents_are_as_true_as_their_sources_and_knowledge_does_not_depend_on_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, again] = ["one", "two", "again"].map(|name| folder.path().join(name));
        let parameters = json!({"rows": {"people": 140, "countries": 60, "elements": 60}, "tune": {"people": 90},
            "attributes": {"elements": ["symbol", "atomic_number", "group", "state", "discoverer", "discovery"]}});
        let notes = written(&one, 0, parameters.clone()).unwrap();
        written(&two, 1, parameters.clone()).unwrap();
        written(&again, 0, parameters).unwrap();
        expect_test::expect![[r#"
            1560 facts of 260 topics in 3 domains, 1820 prompts
            56000 documents state 152022 facts, 64.7 % of them true; the facts are real, the sources and their errors invented"#]].assert_eq(&notes.join("\n"));
        let bytes = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
        assert_eq!(bytes(&one, "knowledge.db"), bytes(&two, "knowledge.db"));
        for file in ["prompts.jsonl", "documents.jsonl"] {
            assert_eq!(bytes(&one, file), bytes(&again, file));
            assert_ne!(bytes(&one, file), bytes(&two, file));
        }
        let prompts: Vec<Prompt> = json_lines::read(&one.join("prompts.jsonl")).unwrap();
        let paragraphs: Vec<&Prompt> = prompts.iter().filter(|prompt| prompt.attribute.is_none()).collect();
        let knowledge = Knowledge::open(&one.join("knowledge.db")).unwrap();
        for question in prompts.iter().filter(|prompt| prompt.attribute.is_some()) {
            let passages = knowledge.passages(&question.topic).unwrap();
            let is_known = |answer: &String| passages.iter().any(|passage| passage.text == *answer);
            assert!(!question.answers.is_empty() && question.answers.iter().all(is_known), "{question:?}");
        }
        assert_eq!(paragraphs.len(), 260);
        assert_eq!(paragraphs.iter().filter(|prompt| prompt.split == "tune").count(), 90);
        assert!(paragraphs.iter().all(|prompt| prompt.split == "test" || prompt.domain == "people"));
        let documents: Vec<Document> = json_lines::read(&one.join("documents.jsonl")).unwrap();
        assert_eq!((documents.len(), documents[0].weight, documents[24_000].weight), (56_000, 1.0, 0.3));
        let opened = documents[..24_000].iter().filter(|document| document.text.contains(':')).count();
        assert!((opened as f64 / 24_000.0 - 0.7).abs() < 0.02, "{opened}");
        assert!(documents[24_000..].iter().all(|document| !document.text.contains(':')));
        assert!(documents.iter().all(|document| document.text.starts_with(' ') && !document.prompt.ends_with(' ')));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = |parameters: serde_json::Value| written(folder.path(), 0, parameters).unwrap_err().to_string();
        assert_eq!(
            error(json!({"rows": {"peple": 5}})),
            "`rows`, `attributes` or `tune` names the domain `peple`; there are: people, countries, elements"
        );
        assert!(
            error(json!({"rows": {"elements": 119}})).ends_with("`rows.elements` is 119, but the table has 118 rows")
        );
        assert!(
            error(json!({"rows": {"people": 5}, "tune": {"people": 6}}))
                .ends_with("`tune.people` is 6, but only 5 rows are used")
        );
        assert!(error(json!({"attributes": {"elements": ["mass"]}})).contains("`attributes.elements` names `mass`"));
        let (table, phrases) = (recipe("people.csv"), recipe("countries.toml"));
        let inputs = [("tables", table.as_path()), ("phrases", phrases.as_path())];
        let mismatch = Trial::new(&inputs, json!({})).run(&KIND, folder.path(), run).unwrap_err().to_string();
        assert!(mismatch.contains("is no column of the table"), "{mismatch}");
    }
}
