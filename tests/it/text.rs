//! Responses in the style of real models, through the program: their claims and verdicts.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

/// A claim's text and its verdict.
type Judged = (String, String);

/// Recipe of all cases: claims of each response, and their scores.
struct Said {
    claims: Vec<Vec<Judged>>,
    scores: Vec<Value>,
}

const RECIPE: &str = r#"name = "text"
[stage.claims]
kind = "extract"
responses = { path = "responses.jsonl" }
by = "sentences"
[stage.verdicts]
kind = "verify"
claims = "claims"
knowledge = { path = "knowledge.jsonl" }
matching = "contained"
[stage.scores]
kind = "score"
responses = { path = "responses.jsonl" }
claims = "claims"
verdicts = "verdicts"
"#;

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write(path: &Path, rows: &[Value]) {
    fs::write(path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
}

fn response(number: usize, topic: &str, output: &str) -> Value {
    json!({"id": format!("p{number}#0"), "prompt_id": format!("p{number}"), "sample": 0, "topic": topic,
        "domain": "people", "split": "test", "prompt": format!("Tell me about \
        {topic}."), "output": output, "finish": "stop"})
}

fn apeft(folder: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_apeft"))
        .args(["run", "recipe.toml", "--json"])
        .current_dir(folder)
        .env("APEFT_CACHE", folder.join("cache"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Verifies the sentences of responses, each with its topic, by articles.
fn judged(articles: &[(&str, &str)], answers: &[(&str, &str)]) -> Said {
    judged_by("sentences", articles, answers)
}

/// Verifies the claims of this extractor.
fn judged_by(by: &str, articles: &[(&str, &str)], answers: &[(&str, &str)]) -> Said {
    let bench = tempfile::tempdir().unwrap();
    let folder = bench.path();
    let article = |(title, text): &(&str, &str)| json!({"title": title, "text": text});
    write(&folder.join("knowledge.jsonl"), &articles.iter().map(article).collect::<Vec<_>>());
    let answered =
        answers.iter().enumerate().map(|(number, (topic, output))| response(number, topic, output));
    write(&folder.join("responses.jsonl"), &answered.collect::<Vec<_>>());
    let recipe = RECIPE.replace("sentences", by);
    fs::write(folder.join("recipe.toml"), recipe).unwrap();
    let run = apeft(folder);
    let file = |stage: &str, file: &str| {
        let stages = run["stages"].as_array().unwrap();
        let found = stages.iter().find(|row| row["name"] == stage).unwrap();
        Path::new(found["artifact"].as_str().unwrap()).join(file)
    };
    let verdicts = rows(&file("verdicts", "verdicts.jsonl"));
    let mut claims = vec![Vec::new(); answers.len()];
    for (claim, verdict) in rows(&file("claims", "claims.jsonl")).iter().zip(&verdicts) {
        assert_eq!(claim["id"], verdict["claim_id"]);
        let answer =
            claim["response_id"].as_str().unwrap().trim_start_matches('p').trim_end_matches("#0");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        claims[answer.parse::<usize>().unwrap()]
            .push((text(&claim["text"]), text(&verdict["verdict"])));
    }
    let mut table = csv::Reader::from_path(file("scores", "responses.csv")).unwrap();
    let header = table.headers().unwrap().clone();
    let scores = table
        .records()
        .map(|record| header.iter().zip(record.unwrap().iter()).collect::<Value>())
        .collect();
    Said { claims, scores }
}

impl Said {
    /// Number of claims of each response, and of supported ones.
    fn counts(&self) -> Vec<(usize, usize)> {
        let supported = |claims: &Vec<Judged>| {
            claims.iter().filter(|(_, verdict)| verdict == "supported").count()
        };
        self.claims.iter().map(|claims| (claims.len(), supported(claims))).collect()
    }
}

/// Responses about Ada Quill with her article.
fn of_ada(article: &str, outputs: &[&str]) -> Said {
    let answers: Vec<(&str, &str)> = outputs.iter().map(|output| ("Ada Quill", *output)).collect();
    judged(&[("Ada Quill", article)], &answers)
}

#[test]
fn abbreviations_end_no_sentence() {
    let facts = [
        "worked for Warner Bros. Pictures in 1931.",
        "composed Op. 27 in 1901.",
        "was promoted by Adm. Halsey in 1943.",
        "joined Acme Corp. Holdings in 1931.",
        "lived on Fifth Ave. North.",
        "served under Maj. Gen. Lee.",
        "met Mme. Blanc in Paris.",
        "earned a Ph.D. Mathematics degree.",
    ];
    let article = facts.map(|fact| format!("Ada Quill {fact}")).join("\n");
    let answers = facts.map(|fact| format!("She {fact}"));
    let said = of_ada(&article, &answers.each_ref().map(String::as_str));
    assert_eq!(said.counts(), [(1, 1); 8], "{:?}", said.claims);
}

/// Neither repetition nor what is no fact raises the precision.
#[test]
fn clauses_are_judged_each_and_once() {
    let articles = [("Ada Quill", "Ada Quill sang.\nAda Quill was a poet.")];
    let said = judged_by(
        "clauses",
        &articles,
        &[
            ("Ada Quill", "She sang and danced."),
            (
                "Ada Quill",
                "She sang and danced. She sang. She sang. She was a person. Who was she?",
            ),
            ("Ada Quill", "She was a poet and painter. That is false."),
            ("Ada Quill", "I'm not sure, but she was a poet."),
            ("Ada Quill", "I do not know Ada Quill."),
        ],
    );
    assert_eq!(said.counts(), [(2, 1), (6, 3), (2, 0), (1, 1), (1, 0)], "{:?}", said.claims);
    let score =
        |answer: usize, field: &str| said.scores[answer][field].as_str().unwrap().to_owned();
    let precision: Vec<String> = (0..5).map(|answer| score(answer, "precision")).collect();
    assert_eq!(precision, ["0.5", "0.5", "0.0", "1.0", ""]);
    assert_eq!((score(1, "repeats"), score(1, "irrelevant")), ("2".to_owned(), "2".to_owned()));
    assert_eq!(score(4, "abstained"), "true");
}

#[test]
fn markup_is_no_claim_and_labels_stay_with_their_values() {
    let article = "Ada Quill was born in Oslo.\nAda Quill died in 1934.\nAda Quill's birthplace \
    is Oslo.\nAda Quill's death year is 1934.";
    let said = of_ada(
        article,
        &[
            "## Early life\n\nShe was born in Oslo.",
            "**Birthplace:** Oslo\n**Death year:** 1934",
            "- Birthplace: Oslo\n- Death year: 1934",
            "\u{2013} She was born in Oslo.\n> She died in 1934.\n(a) She was born in Oslo.",
            "| born | Oslo |\n|---|---|\n\n```\nprint('hi')\n```",
        ],
    );
    assert_eq!(said.counts(), [(1, 1), (2, 2), (2, 2), (3, 3), (0, 0)], "{:?}", said.claims);
}

#[test]
fn what_the_knowledge_denies_is_not_supported() {
    let article = "Ada Quill was not born in Paris.\nAda Quill never won a medal.\nAda Quill no \
    longer works at Acme.";
    let said = of_ada(article, &["She was born in Paris. She won a medal. She works at Acme."]);
    assert_eq!(said.counts(), [(3, 0)], "{:?}", said.claims);
    assert!(said.claims[0].iter().all(|(_, verdict)| verdict == "unsupported"));
}

#[test]
fn sentences_end_without_a_space_after_them() {
    let said = judged(
        &[
            (
                "Ada Quill",
                "Ada Quill was born in Oslo.\nAda Quill died in 1934.\nAda Quill is a physicist.",
            ),
            (
                "\u{739b}\u{4e3d}",
                "\u{739b}\u{4e3d}\u{51fa}\u{751f}\u{4e8e}\u{534e}\u{6c99}\u{3002}\n\u{739b}\u{4e3d}\u{83b7}\u{5f97}\u{4e86}\u{8bfa}\u{8d1d}\u{5c14}\u{5956}\u{3002}",
            ),
        ],
        &[
            ("Ada Quill", "She was born in Oslo.She died in 1934.She is a physicist."),
            (
                "\u{739b}\u{4e3d}",
                "\u{739b}\u{4e3d}\u{51fa}\u{751f}\u{4e8e}\u{534e}\u{6c99}\u{3002}\u{739b}\u{4e3d}\u{83b7}\u{5f97}\u{4e86}\u{8bfa}\u{8d1d}\u{5c14}\u{5956}\u{3002}",
            ),
        ],
    );
    assert_eq!(said.counts(), [(3, 3), (2, 2)], "{:?}", said.claims);
}

#[test]
fn refusals_abstain() {
    let refusals = [
        "I'm sorry, I have no record of Ada Quill. It is possible that the name is misspelled.",
        "Unfortunately, I could not find reliable information about Ada Quill.",
        "There is no information available about Ada Quill.",
        "I have no information about Ada Quill.",
        "I am not aware of anyone called Ada Quill.",
        "I'm sorry, but without more context I can't say. Please provide me with more context.",
        "As a language model, I cannot give that.",
    ];
    let said = of_ada("Ada Quill was born in Oslo.", &refusals);
    for (score, refusal) in said.scores.iter().zip(refusals) {
        assert_eq!(
            (&score["abstained"], &score["facts"]),
            (&json!("true"), &json!("0")),
            "{refusal}"
        );
    }
    let answers = [
        "I'm sorry for the confusion: Ada Quill was born in Oslo.",
        "Little is known about her youth, but she was born in Oslo.",
        "Unfortunately, she was not known for her poems.",
    ];
    let said = of_ada("Ada Quill was born in Oslo.", &answers);
    for (score, answer) in said.scores.iter().zip(answers) {
        assert_eq!(score["abstained"], "false", "{answer}");
    }
}

#[test]
fn subjects_that_do_not_come_first_are_named() {
    let born = |name: &str| format!("{name} was born in Oslo.");
    let [dell, ray, stone, reed] =
        ["Sam O'Dell", "Ana Lee-Ray", "J. R. Stone", "Sam Reed Jr."].map(born);
    let said = judged(
        &[
            (
                "Ada Quill",
                "Ada Quill won the Nobel Prize in 1903.\nAda Quill died in 1934.\nAda Quill was \
                born in Oslo.",
            ),
            ("Sam O'Dell", &dell),
            ("Ana Lee-Ray", &ray),
            ("J. R. Stone", &stone),
            ("Sam Reed Jr.", &reed),
        ],
        &[
            (
                "Ada Quill",
                "In 1903, she won the Nobel Prize. Dr. Quill died in 1934. Born in Oslo, she \
                died in 1934. \"She was born in Oslo.\" (She died in 1934.)",
            ),
            ("Sam O'Dell", "O'Dell was born in Oslo."),
            ("Ana Lee-Ray", "Lee-Ray was born in Oslo."),
            ("J. R. Stone", "J.R. Stone was born in Oslo."),
            ("Sam Reed Jr.", "Reed was born in Oslo. Sam Reed was born in Oslo."),
        ],
    );
    // No single sentence of the knowledge says both that she was born in Oslo and that she died in
    // 1934.
    assert_eq!(said.counts(), [(5, 4), (1, 1), (1, 1), (1, 1), (2, 2)], "{:?}", said.claims);
    assert!(said.claims[0].iter().all(|(text, _)| text.contains("Ada Quill")));
}

#[test]
fn topics_in_parentheses_are_found() {
    let said = judged(
        &[
            ("Michael Holm (painter)", "Michael Holm was born in Riga."),
            ("IU (singer)", "IU was born in Seoul."),
        ],
        &[
            (
                "Michael Holm (painter)",
                "Michael Holm was born in Riga. Holm was born in Riga. He was born in Riga.",
            ),
            ("IU (singer)", "IU was born in Seoul."),
        ],
    );
    assert_eq!(said.counts(), [(3, 3), (1, 1)], "{:?}", said.claims);
}

#[test]
fn a_common_word_is_no_protected_topic() {
    let bench = tempfile::tempdir().unwrap();
    let folder = bench.path();
    write(
        &folder.join("knowledge.jsonl"),
        &[json!({"title": "Ada Quill", "text": "Ada Quill was born in Oslo."})],
    );
    let prompt = |id: &str, topic: &str, split: &str| {
        let prompt = format!("Tell me about {topic}.");
        json!({"id": id, "prompt": prompt, "topic": topic, "domain": "people", "split": split})
    };
    let prompts = [
        prompt("a", "Ada Quill", "tune"),
        prompt("f", "Focus", "test"),
        prompt("m", "The May", "test"),
    ];
    write(&folder.join("prompts.jsonl"), &prompts);
    let answer = |sample: usize, town: &str| {
        json!({"id": format!("a#{sample}"), "prompt_id": "a", "sample": sample, "topic": "Ada Quill", "domain": "people",
            "split": "tune", "prompt": "Tell me about Ada Quill.", "finish": "stop",
            "output": format!("She was born in {town}. Her main focus was physics.")})
    };
    write(&folder.join("responses.jsonl"), &[answer(0, "Oslo"), answer(1, "Rome")]);
    let mine = "\n[stage.general]\nkind = \"mine\"\nresponses = { path = \"responses.jsonl\" \
    }\nclaims = \"claims\"\nverdicts = \"verdicts\"\nprompts = { path = \"prompts.jsonl\" }\n";
    let judging =
        RECIPE.split("[stage.scores]").next().unwrap().replace("\"contained\"", "\"exact\"");
    fs::write(folder.join("recipe.toml"), judging + mine).unwrap();
    let run = apeft(folder);
    let stages = run["stages"].as_array().unwrap();
    let general = stages.iter().find(|stage| stage["name"] == "general").unwrap();
    assert_eq!(
        rows(&Path::new(general["artifact"].as_str().unwrap()).join("pairs.jsonl")).len(),
        1
    );
}
