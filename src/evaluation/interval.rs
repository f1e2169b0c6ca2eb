//! Means with 95 % intervals and p-values: Student's t from an estimate, its variance and the
//! degrees of freedom.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval; none where uncertainty is unknown, as with a single topic.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Estimate {
    /// A mean of unknown uncertainty.
    pub fn bare(mean: f64) -> Self {
        Self { mean, low: None, high: None }
    }

    /// A mean and the reach of its interval on both sides.
    fn within(mean: f64, reach: f64) -> Self {
        Self { mean, low: Some(mean - reach), high: Some(mean + reach) }
    }

    /// Both ends of the interval.
    pub fn interval(&self) -> Option<[f64; 2]> {
        Some([self.low?, self.high?])
    }
}

/// An estimate from a sample, with its test against 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestedEstimate {
    /// The mean with its interval.
    pub estimate: Estimate,
    /// Two-sided p-value against a true mean of 0: below .05 exactly if the interval excludes
    /// 0. None without interval, and where all values are equal and not 0, which Student's t cannot
    /// judge.
    pub p: Option<f64>,
    /// Number of seeds; the fewest of any arm and domain in it.
    pub seeds: usize,
    /// Number of topics: the fewest of any domain in it, times the number of domains.
    pub topics: usize,
}

/// An estimate of a variance, with its precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Variance {
    /// The variance.
    pub(super) value: f64,
    /// Its degrees of freedom.
    pub(super) freedom: f64,
}

/// From here on Student's distribution is the normal one to four digits, and computed less
/// exactly.
const MOST_FREEDOM: f64 = 10_000.0;

/// Smaller standard errors are rounding; values of 0 or 1, or counts, have none so small.
const ROUNDING: f64 = 1e-12;

impl TestedEstimate {
    /// A mean with the interval that follows from its variance, if any.
    pub(super) fn new(mean: f64, seeds: usize, variance: Option<Variance>) -> Self {
        let bare = Self { estimate: Estimate::bare(mean), p: None, seeds, topics: 0 };
        let Some(Variance { value, freedom }) =
            variance.filter(|variance| variance.value.is_finite())
        else {
            return bare;
        };
        // Rounding can leave a variance just below 0.
        let error = value.max(0.0).sqrt();
        if error <= ROUNDING * mean.abs().max(1.0) {
            let p = (mean.abs() <= ROUNDING).then_some(1.0);
            return Self { estimate: Estimate::within(mean, 0.0), p, ..bare };
        }
        // Less than one degree of freedom would give intervals beyond all use.
        match StudentsT::new(0.0, 1.0, freedom.clamp(1.0, MOST_FREEDOM)) {
            Ok(student) => {
                let p = (2.0 * student.sf((mean / error).abs())).min(1.0);
                let reach = error * student.inverse_cdf(0.975);
                Self { estimate: Estimate::within(mean, reach), p: Some(p), ..bare }
            }
            Err(_) => bare,
        }
    }

    /// The mean of a measure with values of at least 0 and, for shares, at most `most`; its
    /// interval stays within these bounds.
    ///
    /// If all topics are equal, Student's t would call the mean certain. From n equal topics
    /// follows that with probability .95 at most a share 1 - .025^(1/n) of all topics differ (the
    /// limit of Clopper and Pearson 1934), with any possible value. So with n topics that are all
    /// right the lower end is .025^(1/n). A number without upper bound has no such interval, and
    /// gets none unless it is 0.
    pub(super) fn bounded(self, most: Option<f64>) -> Estimate {
        let Estimate { mean, .. } = self.estimate;
        match (self.estimate.interval(), most) {
            (Some([low, high]), Some(most)) if low == high && self.topics > 0 => {
                let others = 1.0 - 0.025_f64.powf(1.0 / self.topics as f64);
                let low = mean * (1.0 - others);
                Estimate {
                    mean,
                    low: Some(low.max(0.0)),
                    high: Some((low + others * most).min(most)),
                }
            }
            (Some([low, high]), None) if low == high && mean != 0.0 => Estimate::bare(mean),
            (Some([low, high]), most) => {
                // A share above 1 is impossible, though the t distribution reaches beyond.
                let high = most.map_or(high, |most| high.min(most));
                Estimate { mean, low: Some(low.max(0.0)), high: Some(high) }
            }
            (None, _) => self.estimate,
        }
    }
}

/// Sum over the responses (or prompts) of one topic, and how many of them count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// The sum of the values.
    pub sum: f64,
    /// The number of values.
    pub count: f64,
}

/// One topic: a total for each measure.
pub type TopicTotals = Vec<Total>;

