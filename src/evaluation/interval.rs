//! Means with 95 % intervals by the bootstrap: replicates are clusters, and topics within them (Efron and Tibshirani 1993).

use serde::{Deserialize, Serialize};

use crate::seed::{Seed, Stream};

/// How often the bootstrap draws.
pub const RESAMPLES: usize = 2000;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The 2.5th percentile of the resampled means.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// A sum over the answers (or prompts) of one topic and how many of them count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// The sum of the values.
    pub sum: f64,
    /// The number of values.
    pub count: f64,
}

/// One topic: a cell for each measure; where several arms are averaged, so for each arm in turn.
pub type TopicCells = Vec<Cell>;

/// What one seed gave: for each domain its topics.
#[derive(Clone, Debug, Default)]
pub struct Replicate {
    /// Topics by domain.
    pub domains: Vec<Vec<TopicCells>>,
}

impl Cell {
    /// Counts a value in.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// The mean of the values; none where there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// For each measure the mean over replicates of the mean over arms and domains of the mean over answers, with its interval.
/// The bootstrap draws replicates where there are several, and topics within each domain of each. None where nothing counts.
pub fn estimates(replicates: &[Replicate], measures: usize, seed: &Seed) -> Vec<Option<Estimate>> {
    bootstrap(measures, seed, |pick| statistic(replicates, measures, pick))
}

/// For each measure how two sets of domains, measured in the same replicates, compare: `compare` sees the mean of each over
/// the replicates. The bootstrap draws replicates for both together, and topics within each domain of each.
pub fn contrasts(
    pairs: &[[Replicate; 2]],
    measures: usize,
    compare: fn(f64, f64) -> Option<f64>,
    seed: &Seed,
) -> Vec<Option<Estimate>> {
    bootstrap(measures, seed, |pick| {
        let mut totals = [vec![Cell::default(); measures], vec![Cell::default(); measures]];
        for (replicate, _) in pick(Level::Replicates, pairs.len()) {
            for (totals, side) in totals.iter_mut().zip(&pairs[replicate]) {
                add_means(totals, &of_replicate(side, measures, pick));
            }
        }
        let [one, other] = &totals;
        one.iter().zip(other).map(|(one, other)| compare(one.mean()?, other.mean()?)).collect()
    })
}

/// What is taken of something: indices, each with the sign that its sums get.
pub(super) type Taken = Vec<(usize, f64)>;

/// Takes of so many.
pub(super) type Pick<'a> = &'a mut dyn FnMut(Level, usize) -> Taken;

/// Of what is taken.
pub(super) enum Level {
    /// The replicates.
    Replicates,
    /// The topics of one domain of one replicate.
    Topics,
}

/// Everything once, as it is.
pub(super) fn everything(_: Level, count: usize) -> Taken {
    (0..count).map(|index| (index, 1.0)).collect()
}

/// A statistic of each measure as it is, with the percentiles of what it is over resamples.
fn bootstrap(measures: usize, seed: &Seed, statistic: impl Fn(Pick<'_>) -> Vec<Option<f64>>) -> Vec<Option<Estimate>> {
    let means = statistic(&mut everything);
    let mut draws: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); measures];
    let mut stream = seed.stream();
    for _ in 0..RESAMPLES {
        let resampled = statistic(&mut |level, count| resample(level, count, &mut stream));
        for (draws, value) in draws.iter_mut().zip(resampled) {
            draws.extend(value);
        }
    }
    let estimate = |(mean, mut draws): (Option<f64>, Vec<f64>)| {
        draws.sort_by(f64::total_cmp);
        mean.map(|mean| Estimate { mean, low: quantile(&draws, 0.025), high: quantile(&draws, 0.975) })
    };
    means.into_iter().zip(draws).map(estimate).collect()
}

/// As many indices below `count`, drawn with replacement; a single replicate is always itself.
fn resample(level: Level, count: usize, stream: &mut Stream) -> Taken {
    match level {
        Level::Replicates if count == 1 => vec![(0, 1.0)],
        _ => (0..count).map(|_| (stream.below(count), 1.0)).collect(),
    }
}

/// For each measure the mean over what `pick` takes of the replicates of what each gives.
pub(super) fn statistic(replicates: &[Replicate], measures: usize, pick: Pick<'_>) -> Vec<Option<f64>> {
    let mut over_replicates = vec![Cell::default(); measures];
    for (replicate, _) in pick(Level::Replicates, replicates.len()) {
        add_means(&mut over_replicates, &of_replicate(&replicates[replicate], measures, pick));
    }
    over_replicates.iter().map(Cell::mean).collect()
}

