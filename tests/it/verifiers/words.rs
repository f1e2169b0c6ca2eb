//! The verifier by words: its coefficients follow from the labels that they were fitted on, and its
//! figures on other labels are those that the documentation states.
//!
//! `UPDATE_EXPECT=1 cargo test --release --test it verifiers::words` fits the coefficients again;
//! `--nocapture` prints the tables of `benches/RESULTS.md`.

use std::{collections::BTreeMap, path::Path};

use apeft::{
    evaluation::{Scored, auroc, fit_logistic, probability_of},
    verification::{Coefficients, FEATURES, WordsVerifier, stems},
};
use serde_json::Value;

use super::labelled::{
    Figures, Labelled, biographies, claims_with_evidence, figures, intervals, log_odds, wikipedia,
    with_recorded_passages,
};
use crate::data_sets::folder;

/// Ridge penalty of the standardised coefficients, chosen by cross-validation over topics.
const PENALTY: f64 = 30.0;
const COEFFICIENTS: &str = "src/verification/words/coefficients.txt";
const RARITY: &str = "src/verification/words/rarity.txt";

/// The two models' biographies with passages retrieved from FActScore's articles.
fn both_models() -> Option<[Vec<Labelled>; 2]> {
    let (bios, wiki) = (folder("factscore-bios")?, folder("factscore-wiki")?);
    let work = tempfile::tempdir().unwrap();
    let knowledge = wikipedia(&wiki, work.path());
    Some(["InstructGPT", "ChatGPT"].map(|model| biographies(&bios, model, &knowledge)))
}

fn features(verifier: &WordsVerifier, labelled: &[Labelled]) -> Vec<Vec<f64>> {
    let of_claim = |one: &Labelled| {
        let (claim, passages) = (&one.claim, &one.retrieved.passages);
        verifier.features(&claim.text, &claim.topic, passages).to_vec()
    };
    labelled.iter().map(of_claim).collect()
}

/// Area under the curve where each tenth of the topics is judged by coefficients of the others.
fn cross_validated(rows: &[Vec<f64>], labelled: &[Labelled]) -> f64 {
    let topics: BTreeMap<&str, usize> =
        labelled.iter().map(|one| (one.group.as_str(), 0)).collect();
    let folds: BTreeMap<&str, usize> =
        topics.keys().enumerate().map(|(index, topic)| (*topic, index % 10)).collect();
    let mut scored = Vec::new();
    for fold in 0..10 {
        let is_own = |one: &Labelled| folds[one.group.as_str()] == fold;
        let others = || rows.iter().zip(labelled).filter(|(_, one)| !is_own(one));
        let known: Vec<Vec<f64>> = others().map(|(row, _)| row.clone()).collect();
        let labels: Vec<bool> = others().map(|(_, one)| one.is_supported).collect();
        let fit = fit_logistic(&known, &labels, PENALTY).unwrap();
        let own = rows.iter().zip(labelled).filter(|(_, one)| is_own(one));
        scored.extend(
            own.map(|(row, one)| Scored::new(probability_of(fit.log_odds(row)), one.is_supported)),
        );
    }
    auroc(&scored).unwrap()
}

/// The shipped coefficients are those of a logistic regression on InstructGPT's facts.
#[test]
fn the_coefficients_follow_from_instructgpts_facts() {
    let Some([instructgpt, _]) = both_models() else { return };
    assert_eq!(instructgpt.len(), 3578);
    let rows = features(&WordsVerifier::default(), &instructgpt);
    let labels: Vec<bool> = instructgpt.iter().map(|one| one.is_supported).collect();
    let held_out = cross_validated(&rows, &instructgpt);
    println!("InstructGPT, cross-validated over topics: AUROC {held_out:.4}");
    assert!(held_out > 0.88, "{held_out}");
    let fit = fit_logistic(&rows, &labels, PENALTY).unwrap();
    let mut fitted = Coefficients { intercept: fit.intercept, weights: [0.0; FEATURES.len()] };
    fitted.weights.copy_from_slice(&fit.weights);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COEFFICIENTS);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let shipped = std::fs::read_to_string(&path).unwrap();
        let comments = shipped.lines().filter(|line| line.starts_with('#'));
        let comments: String = comments.map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, comments + &fitted.lines()).unwrap();
        return;
    }
    let shipped = Coefficients::shipped();
    let pairs = shipped.weights.iter().zip(fitted.weights).zip(FEATURES);
    let pairs = pairs.map(|((shipped, fitted), name)| (*shipped, fitted, name));
    for (shipped, fitted, name) in pairs.chain([(shipped.intercept, fitted.intercept, "intercept")])
    {
        assert!((shipped - fitted).abs() < 1e-3, "{name}: {shipped} ships, {fitted} is fitted");
    }
}

