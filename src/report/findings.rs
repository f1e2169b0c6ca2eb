//! What a run found, in one sentence for each question, with figures and their intervals.

use std::{cmp::Ordering, collections::BTreeSet, iter};

use super::{
    arm_table::{find, interval, questioned, warned},
    results::Results,
    words::{listed, p_value},
};
use crate::{
    diagnostic::counted,
    evaluation::{
        AgreementMeasureName, Average, ComparedArm, Comparison, ComparisonRow, Diagnosis,
        DomainVerdict, Estimate, HumanAgreement, NamedContrast, Scores, holm,
    },
    rows::{ALL_DOMAINS, Cell, MeasureName, OUT_OF_DOMAIN},
};

/// Contrasts of averages that are said; the others are in the table.
const MOST_CONTRASTS: usize = 6;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFinding {
    /// What was asked.
    pub question: String,
    /// Answers, one sentence each.
    pub answers: Vec<String>,
}

/// The findings of all results.
pub fn findings(results: &Results<'_>) -> Vec<RunFinding> {
    let comparisons = results.comparisons.iter().flat_map(|(_, one)| of_comparison(one));
    let diagnoses = results.diagnoses.iter().filter_map(|(_, one)| of_diagnosis(one));
    let agreements = results.agreements.iter();
    let agreements = agreements.filter_map(|(stage, one)| of_agreement(stage.name(), one));
    comparisons.chain(diagnoses).chain(agreements).collect()
}

/// The finding of a run that compared nothing: the precision of what it scored.
pub(super) fn of_scores(scored: &[(&Cell, &Scores)]) -> Option<RunFinding> {
    const MOST: usize = 6;
    let mut answers: Vec<String> = Vec::new();
    for (cell, scores) in scored.iter().take(MOST) {
        let domains = scores.domains.iter().filter_map(|one| {
            let precision = one.measures.get(&MeasureName::Precision)?;
            Some(format!("{} {}", one.domain, percent(precision)))
        });
        answers.push(format!("{cell}: {}.", domains.collect::<Vec<_>>().join("; ")));
    }
    let more = scored.len().saturating_sub(MOST);
    if more > 0 {
        answers.push(format!("{} more are in the table of scores.", more));
    }
    let question = "How precise are the responses? (95 % intervals over topics)".to_owned();
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

fn of_comparison(comparison: &Comparison) -> Vec<RunFinding> {
    let average = comparison.average.as_ref();
    // What was asked for in advance comes first, and instead of the other contrasts.
    let named = average.and_then(|average| of_named_contrasts(comparison, average));
    let is_named = named.is_some();
    let others = average.filter(|_| !is_named);
    let others = others.and_then(|average| of_averages(comparison, average));
    named.into_iter().chain(of_arms(comparison)).chain(others).collect()
}

/// Which arm gains most over the baseline, in each domain that is asked about.
fn of_arms(comparison: &Comparison) -> Option<RunFinding> {
    let baseline = comparison.baseline.as_deref()?;
    let answers: Vec<String> = questioned(comparison)
        .into_iter()
        .filter_map(|domain| best_arm(comparison, domain))
        .collect();
    let mut compared: BTreeSet<&str> = BTreeSet::new();
    for domain in questioned(comparison) {
        compared.extend(gains(comparison, domain).into_iter().map(|row| row.arm.as_str()));
    }
    let question = match compared.first().filter(|_| compared.len() == 1) {
        Some(only) => {
            format!("Does {} gain precision over {baseline}?", named(comparison, only))
        }
        None => format!("Which arm gains most precision over {baseline}?"),
    };
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

/// The differences of precision of all arms in a domain.
fn gains<'a>(comparison: &'a Comparison, domain: &str) -> Vec<&'a ComparisonRow> {
    let arms = comparison.arms.iter();
    let rows = arms.filter_map(|arm| find(comparison, &arm.name, domain, MeasureName::Precision));
    rows.filter(|row| row.difference.is_some()).collect()
}