impl Total {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// Mean of the values; none without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Degrees of freedom, the 97.5th percentile, a value, and the probability of being as far from
    /// 0.
    const T_OF_SCIPY: [(f64, f64, f64, f64); 8] = [
        (1.0, 12.706204736174694, 0.5, 0.7048327646991335),
        (1.0, 12.706204736174694, 200.0, 0.0031830723364119386),
        (1.5, 6.016663104427929, 3.0, 0.13354775425491328),
        (2.0, 4.302652729749462, 4.3, 0.05005715411709159),
        (4.0, 2.7764451051977934, 60.0, 4.621068727635128e-07),
        (9.25, 2.252871560216631, 12.0, 6.013813937586028e-07),
        (59.0, 2.000995378088267, 9.0, 1.1423735969226855e-12),
        (10000.0, 1.960201239890626, 2.0, 0.04552726066143543),
    ];

    fn finding(mean: f64, error: f64, freedom: f64) -> TestedEstimate {
        TestedEstimate::new(mean, 2, Some(Variance { value: error * error, freedom }))
    }

    /// `scipy.stats.t(freedom).ppf(.975)` and `2 * scipy.stats.t(freedom).sf(t)` of SciPy 1.17.
    #[test]
    fn students_distribution_is_that_of_scipy_far_into_its_tails() {
        for (freedom, quantile, t, p) in T_OF_SCIPY {
            let found = finding(t, 1.0, freedom);
            let reach = found.estimate.high.unwrap() - t;
            assert!((reach / quantile - 1.0).abs() < 1e-9, "{freedom}: {reach} {quantile}");
            assert!((found.p.unwrap() / p - 1.0).abs() < 1e-9, "{freedom} {t}: {:?} {p}", found.p);
            assert_eq!(finding(-t, 1.0, freedom).p, found.p);
        }
        assert_eq!(finding(0.0, 1.0, 4.0).p, Some(1.0));
    }

    #[test]
    fn p_is_below_5_percent_exactly_where_the_interval_excludes_zero() {
        for freedom in [1.0, 1.7, 4.0, 59.0, 1e5] {
            for step in -400..400 {
                let found = finding(f64::from(step) / 10.0, 1.3, freedom);
                let [low, high] = found.estimate.interval().unwrap();
                assert_eq!(found.p.unwrap() < 0.05, low > 0.0 || high < 0.0, "{found:?}");
            }
        }
    }

    #[test]
    fn intervals_of_shares_stay_within_what_is_possible_and_equal_topics_are_not_certain() {
        let wide = finding(0.9, 0.1, 3.0);
        assert!(wide.estimate.high.unwrap() > 1.0);
        assert_eq!(wide.bounded(Some(1.0)), Estimate { high: Some(1.0), ..wide.estimate });
        assert_eq!(wide.bounded(None), wide.estimate);
        let low = TestedEstimate {
            estimate: Estimate { mean: 0.1, low: Some(-0.2), high: Some(0.4) },
            ..wide
        };
        for most in [None, Some(1.0)] {
            assert_eq!(low.bounded(most).interval(), Some([0.0, 0.4]));
        }
        // `scipy.stats.binomtest(n, n).proportion_ci(.95, "exact")` of SciPy 1.17.
        for (topics, least) in [(2, 0.15811388300841897), (10, 0.6915028921812392)] {
            let equal = |mean: f64| TestedEstimate { topics, ..finding(mean, 0.0, 1.0) };
            let near = |mean: f64, ends: [f64; 2]| {
                let found = equal(mean).bounded(Some(1.0)).interval().unwrap();
                assert!(
                    found.iter().zip(ends).all(|(found, end)| (found - end).abs() < 1e-12),
                    "{found:?} {ends:?}"
                );
            };
            near(1.0, [least, 1.0]);
            near(0.0, [0.0, 1.0 - least]);
            near(0.5, [0.5 * least, 1.0 - 0.5 * least]);
            assert_eq!(equal(3.0).bounded(None).interval(), None);
            assert_eq!(equal(0.0).bounded(None).interval(), Some([0.0, 0.0]));
        }
        assert_eq!(TestedEstimate::new(0.5, 1, None).bounded(Some(1.0)), Estimate::bare(0.5));
    }

    #[test]
    fn what_does_not_vary_is_certain_only_where_it_is_zero() {
        assert_eq!(
            (finding(0.0, 0.0, 3.0).p, finding(0.0, 0.0, 3.0).estimate.interval()),
            (Some(1.0), Some([0.0, 0.0]))
        );
        assert_eq!(
            (finding(0.5, 1e-17, 3.0).p, finding(0.5, 1e-17, 3.0).estimate.interval()),
            (None, Some([0.5, 0.5]))
        );
        let unknown = TestedEstimate::new(0.5, 1, None);
        assert_eq!((unknown.estimate, unknown.p), (Estimate::bare(0.5), None));
        assert_eq!(finding(0.5, f64::NAN, 3.0).estimate.interval(), None);
        assert_eq!(finding(0.5, 0.1, f64::NAN).estimate.interval(), None);
    }
}