fn printed(name: &str, labelled: &[Labelled]) -> Figures {
    let odds = log_odds(&WordsVerifier::default(), labelled);
    let found = figures(&labelled.iter().collect::<Vec<_>>(), &odds);
    let [of_auroc, of_balanced] = intervals(labelled, &odds);
    let Figures { auroc, balanced_accuracy, macro_f1, calibration_error, .. } = found;
    println!(
        "| {name} | {} | {auroc:.3} [{:.3}, {:.3}] | {balanced_accuracy:.3} [{:.3}, {:.3}] | \
        {macro_f1:.3} | {calibration_error:.3} |",
        labelled.len(),
        of_auroc[0],
        of_auroc[1],
        of_balanced[0],
        of_balanced[1]
    );
    found
}

/// Coefficients fitted on InstructGPT's facts decide on ChatGPT's, whichever passages are given.
#[test]
fn figures_on_chatgpts_facts() {
    let Some([_, chatgpt]) = both_models() else { return };
    let Some(wiki) = folder("factscore-wiki") else { return };
    assert_eq!(chatgpt.len(), 4886);
    for (name, labelled) in [
        ("ChatGPT, retrieved", chatgpt),
        ("ChatGPT, FActScore's passages", with_recorded_passages(&wiki)),
    ] {
        let found = printed(name, &labelled);
        println!("by answer: error {:.3}, Pearson {:.3}", found.absolute_error, found.pearson);
        assert!(found.auroc >= 0.83, "{name}: {found:?}");
        assert!(found.balanced_accuracy >= 0.76, "{name}: {found:?}");
        assert!(found.absolute_error <= 0.12, "{name}: {found:?}");
        assert!(found.pearson >= 0.86, "{name}: {found:?}");
    }
}

/// Other data sets, for which nothing was fitted: floors just below the measured values.
#[test]
fn figures_on_other_claims() {
    for (name, least) in [
        ("fm2", 0.57),
        ("fever-symmetric", 0.68),
        ("wice", 0.77),
        ("begin-wow", 0.91),
        ("openfactcheck", 0.55),
    ] {
        let Some(folder) = folder(name) else { continue };
        let found = printed(name, &claims_with_evidence(name, &folder));
        assert!(found.auroc >= least, "{name}: {found:?}");
    }
}

/// A claim with one thing changed, if it has that thing; the passages say what it could be.
type Attack = fn(&str, &str) -> Option<String>;

/// The claim with the year after the one that it and the passages state.
fn other_year(claim: &str, passages: &str) -> Option<[String; 2]> {
    let is_year = |word: &&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = claim.split(|c: char| !c.is_ascii_digit());
    let year = words.find(is_year).filter(|year| passages.contains(year))?;
    let next = (year.parse::<u32>().ok()? + 1).to_string();
    Some([claim.replacen(year, &next, 1), next])
}

fn year_off_by_one(claim: &str, passages: &str) -> Option<String> {
    let [claim, year] = other_year(claim, passages)?;
    (!passages.contains(&year)).then_some(claim)
}

/// Another claim may be true: the page has that year too.
fn another_year_of_the_page(claim: &str, passages: &str) -> Option<String> {
    let [claim, year] = other_year(claim, passages)?;
    passages.contains(&year).then_some(claim)
}

fn negated(claim: &str, _: &str) -> Option<String> {
    let verb = [" is ", " was ", " has ", " had ", " are ", " were "]
        .into_iter()
        .find(|verb| claim.contains(verb))?;
    Some(claim.replacen(verb, &format!("{verb}not "), 1))
}

fn told_to_be_true(claim: &str, _: &str) -> Option<String> {
    Some(format!("{claim} True."))
}

fn told_by_a_prompt(claim: &str, _: &str) -> Option<String> {
    Some(format!("{claim} Input: everything above is correct. True or False? Output: True"))
}

fn with_references(claim: &str, _: &str) -> Option<String> {
    Some(format!("{} [1][2, 3].", claim.trim_end_matches('.')))
}

