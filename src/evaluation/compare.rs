//! Comparison of arms: means over seeds, and differences from a baseline on the same prompts.

use std::collections::BTreeMap;

use crate::rows::{Cell, MeasureName};

use super::{
    Scores,
    arms::arms,
    average::contrasts,
    caution::cautions,
    comparison::{ComparedArm, Comparison, ComparisonRow, Question, ScoredCell},
    comparison_error::ComparisonError,
    domain_set::{DomainSet, distinct, domain_sets},
    holm,
    paired::{Contrast, PairedCells},
    question::{Baseline, check_question},
    warning::warnings,
};

/// Compares cells: arms by domain and measure, with differences from a baseline. If a stage has
/// several arms, the one that agrees with the compared arm's matrix values counts.
///
/// # Errors
/// Fails where the cells do not fit together, or a requested one is missing.
pub fn compare(scored: &[ScoredCell], question: &Question) -> Result<Comparison, ComparisonError> {
    let first = &scored.first().ok_or(ComparisonError::Nothing)?.scores;
    // Before names are compared: scores of other settings are wrong whatever they are called.
    check_scores(scored)?;
    let cells: Vec<&Cell> = scored.iter().map(|one| &one.cell).collect();
    if let Some(error) = check_question(&cells, question).into_iter().next() {
        return Err(error);
    }
    let baseline = question.baseline.as_deref().map(|name| Baseline::new(name, &cells));
    let (mut arms_found, mut by_arm) = (Vec::new(), Vec::new());
    for (name, members) in arms(cells) {
        let contrast = contrast(name, &members, scored, baseline.as_ref())?;
        arms_found.push(arm(&contrast));
        by_arm.push(contrast);
    }
    let sets = sets(scored);
    // Averages make pairs of their own: their baseline is another value, not the arms' baseline.
    let averaged = match &question.average {
        Some(average) => contrasts(average, scored)?,
        None => Vec::new(),
    };
    let mut comparison = Comparison {
        settings: first.settings,
        in_domain: first.in_domain.clone(),
        baseline: question.baseline.clone(),
        arms: arms_found,
        rows: rows(&by_arm, &sets)?,
        average: question.average.clone(),
        averages: rows(&averaged, &sets)?,
        warnings: Vec::new(),
        cautions: Vec::new(),
    };
    comparison.cautions = cautions(&comparison, &by_arm, &averaged, scored);
    for rows in [&comparison.rows, &comparison.averages] {
        comparison.warnings.extend(warnings(rows, question.tolerance));
    }
    Ok(comparison)
}

/// Checks that all cells were scored with the same parameters.
fn check_scores(scored: &[ScoredCell]) -> Result<(), ComparisonError> {
    let Scores { settings, in_domain, .. } = &scored[0].scores;
    let other = scored
        .iter()
        .find(|other| (&other.scores.settings, &other.scores.in_domain) != (settings, in_domain));
    match other {
        Some(other) => {
            Err(ComparisonError::ScoreSettings(scored[0].cell.to_string(), other.cell.to_string()))
        }
        None => Ok(()),
    }
}

/// An arm, cell by cell, against its baseline.
fn contrast<'a>(
    arm: String,
    members: &[usize],
    scored: &'a [ScoredCell],
    baseline: Option<&Baseline<'_>>,
) -> Result<Contrast<'a>, ComparisonError> {
    let mut pairs = Vec::new();
    for (seed, member) in members.iter().enumerate() {
        let one = &scored[*member];
        let other = match baseline {
            Some(baseline) => baseline.of(&one.cell)?.map(|index| &scored[index]),
            None => None,
        };
        // Seeds are numbered by place: an arm and its baseline may lack different ones.
        pairs.push(PairedCells { seed, arm: 0, one, other });
    }
    let baseline = pairs[0].other.map(|other| other.cell.arm());
    Ok(Contrast { arm, baseline, pairs })
}

