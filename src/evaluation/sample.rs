//! Means over seeds and topics as two crossed random factors, with their uncertainty.
//!
//! A mean is taken over responses, then seeds, then domains, then arms. It is linearised: each
//! topic in each seed moves it by a share `u`, its weight times its distance from its domain's
//! mean. The sums of `u` by seed and by topic give the variance of each factor; their common part,
//! the remainder of seeds and topics, is subtracted once. If every topic is in every seed with the
//! same number of responses, this is the classical variance (MS_seeds + MS_topics - MS_remainder) /
//! (S T), with Satterthwaite's degrees of freedom (Satterthwaite 1946; Searle, Casella and
//! McCulloch 1992); otherwise it is the two-way cluster-robust one (Cameron, Gelbach and Miller
//! 2011), corrected for few seeds and topics. It is never less than either factor's own, or the
//! remainder's: a factor without apparent variance does not lower it.

use std::collections::{BTreeMap, BTreeSet};

use super::interval::{TestedEstimate, TopicTotals, Total, Variance};

/// Where values of a sample belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleIndex {
    /// Number of the seed.
    pub seed: usize,
    /// Number of the arm.
    pub arm: usize,
    /// Number of the domain.
    pub domain: usize,
}

/// Values by seed, arm, domain and topic: a total for each measure. A topic of the same name in the
/// same domain is the same in all seeds and arms.
#[derive(Clone, Debug)]
pub struct Sample {
    measures: usize,
    /// By domain, the number of each topic.
    topics: Vec<BTreeMap<String, usize>>,
    rows: Vec<(usize, SampleIndex)>,
    /// For each row as many as there are measures.
    totals: Vec<Total>,
}

/// One arm in one domain, by one measure.
#[derive(Clone, Debug)]
struct DomainMean {
    /// By seed.
    totals: Vec<Total>,
    /// Mean over the seeds with values.
    mean: f64,
    /// Number of seeds with values.
    seeds: usize,
    /// Slope of the estimate in this mean.
    slope: f64,
}

impl DomainMean {
    /// The mean of the seeds' means; none without values.
    fn over_seeds(totals: Vec<Total>) -> Option<Self> {
        let mut over_seeds = Total::default();
        totals.iter().filter_map(Total::mean).for_each(|mean| over_seeds.add(mean));
        let (mean, seeds) = (over_seeds.mean()?, over_seeds.count as usize);
        Some(Self { mean, seeds, slope: 0.0, totals })
    }

    /// How far a seed moves the estimate, corrected for the few seeds that the mean is of; none
    /// for a seed without values.
    fn above(&self, seed: usize) -> Option<f64> {
        let mean = self.totals[seed].mean()?;
        let seeds = self.seeds as f64;
        Some(self.slope * (mean - self.mean) / seeds * (seeds / (seeds - 1.0)).sqrt())
    }
}

/// The means that the estimate depends on.
fn moving(groups: &[Vec<Option<DomainMean>>]) -> impl Iterator<Item = &DomainMean> {
    groups.iter().flatten().flatten().filter(|group| group.slope != 0.0)
}

/// Which of two means a domain belongs to.
type Side = fn(usize) -> usize;

/// A function of two means, with its slopes.
pub type Compare = fn([Option<f64>; 2]) -> Option<(f64, [f64; 2])>;

impl Sample {
    /// A sample of nothing.
    pub fn new(measures: usize) -> Self {
        Self { measures, topics: Vec::new(), rows: Vec::new(), totals: Vec::new() }
    }

    /// Adds the topics of one domain in one arm and seed.
    pub fn add<'a>(
        &mut self,
        place: SampleIndex,
        topics: impl IntoIterator<Item = (&'a str, TopicTotals)>,
    ) {
        if self.topics.len() <= place.domain {
            self.topics.resize(place.domain + 1, BTreeMap::new());
        }
        let known = &mut self.topics[place.domain];
        for (name, cells) in topics {
            let topic = known.get(name).copied().unwrap_or_else(|| {
                known.insert(name.to_owned(), known.len());
                known.len() - 1
            });
            self.rows.push((topic, place));
            self.totals.extend(cells.into_iter().take(self.measures));
        }
    }

    /// The mean of each measure; none where nothing counts.
    pub fn means(&self) -> Vec<Option<TestedEstimate>> {
        self.contrasts(|_| 0, |[all, _]| Some((all?, [1.0, 0.0])))
    }