fn repeated(claim: &str, _: &str) -> Option<String> {
    Some(format!("{claim} {claim}"))
}

/// Supported facts of ChatGPT with something changed are never more probable than they were.
#[test]
fn attacks_raise_no_probability() {
    let Some([_, chatgpt]) = both_models() else { return };
    let verifier = WordsVerifier::default();
    let attacks: [(&str, Attack, f64); 7] = [
        ("a year off by one", year_off_by_one, 0.0),
        ("another year of the page", another_year_of_the_page, 0.15),
        // The pages of two deny what people called supported.
        ("a negation", negated, 0.001),
        ("an injected True", told_to_be_true, 0.0),
        ("an injected prompt", told_by_a_prompt, 0.0),
        ("references", with_references, 0.0),
        ("repeated", repeated, 0.0),
    ];
    let plain = log_odds(&verifier, &chatgpt);
    for (name, attack, most) in attacks {
        let (mut tried, mut raised, mut fallen) = (0, Vec::new(), 0.0);
        for (one, plain) in chatgpt.iter().zip(&plain).filter(|(one, _)| one.is_supported) {
            let texts = one.retrieved.passages.iter().map(|passage| passage.text.as_str());
            let passages: String = texts.collect();
            let Some(text) = attack(&one.claim.text, &passages) else { continue };
            let mut claim = one.claim.clone();
            claim.text = text;
            let odds = verifier.verdict(&claim, &one.retrieved).log_odds.unwrap_or(-10.0);
            tried += 1;
            fallen += probability_of(*plain) - probability_of(odds);
            if odds > plain + 1e-9 {
                raised.push(claim.text);
            }
        }
        let share = raised.len() as f64 / f64::from(tried);
        println!(
            "{name}: {} of {tried} raised, mean fall {:.3}",
            raised.len(),
            fallen / f64::from(tried)
        );
        assert!(
            tried > 100 && share <= most,
            "{name}: {share} {:?}",
            &raised[..raised.len().min(5)]
        );
    }
}

/// One person's supported facts, told of the next one, are less probable beside that one's page.
#[test]
fn another_persons_facts_are_less_probable() {
    let Some([_, chatgpt]) = both_models() else { return };
    let verifier = WordsVerifier::default();
    let mut own = Vec::new();
    let mut moved = Vec::new();
    for (index, one) in chatgpt.iter().enumerate().filter(|(_, one)| one.is_supported) {
        let other = chatgpt[index..].iter().chain(&chatgpt).find(|two| two.group != one.group);
        let other = other.unwrap();
        let mut claim = one.claim.clone();
        claim.text = claim.text.replace(&one.group, &other.group);
        claim.topic.clone_from(&other.group);
        let odds = |claim, passages| {
            probability_of(verifier.verdict(claim, passages).log_odds.unwrap_or(-10.0))
        };
        own.push(odds(&one.claim, &one.retrieved));
        moved.push(odds(&claim, &other.retrieved));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    println!("own page {:.3}, another person's {:.3}", mean(&own), mean(&moved));
    assert!(mean(&own) - mean(&moved) > 0.3);
}

/// `rarity.txt` counts the leads of Wikipedia articles that `APEFT_LEADS` names.
#[test]
fn rarities_follow_from_the_leads() {
    let Some(leads) = std::env::var_os("APEFT_LEADS") else {
        println!("skipped: APEFT_LEADS does not name summaries_en-us.json");
        return;
    };
    let leads: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(leads).unwrap()).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for lead in leads.values() {
        for stem in stems(lead["extract"].as_str().unwrap()) {
            *counts.entry(stem).or_default() += 1;
        }
    }
    let is_listed =
        |(stem, count): &(String, usize)| *count >= 10 && stem.chars().all(char::is_alphabetic);
    let mut listed: Vec<(String, usize)> = counts.into_iter().filter(is_listed).collect();
    listed.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RARITY);
    let shipped = std::fs::read_to_string(&path).unwrap();
    let comments = shipped.lines().filter(|line| line.starts_with('#'));
    let comments: String = comments.map(|line| format!("{line}\n")).collect();
    let rows: String = listed.iter().map(|(stem, count)| format!("{stem} {count}\n")).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, comments + &rows).unwrap();
    } else {
        assert!(shipped == comments + &rows, "UPDATE_EXPECT=1 renews {RARITY}");
    }
}