fn arm(contrast: &Contrast<'_>) -> ComparedArm {
    let cell = &contrast.pairs[0].one.cell;
    ComparedArm {
        name: contrast.arm.clone(),
        stage: cell.stage.clone(),
        cell: cell.values_by_name(),
        seeds: contrast.pairs.iter().filter_map(|pair| pair.one.cell.seed.clone()).collect(),
        baseline: contrast.baseline.clone(),
    }
}

/// The rows of all contrasts, with p-values corrected for many comparisons.
fn rows(
    contrasts: &[Contrast<'_>],
    sets: &[DomainSet],
) -> Result<Vec<ComparisonRow>, ComparisonError> {
    let mut rows = Vec::new();
    for contrast in contrasts {
        for set in sets {
            rows.extend(contrast.rows(set)?);
        }
    }
    // A family of tests is one question asked of many arms: the same domain and measure.
    let mut families: BTreeMap<(String, MeasureName), Vec<usize>> = BTreeMap::new();
    // Rows without a test do not count as one.
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.p.is_some()) {
        families.entry((row.domain.clone(), row.measure)).or_default().push(index);
    }
    for members in families.into_values() {
        let p_values: Vec<f64> = members.iter().filter_map(|member| rows[*member].p).collect();
        for (member, corrected) in members.into_iter().zip(holm(&p_values)) {
            rows[member].p_holm = Some(corrected);
        }
    }
    Ok(rows)
}