    /// For each measure, `compare` applied to the mean of the domains on side 0 and of those on
    /// side 1.
    pub fn contrasts(&self, side: Side, compare: Compare) -> Vec<Option<TestedEstimate>> {
        // Sorted once for all measures: values of one topic must be neighbours.
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|row| (self.rows[*row].1.domain, self.rows[*row].0, self.rows[*row].1));
        (0..self.measures).map(|measure| self.contrast(measure, &order, side, compare)).collect()
    }

    fn contrast(
        &self,
        measure: usize,
        order: &[usize],
        side: Side,
        compare: Compare,
    ) -> Option<TestedEstimate> {
        let mut groups = self.groups(measure);
        let value = weigh(&mut groups, side, compare)?;
        // Only means that the estimate depends on say how sure it is.
        let moving: Vec<&DomainMean> = moving(&groups).collect();
        let seeds = (0..self.seeds())
            .filter(|seed| moving.iter().any(|group| group.totals[*seed].count > 0.0))
            .count();
        let fewest = moving.iter().map(|group| group.seeds).min().unwrap_or(0);
        let topics = self.by_topic(measure, order, &groups);
        let variance = match topics {
            // One seed: the interval is of that seed's own mean, over topics.
            Some(topics) if seeds == 1 => Some(topics.all),
            // A domain in a single seed leaves open how it varies over seeds.
            Some(topics) if fewest > 1 => Some(two_way(by_seed(&groups, fewest), topics)),
            _ => None,
        };
        let found = TestedEstimate {
            topics: self.topics(measure, &groups),
            ..TestedEstimate::new(value, fewest, variance)
        };
        // A value that is not a number must not reach a table as an empty field.
        Some(found).filter(|found| found.estimate.mean.is_finite())
    }

    fn seeds(&self) -> usize {
        self.rows.iter().map(|(_, place)| place.seed + 1).max().unwrap_or(0)
    }

    /// By arm and domain.
    fn groups(&self, measure: usize) -> Vec<Vec<Option<DomainMean>>> {
        let arms = self.rows.iter().map(|(_, place)| place.arm + 1).max().unwrap_or(0);
        let mut totals = vec![vec![vec![Total::default(); self.seeds()]; self.topics.len()]; arms];
        for (row, (_, SampleIndex { seed, arm, domain })) in self.rows.iter().enumerate() {
            let cell = self.totals[row * self.measures + measure];
            let total = &mut totals[*arm][*domain][*seed];
            total.sum += cell.sum;
            total.count += cell.count;
        }
        totals
            .into_iter()
            .map(|domains| domains.into_iter().map(DomainMean::over_seeds).collect())
            .collect()
    }

    /// The fewest topics of any domain in which the measure counts, times the number of these
    /// domains.
    fn topics(&self, measure: usize, groups: &[Vec<Option<DomainMean>>]) -> usize {
        let mut counted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (row, (topic, SampleIndex { arm, domain, .. })) in self.rows.iter().enumerate() {
            let moves = groups[*arm][*domain].as_ref().is_some_and(|group| group.slope != 0.0);
            if moves && self.totals[row * self.measures + measure].count > 0.0 {
                counted.entry(*domain).or_default().insert(*topic);
            }
        }
        counted.len() * counted.values().map(BTreeSet::len).min().unwrap_or(0)
    }

    /// Variance from topics; none if a domain has a single one.
    fn by_topic(
        &self,
        measure: usize,
        order: &[usize],
        groups: &[Vec<Option<DomainMean>>],
    ) -> Option<ByTopic> {
        let domains = order.chunk_by(|one, other| self.topic(*one).0 == self.topic(*other).0);
        let mut found =
            ByTopic { all: Variance { value: 0.0, freedom: 0.0 }, shared: 0.0, remainder: 0.0 };
        let mut spread = 0.0;
        for rows in domains {
            let (domain, _) = self.topic(rows[0]);
            let of_domain = groups.iter().filter_map(|arm| arm[domain].as_ref());
            let seeds = of_domain
                .filter(|group| group.slope != 0.0)
                .map(|group| group.seeds)
                .max()
                .unwrap_or(0);
            let mut tally = DomainTally { seeds: seeds as f64, ..DomainTally::default() };
            for rows in rows.chunk_by(|one, other| self.topic(*one) == self.topic(*other)) {
                tally.add(&self.shares(measure, rows, groups));
            }
            if tally.weight > 0.0 {
                let (of_domain, shared, remainder) = tally.variances()?;
                found.all.value += of_domain.value;
                spread += of_domain.value.powi(2) / of_domain.freedom;
                found.all.freedom = found.all.freedom.max(of_domain.freedom);
                found.shared += shared;
                found.remainder += remainder;
            }
        }
        if spread > 0.0 {
            found.all.freedom = found.all.value.powi(2) / spread;
        }
        (found.all.freedom > 0.0).then_some(found)
    }

    /// Domain and topic of a row.
    fn topic(&self, row: usize) -> (usize, usize) {
        let (topic, SampleIndex { domain, .. }) = self.rows[row];
        (domain, topic)
    }

    /// Values of one topic by seed, without seeds in which it does not count.
    fn shares(
        &self,
        measure: usize,
        rows: &[usize],
        groups: &[Vec<Option<DomainMean>>],
    ) -> Vec<TopicShare> {
        let mut shares = Vec::new();
        for rows in rows.chunk_by(|one, other| self.rows[*one].1.seed == self.rows[*other].1.seed) {
            let mut share = TopicShare::default();
            for row in rows {
                let (SampleIndex { seed, arm, domain }, cell) =
                    (self.rows[*row].1, self.totals[row * self.measures + measure]);
                let Some(group) = groups[arm][domain].as_ref().filter(|group| group.slope != 0.0)
                else {
                    continue;
                };
                let total = group.totals[seed];
                if cell.count > 0.0 {
                    // Each seed weighs the same, whatever number of responses counted in it.
                    let weight = 1.0 / (group.seeds as f64 * total.count);
                    share.weight += weight * cell.count;
                    share.above += group.slope * weight * (cell.sum - cell.count * group.mean);
                    share.above_seed +=
                        group.slope * weight * (cell.sum - cell.count * total.sum / total.count);
                }
            }
            if share.weight > 0.0 {
                shares.push(share);
            }
        }
        shares
    }
}

