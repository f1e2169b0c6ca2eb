//! Effects of repeats, trivial facts, refusals and empty responses on scores: the figures of
//! `docs/explanation/scores.md`.

use std::collections::BTreeMap;

use apeft::{
    evaluation::{AnswerScore, MEASURES, ScoreSettings, answer_score, scores},
    facts::extract,
    knowledge::{Article, Knowledge, write},
    rows::{Finish, MeasureName, Response, Verdict},
    verification::{Matching, tallies, verify},
};

const SETTINGS: ScoreSettings = ScoreSettings { gamma: 10.0, k: 4, irrelevant_is_wrong: false };
const BEGINNING: &str = "## Repeats, trivial facts, refusals and empty responses";

/// Responses of the table, by its first column.
const ANSWERS: [(&str, &str); 5] = [
    ("three right facts and a wrong one", PLAIN),
    ("the same, one right fact stated six times more", ""),
    ("one trivial fact", "Marie Curie was a person."),
    ("a refusal", "I'm sorry, I do not know Marie Curie."),
    ("an empty response", ""),
];
const PLAIN: &str = "Marie Curie was born in Warsaw. She was born in 1867. Her field was \
physics. Marie Curie died in London.";

fn section() -> Vec<String> {
    let file = format!("{}/docs/explanation/scores.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().skip_while(|line| *line != BEGINNING).skip(1);
    lines.take_while(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn scored(case: &str, text: &str) -> AnswerScore {
    let repeated = format!("{PLAIN}{}", " She was born in Warsaw.".repeat(6));
    let output = if case.starts_with("the same") { &repeated } else { text };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("knowledge.db");
    let known = "Marie Curie was born in Warsaw. Marie Curie was born in 1867. Marie Curie's \
    field was physics. \
                 Marie Curie was a person. Marie Curie died in Passy.";
    write(&path, [Article::new("Marie Curie", known)]).unwrap();
    let knowledge = Knowledge::open(&path).unwrap();
    let response = Response {
        id: case.into(),
        prompt_id: case.to_owned(),
        sample: 0,
        topic: "Marie Curie".to_owned(),
        domain: "people".to_owned(),
        split: "test".to_owned(),
        prompt: "Tell me about Marie Curie.".into(),
        output: output.to_owned(),
        finish: Finish::Stop,
    };
    let claims = extract(&response.id, &response.topic, output);
    let verdicts: Vec<Verdict> =
        claims.iter().map(|claim| verify(claim, &knowledge, Matching::Exact).unwrap()).collect();
    let judged = tallies(std::slice::from_ref(&response), &claims, &verdicts).unwrap();
    answer_score(&response, &judged[0], SETTINGS)
}

fn all() -> BTreeMap<&'static str, AnswerScore> {
    ANSWERS.into_iter().map(|(case, text)| (case, scored(case, text))).collect()
}

#[test]
fn the_table_of_the_docs_is_what_texts_give() {
    let (section, scored) = (section(), all());
    let cells =
        |line: &String| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let table: Vec<Vec<String>> =
        section.iter().filter(|line| line.starts_with('|')).map(cells).collect();
    let measures: Vec<String> = table[0][2..]
        .iter()
        .map(|cell| cell.replace('`', ""))
        .filter(|cell| !cell.is_empty())
        .collect();
    assert_eq!((table.len(), measures.len()), (2 + ANSWERS.len(), 9), "{table:?}");
    for row in &table[2..] {
        for (name, stated) in measures.iter().zip(&row[2..]) {
            let measure = MEASURES.iter().find(|measure| measure.name.as_str() == *name).unwrap();
            let value = (measure.value)(&scored[row[1].as_str()]);
            let decimals = stated.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let found = value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"));
            assert_eq!(found, *stated, "{}, {name}", row[1]);
        }
    }
}

#[test]
fn repeats_raise_precision_and_factscore_and_nothing_that_counts_facts_once() {
    let scored = all();
    let [plain, again] = [ANSWERS[0].0, ANSWERS[1].0].map(|case| &scored[case]);
    assert!(again.precision > plain.precision && again.factscore > plain.factscore);
    assert_eq!((again.deduplicated, again.f1_at_k), (plain.deduplicated, plain.f1_at_k));
    assert_eq!((again.distinct_supported, again.distinct_unsupported), (3, 1));
    assert_eq!((plain.repeats, again.repeats), (0, 6));
}

#[test]
fn one_trivial_fact_is_perfectly_precise_and_worth_little() {
    let scored = all();
    let [plain, trivial] = [ANSWERS[0].0, ANSWERS[2].0].map(|case| &scored[case]);
    assert_eq!((trivial.precision, trivial.deduplicated), (Some(1.0), Some(1.0)));
    assert!(trivial.factscore < plain.factscore && trivial.f1_at_k < plain.f1_at_k);
}

#[test]
fn answers_without_facts_are_left_out_of_shares_and_count_as_nothing_elsewhere() {
    let scored = all();
    let mean = |answers: &[AnswerScore], name: MeasureName| {
        scores(answers, SETTINGS, None).unwrap().domains[0].measures[&name].mean
    };
    let plain = scored[ANSWERS[0].0].clone();
    for (silent, share) in
        [(ANSWERS[3].0, MeasureName::Abstained), (ANSWERS[4].0, MeasureName::Empty)]
    {
        let both = [plain.clone(), scored[silent].clone()];
        for kept in [MeasureName::Precision, MeasureName::Deduplicated, MeasureName::Factscore] {
            assert_eq!(mean(&both, kept), mean(&both[..1], kept), "{silent}, {kept}");
        }
        for halved in [
            MeasureName::F1AtK,
            MeasureName::Facts,
            MeasureName::Supported,
            MeasureName::Unsupported,
            MeasureName::Responding,
        ] {
            assert_eq!(mean(&both, halved), mean(&both[..1], halved) / 2.0, "{silent}, {halved}");
        }
        assert_eq!((mean(&both, share), mean(&both[..1], share)), (0.5, 0.0), "{silent}");
    }
}
