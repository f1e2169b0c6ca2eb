//! 95 % intervals over topics by a cluster bootstrap: topics are drawn with replacement, each with
//! all its responses of all systems, and all measures are computed again. Their variance over the
//! draws, corrected for few topics, gives Student's t interval with a degree of freedom less than
//! there are topics (Cameron, Gelbach and Miller 2008).

use std::collections::BTreeMap;

use crate::{
    evaluation::interval::{Estimate, TestedEstimate, Variance},
    seed::Seed,
};

use super::{
    compared::ComparedResponse,
    measure::{AGREEMENT_MEASURES, AgreementMeasure, AgreementSection, Summary},
};

/// Draws in which a measure may be undefined, as a share; with more it has no interval.
const MOST_UNDEFINED: f64 = 0.1;

/// The responses of one topic.
pub(super) type Cluster<'a> = Vec<&'a ComparedResponse>;

/// Responses by topic; responses without topic are clusters of their own.
pub(super) fn clusters<'a>(
    responses: impl IntoIterator<Item = &'a ComparedResponse>,
) -> Vec<Cluster<'a>> {
    let mut topics: BTreeMap<(&str, &str), Cluster> = BTreeMap::new();
    for compared in responses {
        let response = &compared.response;
        let alone = if response.topic.is_empty() { response.response_id.as_str() } else { "" };
        topics.entry((&response.topic, alone)).or_default().push(compared);
    }
    topics.into_values().collect()
}

/// The draws of a bootstrap: for each the numbers of its topics.
pub(super) fn draws(seed: &Seed, topics: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    let seed = seed.split("bootstrap");
    (0..count).map(move |number| {
        let mut stream = seed.split(&number.to_string()).stream();
        (0..topics).map(|_| stream.below(topics)).collect()
    })
}

/// Mean and spread of a measure over the draws.
#[derive(Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Adds a value (Welford 1962).
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let step = value - self.mean;
        self.mean += step / self.count;
        self.squares += step * (value - self.mean);
    }
}

/// Every measure of [`AGREEMENT_MEASURES`] with its interval; none where nothing counts.
pub(super) fn estimates(
    clusters: &[Cluster<'_>],
    seed: &Seed,
    resamples: usize,
) -> Vec<Option<Estimate>> {
    let whole = Summary::of(clusters.iter().flatten().copied());
    let values: Vec<Option<f64>> =
        AGREEMENT_MEASURES.iter().map(|measure| (measure.value)(&whole)).collect();
    let mut spreads = vec![Spread::default(); AGREEMENT_MEASURES.len()];
    // From one topic nothing can be drawn but itself.
    let resamples = if clusters.len() > 1 { resamples } else { 0 };
    for drawn in draws(seed, clusters.len(), resamples) {
        let responses = drawn.iter().flat_map(|topic| &clusters[*topic]).copied();
        let summary = Summary::of(responses);
        for (measure, spread) in AGREEMENT_MEASURES.iter().zip(&mut spreads) {
            if let Some(value) = (measure.value)(&summary) {
                spread.add(value);
            }
        }
    }
    let alone: Vec<Summary> =
        clusters.iter().map(|cluster| Summary::of(cluster.iter().copied())).collect();
    let measures = AGREEMENT_MEASURES.iter().zip(values).zip(spreads);
    measures
        .map(|((measure, value), spread)| {
            let topics = alone.iter().filter(|topic| counts(measure, topic)).count();
            let least = (1.0 - MOST_UNDEFINED) * resamples as f64;
            let is_known = topics > 1 && spread.count > 1.0 && spread.count >= least;
            Some(interval(measure, value?, is_known.then_some(spread), topics))
        })
        .collect()
}

/// Whether a topic has something that the measure counts.
fn counts(measure: &AgreementMeasure, topic: &Summary) -> bool {
    // A single topic has no correlation, and often only one label.
    match measure.section {
        AgreementSection::Verdicts | AgreementSection::Responses => {
            topic.count(measure.section) > 0
        }
        _ => (measure.value)(topic).is_some(),
    }
}

fn interval(
    measure: &AgreementMeasure,
    value: f64,
    spread: Option<Spread>,
    topics: usize,
) -> Estimate {
    let freedom = topics as f64 - 1.0;
    // The variance of means of n drawn topics is too small by (n - 1) / n.
    let variance = spread.map(|spread| Variance {
        value: spread.squares / (spread.count - 1.0) * topics as f64 / freedom,
        freedom,
    });
    let found = TestedEstimate { topics, ..TestedEstimate::new(value, 1, variance) };
    if measure.least == 0.0 {
        return found.bounded(measure.most);
    }
    // Correlations reach below 0, and equal draws do not make them certain.
    let (least, most) = (measure.least, measure.most.unwrap_or(f64::INFINITY));
    match found.estimate.interval() {
        Some([low, high]) if low < high => {
            Estimate { mean: value, low: Some(low.max(least)), high: Some(high.min(most)) }
        }
        _ => Estimate::bare(value),
    }
}