/// The means of both sides, compared; each group gets its slope.
fn weigh(groups: &mut [Vec<Option<DomainMean>>], side: Side, compare: Compare) -> Option<f64> {
    let mut means = [None, None];
    let mut weights = groups.iter().map(|arm| vec![0.0; arm.len()]).collect::<Vec<_>>();
    for (number, mean) in means.iter_mut().enumerate() {
        let domains: Vec<Vec<usize>> = groups
            .iter()
            .map(|arm| {
                (0..arm.len())
                    .filter(|domain| side(*domain) == number && arm[*domain].is_some())
                    .collect()
            })
            .collect();
        let arms = domains.iter().filter(|domains| !domains.is_empty()).count() as f64;
        for (arm, domains) in domains.iter().enumerate() {
            for domain in domains {
                // Domains weigh the same within an arm, arms the same among each other.
                weights[arm][*domain] = 1.0 / (arms * domains.len() as f64);
                let own = groups[arm][*domain].as_ref().map_or(0.0, |group| group.mean);
                *mean = Some(mean.unwrap_or(0.0) + weights[arm][*domain] * own);
            }
        }
    }
    let (value, slopes) = compare(means)?;
    for (arm, weights) in groups.iter_mut().zip(weights) {
        for (domain, (group, weight)) in arm.iter_mut().zip(weights).enumerate() {
            if let Some(group) = group {
                group.slope = slopes[side(domain)] * weight;
            }
        }
    }
    Some(value)
}

/// Variance from seeds: the spread of their means.
fn by_seed(groups: &[Vec<Option<DomainMean>>], fewest: usize) -> Variance {
    let groups: Vec<&DomainMean> = moving(groups).collect();
    let seeds = groups.iter().map(|group| group.totals.len()).max().unwrap_or(0);
    let mut value = 0.0;
    for seed in 0..seeds {
        let above: f64 = groups.iter().filter_map(|group| group.above(seed)).sum();
        value += above.powi(2);
    }
    Variance { value, freedom: fewest as f64 - 1.0 }
}

/// Variance from topics.
struct ByTopic {
    /// All variance between topics.
    all: Variance,
    /// The part that does not already vary between seeds with other topics.
    shared: f64,
    /// The remainder of seeds and topics in `shared`, which varies between seeds too.
    remainder: f64,
}