/// For each measure the mean over arms of the mean over domains of the mean over answers, of what `pick` takes.
fn of_replicate(replicate: &Replicate, measures: usize, pick: Pick<'_>) -> Vec<Cell> {
    let columns = replicate.domains.iter().flatten().map(Vec::len).next().unwrap_or(measures);
    let mut over_domains = vec![Cell::default(); columns];
    for topics in &replicate.domains {
        let mut over_answers = vec![Cell::default(); columns];
        for (topic, sign) in pick(Level::Topics, topics.len()) {
            for (total, cell) in over_answers.iter_mut().zip(&topics[topic]) {
                total.sum += sign * cell.sum;
                total.count += cell.count;
            }
        }
        add_means(&mut over_domains, &over_answers);
    }
    let mut over_arms = vec![Cell::default(); measures];
    over_domains.chunks(measures).for_each(|arm| add_means(&mut over_arms, arm));
    over_arms
}

fn add_means(totals: &mut [Cell], cells: &[Cell]) {
    for (total, mean) in totals.iter_mut().zip(cells.iter().map(Cell::mean)) {
        mean.into_iter().for_each(|mean| total.add(mean));
    }
}

/// The quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len().saturating_sub(1)) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(values: &[f64]) -> Vec<TopicCells> {
        values.iter().map(|value| vec![Cell { sum: *value, count: 1.0 }]).collect()
    }

    #[test]
    fn a_mean_of_many_topics_has_its_normal_interval() {
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 2)).collect();
        let replicate = Replicate { domains: vec![topics(&values)] };
        let estimate = estimates(&[replicate], 1, &Seed::root(0))[0].unwrap();
        let half_width = 1.96 * 0.5 / 20.0;
        assert_eq!(estimate.mean, 0.5);
        assert!((estimate.low - (0.5 - half_width)).abs() < 0.006, "{estimate:?}");
        assert!((estimate.high - (0.5 + half_width)).abs() < 0.006, "{estimate:?}");
    }

    #[test]
    fn answers_of_one_topic_are_no_more_than_one_cluster() {
        let clustered = vec![vec![Cell { sum: 0.0, count: 100.0 }], vec![Cell { sum: 100.0, count: 100.0 }]];
        let estimate = estimates(&[Replicate { domains: vec![clustered] }], 1, &Seed::root(0))[0].unwrap();
        assert_eq!((estimate.mean, estimate.low, estimate.high), (0.5, 0.0, 1.0));
    }

    #[test]
    fn seeds_that_differ_widen_the_interval_and_domains_weigh_the_same() {
        let same = |value: f64| topics(&[value; 50]);
        let replicate = |one: f64, two: f64| Replicate { domains: vec![same(one), topics(&[two; 5])] };
        let estimate = estimates(&[replicate(0.0, 1.0), replicate(0.4, 1.0)], 1, &Seed::root(0))[0].unwrap();
        assert!((estimate.mean - 0.6).abs() < 1e-12);
        assert!((estimate.low - 0.5).abs() < 1e-12 && (estimate.high - 0.7).abs() < 1e-12, "{estimate:?}");
    }

    #[test]
    fn what_does_not_count_gives_nothing() {
        let none = Replicate { domains: vec![vec![vec![Cell::default()]]] };
        assert_eq!(estimates(&[none], 1, &Seed::root(0)), [None]);
        assert_eq!(estimates(&[Replicate::default()], 1, &Seed::root(0)), [None]);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
    }

    #[test]
    fn two_sets_are_compared_seed_by_seed() {
        let side = |value: f64| Replicate { domains: vec![topics(&[value; 4])] };
        let pairs = [[side(1.0), side(3.0)], [side(3.0), side(5.0)]];
        let apart = contrasts(&pairs, 1, |one, other| Some(other - one), &Seed::root(0))[0].unwrap();
        assert_eq!((apart.mean, apart.low, apart.high), (2.0, 2.0, 2.0), "what seeds have in common falls out");
        let ratio = contrasts(&pairs, 1, |one, other| Some(other / one), &Seed::root(0))[0].unwrap();
        assert_eq!((ratio.mean, ratio.low, ratio.high), (2.0, 5.0 / 3.0, 3.0));
        assert_eq!(contrasts(&pairs, 1, |_, _| None, &Seed::root(0)), [None]);
    }
}