/// The row with the largest difference that no warning concerns; of equal ones the first.
pub(super) fn best_row<'a>(comparison: &'a Comparison, domain: &str) -> Option<&'a ComparisonRow> {
    let trusted = gains(comparison, domain)
        .into_iter()
        .filter(|row| warned(comparison, &row.arm, domain).is_none());
    trusted.fold(None, |best: Option<&ComparisonRow>, row| match best {
        Some(best) if best.difference >= row.difference => Some(best),
        _ => Some(row),
    })
}

fn best_arm(comparison: &Comparison, domain: &str) -> Option<String> {
    let all = gains(comparison, domain);
    all.first()?;
    let place = place(comparison, domain);
    let Some(best) = best_row(comparison, domain) else {
        return Some(format!("{place}: the report warns of how every arm gained."));
    };
    let is_clear = interval(best).is_some_and(|[low, high]| low > 0.0 || high < 0.0);
    let verb = match (best.difference?.partial_cmp(&0.0)?, all.len()) {
        (Ordering::Equal, _) => "neither gains nor loses",
        (_, 1) if !is_clear => "does not clearly differ",
        (Ordering::Greater, 1) => "gains",
        (Ordering::Greater, _) => "gains most",
        (Ordering::Less, 1) => "loses",
        (Ordering::Less, _) => "loses least",
    };
    let mut beside = Vec::new();
    if let Some((p, holm)) = best.p.zip(best.p_holm) {
        // The best of many is chosen after the fact.
        beside.push(match all.len() {
            1 => format!("p {}", p_value(p)),
            count => format!("p {}, corrected for {count} arms {}", p_value(p), p_value(holm)),
        });
    }
    let name = named(comparison, &best.arm);
    let mut text = format!("{place}: {name} {verb}, {}.", difference(best, beside)?);
    let suspect: Vec<String> = all
        .iter()
        .filter(|row| row.difference > best.difference)
        .filter_map(|row| {
            let way = warned(comparison, &row.arm, domain)?.way.words();
            let name = named(comparison, &row.arm);
            Some(format!("{name} ({:+.1}) by {way}", 100.0 * row.difference?))
        })
        .collect();
    if !suspect.is_empty() {
        text.push_str(&format!(" More precise, but suspect: {}.", listed(&suspect)));
    }
    Some(text)
}

/// An arm by its values, `dpo, general+atomic`; by its name where the stage tells arms apart.
fn named(comparison: &Comparison, arm: &str) -> String {
    let compared = comparison.arms.iter().filter(|arm| arm.baseline.is_some());
    let stages: BTreeSet<&str> = compared.map(|arm| arm.stage.as_str()).collect();
    short_name(arm, stages.len() > 1)
}