/// The variance of a mean over seeds and topics. Its degrees of freedom are those of the sum before
/// either factor's own is taken for it: where seeds seem not to vary, few of them do not show that
/// they do not.
fn two_way(seeds: Variance, ByTopic { all, shared, remainder }: ByTopic) -> Variance {
    // Both sums have the remainder in them; taken once, it may exceed them by chance.
    let sum = (seeds.value + shared - remainder).max(0.0);
    let spread = seeds.value.powi(2) / seeds.freedom
        + shared.powi(2) / all.freedom
        + remainder.powi(2) / (seeds.freedom * all.freedom);
    let least = seeds.freedom.min(all.freedom);
    // Satterthwaite's formula can fall below both factors' own, which would be wider than either.
    let freedom = if spread > 0.0 { (sum.powi(2) / spread).max(least) } else { least };
    Variance { value: sum.max(seeds.value).max(shared).max(remainder), freedom }
}

/// One topic in one seed.
#[derive(Clone, Copy, Debug, Default)]
struct TopicShare {
    /// Share of the responses.
    weight: f64,
    /// Its influence on the estimate.
    above: f64,
    /// The same, from its seed's own mean.
    above_seed: f64,
}

/// The topics of one domain.
#[derive(Clone, Debug, Default)]
struct DomainTally {
    /// Number of seeds with the domain.
    seeds: f64,
    /// The sums of the topics' weights, of their squares, and so on.
    weight: f64,
    powers: [f64; 4],
    /// The sums of squares that give [`ByTopic`].
    all: f64,
    shared: f64,
    remainder: f64,
}

impl DomainTally {
    fn add(&mut self, shares: &[TopicShare]) {
        let weight: f64 = shares.iter().map(|share| share.weight).sum();
        if weight <= 0.0 {
            return;
        }
        self.weight += weight;
        let mut power = weight;
        for total in &mut self.powers {
            power *= weight;
            *total += power;
        }
        let squares: f64 = shares.iter().map(|share| share.weight.powi(2)).sum();
        let above = shares.iter().map(|share| share.above).sum::<f64>().powi(2);
        // A topic in one seed alone varies with that seed; one in all of them, with the same
        // weight, varies apart from them.
        let alone = if self.seeds > 1.0 {
            self.seeds / (self.seeds - 1.0) * (squares / weight.powi(2) - 1.0 / self.seeds)
        } else {
            0.0
        };
        let apart = (1.0 - alone).clamp(0.0, 1.0);
        self.all += above;
        self.shared += apart * above;
        if shares.len() > 1 {
            let mean = shares.iter().map(|share| share.above_seed).sum::<f64>() / weight;
            let rest: f64 =
                shares.iter().map(|share| (share.above_seed - share.weight * mean).powi(2)).sum();
            let cubes: f64 = shares.iter().map(|share| share.weight.powi(3)).sum();
            let seen = squares - 2.0 * cubes / weight + (squares / weight).powi(2);
            self.remainder += apart * rest * squares / seen;
        }
    }