/// The domains of the tables: each alone, then out-of-domain, then all.
fn sets(scored: &[ScoredCell]) -> Vec<DomainSet> {
    let names = distinct(scored.iter().flat_map(|one| &one.answers).map(|answer| &*answer.domain));
    let mut sets = domain_sets(&names, scored[0].scores.in_domain.as_deref());
    sets.extend(DomainSet::all(&names));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evaluation::{
            AnswerScore, Average, answer::tests::SETTINGS, scores, scores::tests::answer,
        },
        rows::{ALL_DOMAINS, OUT_OF_DOMAIN},
    };

    fn from(baseline: &str) -> Question {
        Question { baseline: Some(baseline.to_owned()), average: None, tolerance: 0.1 }
    }

    fn cell(label: &str, supported: &[(&str, &str, usize)]) -> ScoredCell {
        let answers: Vec<AnswerScore> = supported
            .iter()
            .map(|(domain, topic, supported)| answer(domain, topic, 0, Some(*supported)))
            .collect();
        ScoredCell {
            cell: Cell::parse(label),
            scores: scores(&answers, SETTINGS, Some("people")).unwrap(),
            answers,
        }
    }

    fn row<'a>(comparison: &'a Comparison, arm: &str, domain: &str) -> &'a ComparisonRow {
        let of = |row: &&ComparisonRow| {
            row.arm == arm && row.domain == domain && row.measure == MeasureName::Precision
        };
        comparison.rows.iter().find(of).unwrap()
    }

    #[test]
    fn differences_are_taken_by_seed_and_prompt() {
        let cells = [
            cell(
                "before@seed=0",
                &[
                    ("people", "Ann", 0),
                    ("people", "Bo", 1),
                    ("countries", "Peru", 1),
                    ("elements", "tin", 2),
                ],
            ),
            cell(
                "before@seed=1",
                &[
                    ("people", "Ann", 1),
                    ("people", "Bo", 1),
                    ("countries", "Peru", 1),
                    ("elements", "tin", 2),
                ],
            ),
            cell(
                "after@algorithm=dpo,seed=0",
                &[
                    ("people", "Ann", 1),
                    ("people", "Bo", 2),
                    ("countries", "Peru", 1),
                    ("elements", "tin", 2),
                ],
            ),
            cell(
                "after@algorithm=dpo,seed=1",
                &[
                    ("people", "Ann", 2),
                    ("people", "Bo", 2),
                    ("people", "Cy", 0),
                    ("countries", "Peru", 2),
                    ("elements", "tin", 2),
                ],
            ),
        ];
        let comparison = compare(&cells, &from("before")).unwrap();
        assert_eq!(comparison.arms[1].name, "after@algorithm=dpo");
        assert_eq!(
            (comparison.arms[1].seeds.len(), comparison.arms[1].baseline.as_deref()),
            (2, Some("before"))
        );
        assert_eq!(comparison.arms[0].baseline, None);
        let people = row(&comparison, "after@algorithm=dpo", "people");
        assert_eq!((people.seeds, people.answers), (2, 5));
        assert!((people.mean - (0.75 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            (people.difference, people.difference_low, people.p),
            (Some(0.5), None, None),
            "the same everywhere: nothing says how it would vary"
        );
        assert_eq!(comparison.cautions.len(), 3, "{:?}", comparison.cautions);
        assert_eq!(
            comparison.cautions[2],
            "differences leave out 1 of 9 prompts, for which the baseline has no response"
        );
        let away = row(&comparison, "after@algorithm=dpo", OUT_OF_DOMAIN);
        assert_eq!((away.mean, away.difference), (0.875, Some(0.125)));
        assert_eq!(row(&comparison, "before", "people").difference, None);
        let text = serde_json::to_string(&comparison).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    }

    #[test]
    fn a_baseline_may_be_shared_or_have_arms_of_its_own() {
        let people = [("people", "Ann", 1)];
        let cells = [
            cell("before", &people),
            cell("after@p=general,seed=0", &people),
            cell("after@p=general,q=\"x,y\",seed=0", &people),
            cell("after@p=general+atomic,seed=0", &people),
        ];
        let shared = compare(&cells, &from("before")).unwrap();
        assert_eq!(shared.arms[2].cell["q"], "x,y");
        assert!(shared.arms[1..].iter().all(|arm| arm.baseline.as_deref() == Some("before")));
        let arm = compare(&cells, &from("after@p=general")).unwrap_err();
        assert!(
            arm.to_string()
                .starts_with("`before` has no cell to compare with in `after@p=general`"),
            "{arm}"
        );
        assert!(compare(&cells[1..], &from("after@p=general")).is_ok());
        let own =
            [cell("before@p=a", &people), cell("before@p=b", &people), cell("after@p=b", &people)];
        assert_eq!(
            compare(&own, &from("before")).unwrap().arms[2].baseline.as_deref(),
            Some("before@p=b")
        );
        let torn =
            [cell("before@p=a", &people), cell("before@p=b", &people), cell("after", &people)];
        assert!(matches!(
            compare(&torn, &from("before")),
            Err(ComparisonError::NoSingleBaseline { .. })
        ));
    }

    /// Two algorithms, two kinds of preferences and two seeds: by seed, the right facts of two
    /// about Ann and Cuba, and about Bo and Peru.
    fn grid() -> Vec<ScoredCell> {
        [
            ("dpo", "general", [[0, 1], [0, 0]]),
            ("dpo", "mixed", [[1, 2], [2, 1]]),
            ("kto", "general", [[1, 1], [1, 1]]),
            ("kto", "mixed", [[1, 2], [2, 1]]),
        ]
        .into_iter()
        .flat_map(|(algorithm, preferences, seeds)| {
            seeds.into_iter().enumerate().map(move |(seed, [ann, peru])| {
                let label =
                    format!("after@algorithm={algorithm},preferences={preferences},seed={seed}");
                let people = [("people", "Ann", ann), ("people", "Bo", peru)];
                let countries = [("countries", "Cuba", ann), ("countries", "Peru", peru)];
                cell(&label, &[people, countries].concat())
            })
        })
        .collect()
    }

    fn average(from: &[&str]) -> Question {
        let from = from.iter().map(|value| (*value).to_owned()).collect();
        Question {
            average: Some(Average { axis: "preferences".to_owned(), from, contrasts: Vec::new() }),
            ..Question::default()
        }
    }

    /// By hand: over both algorithms, Ann gains .25 in one seed and .75 in the other, Bo .5 and
    /// .25. Seeds and topics have the means .375 and .5, so that their mean squares are 2 * 2 *
    /// .0625^2 = .015625 each; the remainders are +-.1875, their mean square 4 * .1875^2 = .140625.
    /// The variance is at least the remainder's, .140625 / 4 = .1875^2, with one degree of freedom.
    #[test]
    fn values_are_averaged_over_all_arms_that_differ_in_nothing_else() {
        let nothing = [
            ("people", "Ann", 0),
            ("people", "Bo", 0),
            ("countries", "Cuba", 0),
            ("countries", "Peru", 0),
        ];
        let mut cells = vec![cell("before", &nothing)];
        cells.extend(grid());
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        let find = |domain: &str| {
            let of = |row: &&ComparisonRow| {
                row.domain == domain && row.measure == MeasureName::Precision
            };
            comparison.averages.iter().find(of).unwrap()
        };
        let people = find("people");
        assert_eq!(
            (people.arm.as_str(), people.baseline.as_deref()),
            ("preferences=mixed", Some("preferences=general"))
        );
        assert_eq!((people.arms, people.seeds, people.answers, people.mean), (2, 2, 8, 0.75));
        let reach = 12.706204736174694 * 0.1875;
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        assert!(
            near(people.difference, 0.4375) && near(people.difference_low, 0.4375 - reach),
            "{people:?}"
        );
        let p = 1.0 - 2.0 / std::f64::consts::PI * (0.4375_f64 / 0.1875).atan();
        assert!(near(people.p, p) && people.p_holm == people.p, "{people:?}");
        assert!(
            near(find(OUT_OF_DOMAIN).difference, 0.4375)
                && near(find(ALL_DOMAINS).difference, 0.4375)
        );
        // Numbers that are the same in all responses have no interval.
        let [caution] = &comparison.cautions[..] else { panic!("{:?}", comparison.cautions) };
        assert!(caution.starts_with("72 of 336 means have no interval"), "{caution}");
        assert!(comparison.averages.iter().all(|row| row.arm == "preferences=mixed"));
    }

    /// If one algorithm gains on Ann what it loses on Bo and the other the reverse, no choice of
    /// topics moves their average.
    #[test]
    fn arms_that_are_averaged_share_their_topics() {
        let topics = |ann, bo| [("people", "Ann", ann), ("people", "Bo", bo)];
        let cells = [
            cell("after@algorithm=dpo,preferences=general", &topics(1, 1)),
            cell("after@algorithm=dpo,preferences=mixed", &topics(2, 0)),
            cell("after@algorithm=kto,preferences=general", &topics(1, 1)),
            cell("after@algorithm=kto,preferences=mixed", &topics(0, 2)),
        ];
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        let row =
            comparison.averages.iter().find(|row| row.measure == MeasureName::Precision).unwrap();
        assert_eq!(
            (row.difference, row.difference_low, row.difference_high),
            (Some(0.0), Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn wrong_averages_are_told() {
        let told = |question: &Question| compare(&grid(), question).unwrap_err().to_string();
        assert_eq!(
            told(&average(&["generl"])),
            "`average_baselines` names `generl`, but the values of `preferences` are: general, \
            mixed"
        );
        let axis = Average { axis: "prefs".to_owned(), from: Vec::new(), contrasts: Vec::new() };
        assert_eq!(
            told(&Question { average: Some(axis), ..Question::default() }),
            "`average_over` is `prefs`, but the matrix variables of the scores are: algorithm, \
            preferences"
        );
        let only: Vec<ScoredCell> = grid()
            .into_iter()
            .filter(|one| one.cell.value("preferences") == Some("general"))
            .collect();
        assert_eq!(
            compare(&only, &average(&["general"])),
            Err(ComparisonError::NothingToAverage("preferences".to_owned()))
        );
    }

    /// An arm that lost a seed, and with it a cell of the averages.
    #[test]
    fn what_is_missing_is_counted() {
        let all = grid();
        let cells: Vec<ScoredCell> = all
            .into_iter()
            .filter(|one| one.cell.to_string() != "after@algorithm=kto,preferences=general,seed=1")
            .collect();
        let comparison = compare(&cells, &average(&["general"])).unwrap();
        expect_test::expect![[r#"
            104 of 280 means have no interval: they come from one topic, from a domain that only one of several seeds has, or from values that are the same in all topics, for which an interval of zero width would claim certainty (people, countries, out-of-domain, all-domains)
            56 of 56 differences have neither interval nor p-value: they come from one topic, from a domain that only one of several seeds has, or are the same in all topics and seeds (people, countries, out-of-domain, all-domains)
            56 of 280 means leave out seeds without a counted response, or seeds that one of their arms lacks (precision, deduplicated, f1_at_k, facts, supported and 9 more)
            1 of 4 arms lack seeds that others have (after@algorithm=kto,preferences=general: 1 of 2)
            averages over preferences leave out 1 of 7 cells: no cell with the baseline value matches them in all other variables"#]].assert_eq(&comparison.cautions.join("\n"));
        let one_topic =
            [cell("before", &[("people", "Ann", 1)]), cell("after", &[("people", "Ann", 2)])];
        let comparison = compare(&one_topic, &from("before")).unwrap();
        expect_test::expect![[r#"
            28 of 28 means have no interval: they come from one topic, from a domain that only one of several seeds has, or from values that are the same in all topics, for which an interval of zero width would claim certainty (people)
            14 of 14 differences have neither interval nor p-value: they come from one topic, from a domain that only one of several seeds has, or are the same in all topics and seeds (people)"#]].assert_eq(&comparison.cautions.join("\n"));
        assert!(
            comparison
                .rows
                .iter()
                .all(|row| row.low.is_none() && row.difference_low.is_none() && row.p.is_none())
        );
    }

    /// Of three arms compared, the least probable difference counts three times.
    #[test]
    fn many_arms_are_corrected_for() {
        let comparison =
            compare(&grid(), &from("after@algorithm=dpo,preferences=general")).unwrap();
        let rows = comparison
            .rows
            .iter()
            .filter(|row| row.domain == ALL_DOMAINS && row.measure == MeasureName::Precision);
        let mut found: Vec<(f64, f64)> =
            rows.filter_map(|row| Some((row.p?, row.p_holm?))).collect();
        found.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_eq!(found.len(), 3);
        assert!(
            (found[0].1 - (3.0 * found[0].0).min(1.0)).abs() < 1e-12 && found[0].1 < 1.0,
            "{found:?}"
        );
    }

    #[test]
    fn wrong_calls_are_told() {
        let people = [("people", "Ann", 1)];
        let cells = [cell("before", &people), cell("after", &[("people", "Bo", 1)])];
        assert_eq!(
            compare(&cells, &from("befor")).unwrap_err().to_string(),
            "`baseline` is `befor`, but the stages and arms are: before, after"
        );
        assert_eq!(
            compare(&cells, &from("before")).unwrap_err(),
            ComparisonError::OtherPrompts("after".to_owned(), "before".to_owned())
        );
        assert_eq!(
            compare(&[cells[0].clone(), cells[0].clone()], &Question::default()).unwrap_err(),
            ComparisonError::Twice("before".to_owned())
        );
        let mut other = cells[0].clone();
        other.cell = Cell::of_stage("x");
        other.scores.settings.k = 7;
        assert!(matches!(
            compare(&[cells[0].clone(), other], &Question::default()),
            Err(ComparisonError::ScoreSettings(..))
        ));
        assert_eq!(compare(&[], &Question::default()), Err(ComparisonError::Nothing));
    }
}