fn short_name(arm: &str, has_stages: bool) -> String {
    let cell = Cell::parse(arm);
    if has_stages || cell.values.is_empty() {
        return arm.to_owned();
    }
    cell.values.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

/// `In-domain (people)`, `Out-of-domain`.
fn place(comparison: &Comparison, domain: &str) -> String {
    if comparison.in_domain.as_deref() == Some(domain) {
        format!("In-domain ({domain})")
    } else if domain == OUT_OF_DOMAIN {
        "Out-of-domain".to_owned()
    } else if domain == ALL_DOMAINS {
        "Mean of all domains".to_owned()
    } else {
        domain.to_owned()
    }
}

/// `+5.9 points [+4.1, +7.7] (interval above 0; 5 seeds)`, with further remarks in the brackets.
fn difference(row: &ComparisonRow, beside: Vec<String>) -> Option<String> {
    let seeds = match row.seeds {
        1 => "1 seed, over topics alone".to_owned(),
        count => counted(count, "seed"),
    };
    let verdict = match interval(row) {
        Some([low, _]) if low > 0.0 => "interval above 0",
        Some([_, high]) if high < 0.0 => "interval below 0",
        Some(_) => "interval includes 0",
        None => "without an interval",
    };
    let remarks: Vec<String> = [verdict.to_owned(), seeds].into_iter().chain(beside).collect();
    Some(format!("{} ({})", points(row)?, remarks.join("; ")))
}

/// `+5.9 points [+4.1, +7.7]`.
fn points(row: &ComparisonRow) -> Option<String> {
    let mean = 100.0 * row.difference?;
    Some(match interval(row) {
        Some([low, high]) => {
            format!("{mean:+.1} points [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high)
        }
        None => format!("{mean:+.1} points"),
    })
}

/// The contrasts that were asked for in advance, with p of the first domain corrected for their
/// number: that of all domains, where there are several.
fn of_named_contrasts(comparison: &Comparison, average: &Average) -> Option<RunFinding> {
    let others = questioned(comparison).into_iter().filter(|domain| *domain != ALL_DOMAINS);
    let domains: Vec<&str> = iter::once(ALL_DOMAINS).chain(others).collect();
    let rows: Vec<(&NamedContrast, Vec<&ComparisonRow>)> = average
        .contrasts
        .iter()
        .map(|contrast| {
            let [arm, baseline] = [&contrast.arm, &contrast.baseline]
                .map(|value| format!("{}={value}", average.axis));
            let of = |domain: &&str| average_row(comparison, &arm, &baseline, domain);
            (contrast, domains.iter().filter_map(of).collect())
        })
        .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
        .collect();
    let tested: Option<Vec<f64>> = rows.iter().map(|(_, rows)| rows[0].p).collect();
    let tested = tested.unwrap_or_default();
    let corrected = holm(&tested);
    let answers = rows.iter().enumerate().filter_map(|(index, (contrast, rows))| {
        let p = tested.get(index).map(|p| match corrected.len() {
            1 => format!("p {}", p_value(*p)),
            count => format!(
                "p {}, corrected for {count} contrasts {}",
                p_value(*p),
                p_value(corrected[index])
            ),
        });
        let remarks = remarks(comparison, rows[0]).into_iter().chain(p).collect();
        let mut answer = format!("{contrast}{}: ", if index == 0 { " (primary)" } else { "" });
        answer.push_str(&format!(
            "{} {}",
            place(comparison, &rows[0].domain).to_lowercase(),
            difference(rows[0], remarks)?
        ));
        for row in &rows[1..] {
            let place = place(comparison, &row.domain).to_lowercase();
            answer.push_str(&format!("; {place} {}", points(row)?));
        }
        Some(answer + ".")
    });
    let question = format!(
        "What difference does {} make, all else equal? (difference of precision; asked for in \
        advance)",
        average.axis
    );
    let answers: Vec<String> = answers.collect();
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

/// The precision of an average beside another.
fn average_row<'a>(
    comparison: &'a Comparison,
    arm: &str,
    baseline: &str,
    domain: &str,
) -> Option<&'a ComparisonRow> {
    let of = |row: &&ComparisonRow| {
        row.arm == arm
            && row.baseline.as_deref() == Some(baseline)
            && row.domain == domain
            && row.measure == MeasureName::Precision
    };
    comparison.averages.iter().find(of)
}

/// On how many pairs of arms an average rests, and what is suspect about it.
fn remarks(comparison: &Comparison, row: &ComparisonRow) -> Vec<String> {
    let pairs = (row.arms > 1).then(|| format!("{} pairs of arms", row.arms));
    let suspect = warned(comparison, &row.arm, &row.domain);
    let suspect = suspect.filter(|one| Some(one.baseline.as_str()) == row.baseline.as_deref());
    let suspect = suspect.map(|one| format!("suspect: by {}", one.way.words()));
    pairs.into_iter().chain(suspect).collect()
}

/// What each value of the averaged variable gains over each baseline value.
fn of_averages(comparison: &Comparison, average: &Average) -> Option<RunFinding> {
    let mut contrasts: Vec<(&str, &str)> = Vec::new();
    for row in &comparison.averages {
        let contrast = (row.arm.as_str(), row.baseline.as_deref().unwrap_or_default());
        if !contrasts.contains(&contrast) {
            contrasts.push(contrast);
        }
    }
    let mut answers = Vec::new();
    // The last values of a recipe are mostly those that it asks about.
    for (arm, baseline) in contrasts.iter().rev().take(MOST_CONTRASTS) {
        let domains = questioned(comparison).into_iter().filter_map(|domain| {
            let row = average_row(comparison, arm, baseline, domain)?;
            let place = place(comparison, domain).to_lowercase();
            Some(format!("{place} {}", difference(row, remarks(comparison, row))?))
        });
        let domains: Vec<String> = domains.collect();
        if !domains.is_empty() {
            let [arm, baseline] = [arm, baseline].map(|name| value_of(name));
            answers.push(format!("{arm} over {baseline}: {}.", domains.join("; ")));
        }
    }
    let more = contrasts.len().saturating_sub(MOST_CONTRASTS);
    if more > 0 {
        answers.push(format!("{} more are in the table of averages.", counted(more, "contrast")));
    }
    let question = format!(
        "What difference does {} make, all else equal? (difference of precision)",
        average.axis
    );
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

/// The value in `variable=value`.
fn value_of(name: &str) -> &str {
    name.split_once('=').map_or(name, |(_, value)| value)
}

/// How many arms reach the other domains.
fn of_diagnosis(diagnosis: &Diagnosis) -> Option<RunFinding> {
    let mut counts: Vec<(DomainVerdict, Vec<&str>)> = Vec::new();
    let away = diagnosis.arms.iter().filter_map(|arm| {
        let outside = arm.domains.iter().find(|domain| domain.domain == OUT_OF_DOMAIN)?;
        Some((outside.away.as_ref()?.verdict, arm.name.as_str()))
    });
    for (verdict, arm) in away {
        match counts.iter_mut().find(|(known, _)| *known == verdict) {
            Some((_, arms)) => arms.push(arm),
            None => counts.push((verdict, vec![arm])),
        }
    }
    let names = counts.iter().flat_map(|(_, arms)| arms);
    let stages: BTreeSet<String> = names.map(|arm| Cell::parse(arm).stage).collect();
    let answers: Vec<String> = counts
        .iter()
        .map(|(verdict, arms)| {
            let names: Vec<String> =
                arms.iter().map(|arm| short_name(arm, stages.len() > 1)).collect();
            let names =
                if arms.len() <= 4 { format!(" ({})", names.join("; ")) } else { String::new() };
            format!("{}: {}{names}.", verdict.words(), counted(arms.len(), "arm"))
        })
        .collect();
    let question =
        "Does tuning reach the other domains? (mean over them; token shift and precision)";
    let question = question.to_owned();
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

fn of_agreement(stage: &str, agreement: &HumanAgreement) -> Option<RunFinding> {
    let said = [
        (AgreementMeasureName::Accuracy, "accuracy of verdicts"),
        (AgreementMeasureName::ClaimF1, "F1 of claims"),
        (AgreementMeasureName::AbsoluteError, "mean absolute error of precision"),
    ];
    let answers: Vec<String> = said
        .iter()
        .filter_map(|(name, words)| {
            let row = agreement.row("all", *name)?;
            let always = row.always_true.map(|value| {
                format!(" (a tool that calls everything supported: {:.1} %)", 100.0 * value)
            });
            Some(format!("{words} {}{}.", percent(&row.estimate()), always.unwrap_or_default()))
        })
        .collect();
    let question = format!("How far does {stage} find agreement with people?");
    (!answers.is_empty()).then_some(RunFinding { question, answers })
}

/// `71.2 % [68.0, 74.4]`.
fn percent(estimate: &Estimate) -> String {
    let mean = 100.0 * estimate.mean;
    match estimate.interval() {
        Some([low, high]) => format!("{mean:.1} % [{:.1}, {:.1}]", 100.0 * low, 100.0 * high),
        None => format!("{mean:.1} % (no interval)"),
    }
}

/// The arm whose answers are shown: the one that gains most out-of-domain, or in the last domain
/// that is asked about, and that no warning concerns in any domain.
pub(super) fn telling_arm(comparison: &Comparison) -> Option<&ComparedArm> {
    let domain = questioned(comparison).into_iter().next_back()?;
    let warned_anywhere = |arm: &str| comparison.warnings.iter().any(|warning| warning.arm == arm);
    let rows = gains(comparison, domain).into_iter().filter(|row| !warned_anywhere(&row.arm));
    let best = rows.fold(None, |best: Option<&ComparisonRow>, row| match best {
        Some(best) if best.difference >= row.difference => Some(best),
        _ => Some(row),
    })?;
    comparison.arms.iter().find(|arm| arm.name == best.arm)
}

#[cfg(test)]
mod tests {
    use super::{super::table::tests::comparison, *};
    use crate::evaluation::{SuspectGain, Warning};

    fn said(comparison: &Comparison) -> String {
        let found = of_comparison(comparison).into_iter();
        found
            .map(|RunFinding { question, answers }| format!("{question}\n{}\n", answers.join("\n")))
            .collect()
    }

    #[test]
    fn each_question_has_an_answer_with_its_interval() {
        let names = ["before", "after@preferences=general", "after@preferences=mixed"];
        let mut comparison = comparison(&names);
        expect_test::expect![[r#"
            Which arm gains most precision over before?
            In-domain (people): mixed gains most, +20.0 points [+5.0, +35.0] (interval above 0; 1 seed, over topics alone; p 0.010, corrected for 2 arms 0.020).
            Out-of-domain: mixed gains most, +20.0 points [+5.0, +35.0] (interval above 0; 1 seed, over topics alone; p 0.010, corrected for 2 arms 0.020).
            What difference does preferences make, all else equal? (difference of precision)
            mixed over general: in-domain (people) +10.0 points [+5.0, +15.0] (interval above 0; 1 seed, over topics alone; 2 pairs of arms).
        "#]]
        .assert_eq(&said(&comparison));
        let text = "by saying less".to_owned();
        comparison.warnings.push(Warning {
            arm: names[2].to_owned(),
            baseline: names[0].to_owned(),
            way: SuspectGain::SaysLess,
            domains: vec![OUT_OF_DOMAIN.to_owned()],
            text,
        });
        expect_test::expect![[r#"
            Which arm gains most precision over before?
            In-domain (people): mixed gains most, +20.0 points [+5.0, +35.0] (interval above 0; 1 seed, over topics alone; p 0.010, corrected for 2 arms 0.020).
            Out-of-domain: general gains most, +10.0 points [-5.0, +25.0] (interval includes 0; 1 seed, over topics alone; p 0.010, corrected for 2 arms 0.020). More precise, but suspect: mixed (+20.0) by saying less.
            What difference does preferences make, all else equal? (difference of precision)
            mixed over general: in-domain (people) +10.0 points [+5.0, +15.0] (interval above 0; 1 seed, over topics alone; 2 pairs of arms).
        "#]]
        .assert_eq(&said(&comparison));
        // A warning in one domain is enough not to show an arm's answers.
        assert_eq!(telling_arm(&comparison).unwrap().name, names[1]);
        let none = comparison.rows.iter_mut();
        none.for_each(|row| (row.difference_low, row.difference_high, row.p) = (None, None, None));
        let told = said(&comparison);
        assert!(told.contains("+10.0 points (without an interval"), "{told}");
    }

    #[test]
    fn contrasts_named_in_advance_come_first() {
        let mut comparison = comparison(&["before", "after@preferences=mixed"]);
        comparison.average.as_mut().unwrap().contrasts = ["mixed over general", "mixed over none"]
            .map(|text| NamedContrast::parse(text).unwrap())
            .to_vec();
        expect_test::expect![[r#"
            What difference does preferences make, all else equal? (difference of precision; asked for in advance)
            mixed over general (primary): in-domain (people) +10.0 points [+5.0, +15.0] (interval above 0; 1 seed, over topics alone; 2 pairs of arms; p 0.010).
            Does mixed gain precision over before?
            In-domain (people): mixed does not clearly differ, +10.0 points [-5.0, +25.0] (interval includes 0; 1 seed, over topics alone; p 0.010).
            Out-of-domain: mixed does not clearly differ, +10.0 points [-5.0, +25.0] (interval includes 0; 1 seed, over topics alone; p 0.010).
        "#]].assert_eq(&said(&comparison));
        for row in &mut comparison.rows {
            row.difference = row.difference.map(|_| 0.0);
        }
        let told = said(&comparison);
        assert!(told.contains("people): mixed neither gains nor loses, +0.0 points"), "{told}");
    }

    #[test]
    fn nothing_compared_is_nothing_found() {
        assert_eq!(of_comparison(&comparison(&["before"]))[0].answers.len(), 1);
        assert!(telling_arm(&comparison(&["before"])).is_none());
    }
}
