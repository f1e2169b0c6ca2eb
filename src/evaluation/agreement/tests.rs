//! Agreement of hand-written labels, claims and verdicts, worked out by hand, and the coverage of
//! the intervals.

use super::*;
use crate::{
    evaluation::interval::Estimate,
    rows::{Claim, ClaimKind, Evidence, FactLabel, Response, Verdict},
    seed::Seed,
};

const SETTINGS: AgreementSettings =
    AgreementSettings { irrelevant: IrrelevantFacts::Dropped, resamples: 200 };

fn labelled(rows: &[&str]) -> Vec<AnnotatedResponse> {
    let rows = rows.iter().map(|row| ("M".to_owned(), serde_json::from_str(row).unwrap()));
    annotated_responses(rows).unwrap()
}

/// A sentence with facts written `label:text`.
fn sentence(facts: &[&str]) -> String {
    let facts = facts.iter().map(|fact| {
        let (label, text) = fact.split_once(':').unwrap();
        format!(r#"{{"text":"{text}","label":"{label}"}}"#)
    });
    let facts = facts.collect::<Vec<_>>().join(",");
    format!(r#"{{"text":"s","is-relevant":true,"human-atomic-facts":[{facts}]}}"#)
}

fn response(topic: &str, category: &str, sentences: &[&[&str]]) -> String {
    let sentences: Vec<String> = sentences.iter().map(|facts| sentence(facts)).collect();
    let sentences = sentences.join(",");
    format!(
        r#"{{"output":"Text on {topic}.","topic":"{topic}","cat":["{category}"],
        "annotations":[{sentences}]}}"#
    )
}

fn claim(id: &str, response: &str, text: &str) -> Claim {
    Claim { id: id.into(), response_id: response.into(), text: text.into(), ..Claim::default() }
}

fn verdict(id: &str, letter: char, probability: f64) -> Verdict {
    let verdict = match letter {
        'S' => FactLabel::Supported,
        'N' => FactLabel::Unsupported,
        _ => FactLabel::Irrelevant,
    };
    Verdict::new(id.into(), verdict, probability, vec![Evidence::new("T", "A passage.")])
}

fn found(
    labelled: &[AnnotatedResponse],
    claims: &[Claim],
    verdicts: Option<&[Verdict]>,
) -> AgreementTables {
    let tool = ToolOutput { claims, verdicts, responses: &[] };
    agreement(labelled, &tool, SETTINGS, &Seed::root(0)).unwrap()
}

fn value(tables: &AgreementTables, group: &str, name: AgreementMeasureName) -> f64 {
    let row = tables.agreement.row(group, name);
    row.unwrap_or_else(|| panic!("{group} has no {name:?}")).value
}

