//! The figures behind a verdict, as a sentence.

use std::collections::BTreeMap;

use crate::rows::ShiftMeasureName;

use super::{
    diagnosis::{DomainVerdict, Matched, Rule},
    interval::Estimate,
};

/// Changes of precision from before tuning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changes {
    /// In the set of domains.
    pub(super) here: Option<Estimate>,
    /// In-domain.
    pub(super) in_domain: Option<Estimate>,
}

/// The figures behind a verdict.
pub(super) fn reason(
    matched: &Matched,
    changes: Changes,
    rule: &Rule,
    verdict: DomainVerdict,
) -> String {
    format!(
        "{}: at the {} shared positions, its KL divergence from the base model is {} nats per \
        token, {} ({}), and its \
         share of moved tokens {:.1} %, {} ({:.1} %); its precision changes by {}, the \
         in-domain one by {}. Less \
         than {:.0} % of the in-domain {} counts as little shift.",
        verdict.words(),
        matched.positions,
        nats(mean(&matched.here, ShiftMeasureName::Kl)),
        ratio(matched, ShiftMeasureName::Kl),
        nats(mean(&matched.in_domain, ShiftMeasureName::Kl)),
        100.0 * mean(&matched.here, ShiftMeasureName::Moved),
        ratio(matched, ShiftMeasureName::Moved),
        100.0 * mean(&matched.in_domain, ShiftMeasureName::Moved),
        points(changes.here),
        points(changes.in_domain),
        100.0 * rule.shift_threshold,
        if rule.shift_measure == ShiftMeasureName::Kl {
            "KL divergence"
        } else {
            "share of moved tokens"
        },
    )
}

fn mean(means: &BTreeMap<ShiftMeasureName, Estimate>, name: ShiftMeasureName) -> f64 {
    means.get(&name).map_or(f64::NAN, |estimate| estimate.mean)
}

/// A divergence; in a fixed number of digits it would seem to be 0 where it is small.
fn nats(value: f64) -> String {
    if value < 1e-3 { format!("{value:.1e}") } else { format!("{value:.4}") }
}

/// The set's shift as a share of the in-domain one.
fn ratio(matched: &Matched, name: ShiftMeasureName) -> String {
    let Some(ratio) = matched.ratio.get(&name) else {
        return "not comparable with the in-domain one".to_owned();
    };
    let interval = ratio
        .interval()
        .map_or(String::new(), |[low, high]| format!(" [{:.0}, {:.0}]", 100.0 * low, 100.0 * high));
    format!("{:.0} %{interval} of the in-domain one", 100.0 * ratio.mean)
}

/// A change of precision in percentage points.
fn points(change: Option<Estimate>) -> String {
    let Some(change) = change else { return "an unknown amount".to_owned() };
    let interval = change.interval().map_or(String::new(), |[low, high]| {
        format!(" [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high)
    });
    format!("{:+.1}{interval} points", 100.0 * change.mean)
}