    /// All, shared and remainder, corrected for the mean's being that of the same topics; none for
    /// a single topic.
    fn variances(&self) -> Option<(Variance, f64, f64)> {
        let mut unit = self.weight;
        let [second, third, fourth, fifth] = [0, 1, 2, 3].map(|index| {
            unit *= self.weight;
            self.powers[index] / unit
        });
        let seen = second - 2.0 * third + second * second;
        if seen < 1e-12 {
            return None;
        }
        let spread = fourth + 4.0 * second * fourth - 4.0 * fifth + second.powi(4)
            - 4.0 * second * second * third
            + 2.0 * third * third;
        let correction = second / seen;
        let all =
            Variance { value: correction * self.all, freedom: (seen * seen / spread).max(1.0) };
        Some((all, correction * self.shared, correction * self.remainder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Estimate;

    /// One value for each topic, named by its number.
    fn topics(values: &[f64]) -> Vec<(String, TopicTotals)> {
        let cell = |value: &f64| vec![Total { sum: *value, count: 1.0 }];
        values.iter().enumerate().map(|(topic, value)| (topic.to_string(), cell(value))).collect()
    }

    fn add(sample: &mut Sample, [seed, arm, domain]: [usize; 3], values: &[f64]) {
        let topics = topics(values);
        sample.add(
            SampleIndex { seed, arm, domain },
            topics.iter().map(|(name, cells)| (name.as_str(), cells.clone())),
        );
    }

    /// By seed, the values of the topics, which are the same in all seeds.
    fn crossed(seeds: &[&[f64]]) -> Sample {
        let mut sample = Sample::new(1);
        seeds.iter().enumerate().for_each(|(seed, values)| add(&mut sample, [seed, 0, 0], values));
        sample
    }

    fn only(sample: &Sample) -> TestedEstimate {
        sample.means()[0].unwrap()
    }

    fn near(found: TestedEstimate, mean: f64, [low, high]: [f64; 2], p: f64) {
        let [found_low, found_high] = found.estimate.interval().unwrap();
        for (found, expected) in [
            (found.estimate.mean, mean),
            (found_low, low),
            (found_high, high),
            (found.p.unwrap(), p),
        ] {
            assert!((found - expected).abs() < 1e-10, "{found} is not {expected}");
        }
    }

    /// By hand: seeds have the means 1.5 and 4.5, topics 2 and 4, so that the mean squares are 2
    /// (1.5^2 + 1.5^2) = 9 and 2 (1 + 1) = 4; the remainders are +-.5, their mean square 1. The
    /// variance is (9 + 4 - 1) / 4 = 3 with 12^2 / (9^2 + 4^2 + 1^2) = 144 / 98 degrees of freedom.
    #[test]
    fn two_seeds_and_two_topics_by_hand() {
        let by_hand =
            TestedEstimate::new(3.0, 2, Some(Variance { value: 3.0, freedom: 144.0 / 98.0 }));
        let [low, high] = by_hand.estimate.interval().unwrap();
        near(only(&crossed(&[&[1.0, 2.0], &[3.0, 6.0]])), 3.0, [low, high], by_hand.p.unwrap());
    }

    /// Mean squares .055833, .154167 and .0125 of `anova_lm(ols("y ~ C(s) + C(t)"))` of statsmodels
    /// 0.15.0; interval and p by SciPy 1.17 from their variance .0164583 and 4.1028219 degrees of
    /// freedom.
    #[test]
    fn three_seeds_and_four_topics_by_statsmodels() {
        let sample =
            crossed(&[&[0.2, 0.5, 0.4, 0.9], &[0.3, 0.7, 0.4, 0.8], &[0.6, 0.6, 0.7, 1.0]]);
        near(
            only(&sample),
            0.5916666666666667,
            [0.238969420986279, 0.9443639123470544],
            0.00935844150678391,
        );
    }

    const ONE_SEED: ([f64; 2], f64) =
        ([-0.0795834411373455, 0.8395834411373455], 0.0833357094752621);
    const NESTED: ([f64; 2], f64) =
        ([-0.4652052178110789, 1.1318718844777456], 0.21432579868161386);

    /// `scipy.stats.ttest_1samp` of SciPy 1.17 over the topics of one seed, and over the means of
    /// seeds that share no topic.
    #[test]
    fn one_factor_alone_is_students_t() {
        let values = [0.2, 0.5, 0.4, 0.9, -0.1];
        near(only(&crossed(&[&values])), 0.38, ONE_SEED.0, ONE_SEED.1);
        let mut nested = Sample::new(1);
        for (seed, values) in [[0.1, 0.3], [0.5, 0.9], [-0.2, 0.4]].iter().enumerate() {
            let topics = topics(values);
            let names: Vec<String> =
                topics.iter().map(|(name, _)| format!("{seed}/{name}")).collect();
            let topics =
                names.iter().zip(&topics).map(|(name, (_, cells))| (name.as_str(), cells.clone()));
            nested.add(SampleIndex { seed, arm: 0, domain: 0 }, topics);
        }
        near(only(&nested), 1.0 / 3.0, NESTED.0, NESTED.1);
    }

    #[test]
    fn one_topic_has_no_interval() {
        let bare = |sample: &Sample| (only(sample).estimate.interval(), only(sample).p);
        assert_eq!(bare(&crossed(&[&[0.5]])), (None, None));
        assert_eq!(bare(&crossed(&[&[0.5], &[0.7]])), (None, None));
        let mut answers = Sample::new(1);
        answers.add(
            SampleIndex { seed: 0, arm: 0, domain: 0 },
            [("tin", vec![Total { sum: 50.0, count: 100.0 }])],
        );
        assert_eq!(only(&answers).estimate, Estimate::bare(0.5));
        let mut domains = crossed(&[&[0.1, 0.3, 0.4]]);
        add(&mut domains, [0, 0, 1], &[0.5]);
        assert_eq!(bare(&domains), (None, None), "one domain of one topic");
        let mut torn = crossed(&[&[0.1, 0.3], &[0.2, 0.5]]);
        add(&mut torn, [0, 0, 1], &[0.5, 0.6]);
        assert_eq!(
            (bare(&torn), only(&torn).seeds),
            ((None, None), 1),
            "one domain in one of two seeds"
        );
    }

    #[test]
    fn what_varies_has_a_width_and_what_does_not_has_none() {
        let opposed = only(&crossed(&[&[0.0, 1.0], &[1.0, 0.0]]));
        assert!(
            opposed.estimate.low.unwrap() < 0.0,
            "seeds and topics agree, their cells do not: {opposed:?}"
        );
        let zero = only(&crossed(&[&[0.0; 3], &[0.0; 3]]));
        assert_eq!((zero.estimate.interval(), zero.p), (Some([0.0, 0.0]), Some(1.0)));
        let same = only(&crossed(&[&[0.1 + 0.2; 3], &[0.3; 3]]));
        assert_eq!((same.estimate.low, same.p), (Some(same.estimate.mean), None));
        assert_eq!(crossed(&[&[f64::NAN, 1.0]]).means(), [None]);
        assert_eq!(Sample::new(2).means(), [None, None]);
        let mut nothing = Sample::new(1);
        nothing.add(SampleIndex { seed: 0, arm: 0, domain: 0 }, [("tin", vec![Total::default()])]);
        assert_eq!(nothing.means(), [None]);
    }

    /// One seed lacks the second domain: its mean is that of the other seed, and domains have the
    /// same weight nevertheless.
    #[test]
    fn domains_and_arms_weigh_the_same_where_a_seed_lacks_one() {
        let mut sample = crossed(&[&[0.0, 0.2], &[0.2, 0.4]]);
        add(&mut sample, [1, 0, 1], &[0.8, 1.0]);
        assert!((only(&sample).estimate.mean - (0.2 + 0.9) / 2.0).abs() < 1e-12);
        let mut arms = crossed(&[&[0.0, 0.2], &[0.2, 0.4]]);
        add(&mut arms, [1, 1, 0], &[0.8, 1.0]);
        assert!((only(&arms).estimate.mean - (0.2 + 0.9) / 2.0).abs() < 1e-12);
    }

    /// Two arms with opposite gains on each topic have a constant average.
    #[test]
    fn arms_share_their_topics() {
        let mut sample = crossed(&[&[0.5, -0.5, 0.1]]);
        add(&mut sample, [0, 1, 0], &[-0.5, 0.5, -0.1]);
        assert_eq!(
            (only(&sample).estimate.interval(), only(&sample).p),
            (Some([0.0, 0.0]), Some(1.0))
        );
    }

    /// By hand: means of 1 and 3 in-domain, 3 and 5 here, over two seeds in which topics are equal.
    /// The ratio of the means is 2; seeds move it by (3 - 2 * 1) / 2 = .5 and (5 - 2 * 3) / 2 =
    /// -.5, so that its variance is (.25 + .25) / 2 = .25 with one degree of freedom. The
    /// difference is the same in both seeds.
    #[test]
    fn two_sets_are_compared_seed_by_seed() {
        let mut sample = crossed(&[&[1.0; 4], &[3.0; 4]]);
        add(&mut sample, [0, 0, 1], &[3.0; 4]);
        add(&mut sample, [1, 0, 1], &[5.0; 4]);
        let side: Side = |domain| domain;
        let ratio = sample.contrasts(side, |[one, other]| {
            let (one, other) = (one?, other?);
            Some((other / one, [-other / (one * one), 1.0 / one]))
        });
        let reach = 12.706204736174694 * 0.5;
        let [low, high] = ratio[0].unwrap().estimate.interval().unwrap();
        assert!(
            (low - (2.0 - reach)).abs() < 1e-9 && (high - (2.0 + reach)).abs() < 1e-9,
            "{ratio:?}"
        );
        let apart =
            sample.contrasts(side, |[one, other]| Some((other? - one?, [-1.0, 1.0])))[0].unwrap();
        assert_eq!((apart.estimate.mean, apart.estimate.interval()), (2.0, Some([2.0, 2.0])));
        assert_eq!(sample.contrasts(side, |_| None), [None]);
    }
}