/// Four facts of Ann (S, S, NS, IR), two of Bo (NS, S). Verdicts: S .9, N .4, S .6, S .8, N .1,
/// S .7. Of the five facts that count, three are right: S on S twice, N on NS once.
#[test]
fn verdicts_on_the_labelled_facts_are_those_worked_out_by_hand() {
    let labels = labelled(&[
        &response("Ann", "rare", &[&["S:a", "S:b", "NS:c"], &["IR:d"]]),
        &response("Bo", "freq", &[&["NS:e", "S:f"]]),
    ]);
    let facts = labels.iter().flat_map(|response| {
        response.facts.iter().map(|fact| claim(fact.id.as_str(), response.id.as_str(), &fact.text))
    });
    let claims: Vec<Claim> = facts.collect();
    let given = [('S', 0.9), ('N', 0.4), ('S', 0.6), ('S', 0.8), ('N', 0.1), ('S', 0.7)];
    let verdicts: Vec<Verdict> = claims
        .iter()
        .zip(given)
        .map(|(claim, (letter, probability))| verdict(claim.id.as_str(), letter, probability))
        .collect();
    let tables = found(&labels, &claims, Some(&verdicts));
    assert_eq!(tables.agreement.unit, ComparedUnit::Facts);
    use AgreementMeasureName as Name;
    let all = |name| value(&tables, "all", name);
    assert_eq!(all(Name::Accuracy), 0.6);
    assert!((all(Name::BalancedAccuracy) - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12);
    // Of six pairs of a supported and an unsupported fact, .4 against .6 is the only one turned
    // round.
    assert!((all(Name::Auroc) - 5.0 / 6.0).abs() < 1e-12);
    // Ann: 2/3 by both; Bo: 1/2 by both.
    assert_eq!((all(Name::AbsoluteError), all(Name::Pearson)), (0.0, 1.0));
    assert!((all(Name::HumanPrecision) - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12);
    // Mean probabilities 1.9 / 3 and .4.
    assert!((all(Name::ProbabilityError) - (0.1 / 3.0 + 0.1) / 2.0).abs() < 1e-12);
    assert_eq!(all(Name::MixedSentences), 1.0);
    assert_eq!(all(Name::FactsPerResponse), 3.0);
    assert_eq!(value(&tables, "rare", Name::Accuracy), 1.0 / 3.0);
    let row = tables.agreement.row("all", Name::Accuracy).unwrap();
    assert_eq!((row.count, row.always_true), (5, Some(0.6)));
    let always_true = |name| tables.agreement.row("all", name).unwrap().always_true.unwrap();
    assert_eq!((always_true(Name::BalancedAccuracy), always_true(Name::Auroc)), (0.5, 0.5));
    assert!((always_true(Name::AbsoluteError) - (1.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12);
    assert!((always_true(Name::CalibrationError) - 0.4).abs() < 1e-12);
    let counts = tables.agreement.confusion.iter();
    let counts: Vec<[usize; 3]> =
        counts.map(|row| [row.supported, row.unsupported, row.irrelevant]).collect();
    assert_eq!(counts, [[2, 1, 0], [1, 1, 0], [1, 0, 0]]);
    let wrong = tables.agreement.disagreements.iter().map(|one| one.claim.claim.as_str());
    assert_eq!(wrong.collect::<Vec<_>>(), ["c", "b"]);
    assert_eq!(tables.agreement.disagreements[0].evidence[0].text, "A passage.");
}

#[test]
fn irrelevant_verdicts_do_not_count_as_support() {
    let labels = labelled(&[r#"{"claim_id":"r#0/0","label":"S"}"#]);
    let tables = found(&labels, &[claim("r#0/0", "r#0", "x")], Some(&[verdict("r#0/0", 'I', 0.0)]));
    assert_eq!(value(&tables, "all", AgreementMeasureName::Accuracy), 0.0);
    assert_eq!(tables.responses[0].precision, None, "as in scores, it is no fact");
    assert_eq!(tables.claims[0].fact, "x");
}

/// Three claims, one of them a heading and one a repeat, against three facts.
#[test]
fn extracted_claims_are_matched_one_to_one() {
    let labels = labelled(&[
        &response("Ann Lee", "rare", &[&["S:She sang in Oslo.", "NS:She wrote four books."]]),
        r#"{"topic":"Bo","output":"I do not know Bo.","annotations":null}"#,
        r#"{"topic":"Cy","output":"No idea.","annotations":null}"#,
    ]);
    let claims = [
        claim("1", "M/Ann Lee#0", "Ann Lee sang in Oslo."),
        claim("2", "M/Ann Lee#0", "Ann Lee danced in Rome."),
        Claim { kind: ClaimKind::Heading, ..claim("3", "M/Ann Lee#0", "She wrote four books") },
        Claim {
            duplicate_of: Some("1".into()),
            ..claim("4", "M/Ann Lee#0", "She sang in Oslo again.")
        },
        claim("5", "M/Cy#0", "No idea."),
        claim("6", "other#0", "Nobody labelled this."),
    ];
    let tables = found(&labels, &claims, None);
    assert_eq!(tables.agreement.unit, ComparedUnit::Claims);
    assert_eq!((tables.agreement.counts.unlabelled, tables.agreement.counts.compared), (1, 0));
    use AgreementMeasureName as Name;
    let all = |name| value(&tables, "all", name);
    assert_eq!((all(Name::ClaimPrecision), all(Name::ClaimRecall)), (0.5, 0.5));
    assert_eq!((all(Name::ClaimF1), all(Name::ClaimsPerResponse)), (0.5, 2.0));
    assert_eq!((all(Name::AbstentionsFound), all(Name::ResponsesKept)), (0.5, 1.0));
    assert!(tables.agreement.row("all", Name::Accuracy).is_none());

    let verdicts: Vec<Verdict> =
        claims.iter().map(|claim| verdict(claim.id.as_str(), 'S', 0.75)).collect();
    let tables = found(&labels, &claims, Some(&verdicts));
    assert_eq!(tables.claims.len(), 1);
    assert_eq!(tables.claims[0].fact, "She sang in Oslo.");
    let responses = &tables.responses[0];
    assert_eq!((responses.human_precision, responses.precision), (Some(0.5), Some(1.0)));
    assert_eq!((responses.claims_supported, responses.mean_probability), (2, Some(0.75)));
}

#[test]
fn responses_of_other_ids_are_found_by_their_text() {
    let labels = labelled(&[&response("Ann", "rare", &[&["S:She sang in Oslo."]])]);
    let claims = [claim("c", "mine#0", "She sang in Oslo.")];
    let tool = ToolOutput { claims: &claims, verdicts: None, responses: &[] };
    let error = agreement(&labels, &tool, SETTINGS, &Seed::root(0)).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "no claim belongs to a labelled response: the labels are of responses such as `M/Ann#0`, \
            the claims of responses such as `mine#0`"
        ),
        "{error}"
    );
    let response: Response = serde_json::from_str(
        r#"{"id":"mine#0","prompt_id":"mine","sample":0,"topic":"Ann","domain":"d","prompt":"?",
        "output":"Text on Ann. ","finish":"stop"}"#,
    )
    .unwrap();
    let tool = ToolOutput { responses: &[response], ..tool };
    let tables = agreement(&labels, &tool, SETTINGS, &Seed::root(0)).unwrap();
    assert_eq!(value(&tables, "all", AgreementMeasureName::ClaimF1), 1.0);
    let no_verdicts = ToolOutput { verdicts: Some(&[]), ..tool };
    let error = agreement(&labels, &no_verdicts, SETTINGS, &Seed::root(0)).unwrap_err();
    assert_eq!(error, AgreementError::NoVerdict("c".into()));
}

/// Two systems on the same topics; the tool has them in the other order.
#[test]
fn systems_are_ordered_by_people_and_by_the_tool() {
    let row = |system: &str, topic: &str, label: &str| {
        format!(
            r#"{{"system":"{system}","topic":"{topic}","claim":"x","label":"{label}",
            "claim_id":"{system}/{topic}#0/0"}}"#
        )
    };
    let (mut rows, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for topic in ["t", "u", "v"] {
        for (system, label, letter) in [("one", "NS", 'S'), ("two", "S", 'N')] {
            rows.push(row(system, topic, label));
            let id = format!("{system}/{topic}#0/0");
            claims.push(claim(&id, &format!("{system}/{topic}#0"), "x"));
            verdicts.push(verdict(&id, letter, 0.5));
        }
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let order = found(&labelled(&rows), &claims, Some(&verdicts)).agreement.order.unwrap();
    let names: Vec<&str> = order.systems.iter().map(|system| system.system.as_str()).collect();
    assert_eq!(names, ["two", "one"]);
    assert_eq!((order.kendall, order.is_same, order.share_same), (Some(-1.0), false, Some(0.0)));
    let turned: Vec<Verdict> = verdicts
        .iter()
        .map(|one| {
            let letter = if one.verdict == FactLabel::Supported { 'N' } else { 'S' };
            verdict(one.claim_id.as_str(), letter, 0.5)
        })
        .collect();
    let order = found(&labelled(&rows), &claims, Some(&turned)).agreement.order.unwrap();
    assert_eq!((order.kendall, order.is_same, order.share_same), (Some(1.0), true, Some(1.0)));
}

#[test]
fn groups_are_all_then_systems_then_categories_from_the_rarest_on() {
    let labels = labelled(&[
        &response("Ann", "very freq", &[&["S:a"]]),
        &response("Bo", "Asia", &[&["S:a"]]),
        &response("Cy", "very rare", &[&["NS:a"]]),
        &response("Di", "rare", &[&["NS:a"]]),
    ]);
    let claims = [claim("M/Ann#0/fact/0", "M/Ann#0", "a")];
    let tables = found(&labels, &claims, None);
    let groups: Vec<&str> = tables.agreement.groups().into_iter().map(|(_, group)| group).collect();
    assert_eq!(groups, ["all", "very rare", "rare", "very freq", "Asia"]);
    let single = tables.agreement.row("rare", AgreementMeasureName::HumanPrecision).unwrap();
    assert_eq!(single.estimate(), Estimate::bare(0.0), "one topic has no interval");
}

/// Facts of one topic are alike: a topic's share of right verdicts is drawn evenly from .4 to 1.
/// Intervals that took facts for independent would contain the mean of .7 in fewer than three in
/// four cases.
#[test]
fn intervals_over_topics_contain_the_truth() {
    for topics in [6, 20] {
        let simulations = 300;
        let mut contained = 0;
        for simulation in 0..simulations {
            let mut stream = Seed::root(simulation).split("coverage").stream();
            let (mut rows, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
            for topic in 0..topics {
                let share = 0.4 + 0.6 * stream.unit();
                for fact in 0..20 {
                    let (id, response) = (format!("{topic}#0/{fact}"), format!("{topic}#0"));
                    rows.push(format!(r#"{{"claim_id":"{id}","label":"S","topic":"t{topic}"}}"#));
                    let letter = if stream.unit() < share { 'S' } else { 'N' };
                    verdicts.push(verdict(&id, letter, 0.5));
                    claims.push(claim(&id, &response, "x"));
                }
            }
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let tool = ToolOutput { claims: &claims, verdicts: Some(&verdicts), responses: &[] };
            let settings = AgreementSettings { resamples: 100, ..SETTINGS };
            let tables =
                agreement(&labelled(&rows), &tool, settings, &Seed::root(simulation)).unwrap();
            let row = tables.agreement.row("all", AgreementMeasureName::Accuracy).unwrap();
            let [low, high] = row.estimate().interval().unwrap();
            contained += usize::from(low <= 0.7 && 0.7 <= high);
        }
        let share = contained as f64 / simulations as f64;
        println!("{topics} topics: {share}");
        assert!(share >= 0.92, "{topics} topics: {share}");
    }
}
