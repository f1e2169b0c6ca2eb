//! Means with 95 % intervals and p-values: Student's t from an estimate, its variance and the degrees of freedom.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower end of the interval; none where nothing says how sure the mean is, as with a single topic.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

impl Estimate {
    /// A mean of which nothing says how sure it is.
    pub fn bare(mean: f64) -> Self {
        Self { mean, low: None, high: None }
    }

    /// Both ends of the interval.
    pub fn interval(&self) -> Option<[f64; 2]> {
        Some([self.low?, self.high?])
    }
}

/// What a sample says of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The mean with its interval.
    pub estimate: Estimate,
    /// How probable so large a mean is if it is 0 in truth (two-sided): below .05 exactly where the interval excludes
    /// 0. None where there is no interval, and where all values are equal and not 0, of which Student's t can say
    /// nothing.
    pub p: Option<f64>,
    /// From how many seeds it comes; the fewest of any arm and domain in it.
    pub seeds: usize,
}

/// An estimate of a variance, and how sure it is itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Variance {
    /// The variance.
    pub(super) value: f64,
    /// Its degrees of freedom.
    pub(super) freedom: f64,
}

/// Beyond as many degrees of freedom Student's distribution is the normal one to four digits, and its computation less
/// exact.
const MOST_FREEDOM: f64 = 10_000.0;

/// Standard errors below this are what rounding leaves of none; values that are 0 or 1, or counts, have no smaller
/// ones.
const ROUNDING: f64 = 1e-12;

impl Finding {
    /// A mean with the interval that its variance gives, if there is one.
    pub(super) fn new(mean: f64, seeds: usize, variance: Option<Variance>) -> Self {
        let bare = Self { estimate: Estimate::bare(mean), p: None, seeds };
        let Some(Variance { value, freedom }) = variance.filter(|variance| variance.value.is_finite()) else {
            return bare;
        };
        let error = value.max(0.0).sqrt();
        let within = |reach: f64| Estimate { mean, low: Some(mean - reach), high: Some(mean + reach) };
        if error <= ROUNDING * mean.abs().max(1.0) {
            let p = (mean.abs() <= ROUNDING).then_some(1.0);
            return Self { estimate: within(0.0), p, ..bare };
        }
        match StudentsT::new(0.0, 1.0, freedom.clamp(1.0, MOST_FREEDOM)) {
            Ok(student) => {
                let p = (2.0 * student.sf((mean / error).abs())).min(1.0);
                Self { estimate: within(error * student.inverse_cdf(0.975)), p: Some(p), ..bare }
            }
            Err(_) => bare,
        }
    }
}

/// A sum over the answers (or prompts) of one topic and how many of them count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// The sum of the values.
    pub sum: f64,
    /// The number of values.
    pub count: f64,
}

/// One topic: a cell for each measure.
pub type TopicCells = Vec<Cell>;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Degrees of freedom, the 97.5th percentile, a value, and the probability of being as far from 0.
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

    fn finding(mean: f64, error: f64, freedom: f64) -> Finding {
        Finding::new(mean, 2, Some(Variance { value: error * error, freedom }))
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
    fn what_does_not_vary_is_certain_only_where_it_is_zero() {
        assert_eq!(
            (finding(0.0, 0.0, 3.0).p, finding(0.0, 0.0, 3.0).estimate.interval()),
            (Some(1.0), Some([0.0, 0.0]))
        );
        assert_eq!(
            (finding(0.5, 1e-17, 3.0).p, finding(0.5, 1e-17, 3.0).estimate.interval()),
            (None, Some([0.5, 0.5]))
        );
        let unknown = Finding::new(0.5, 1, None);
        assert_eq!((unknown.estimate, unknown.p), (Estimate::bare(0.5), None));
        assert_eq!(finding(0.5, f64::NAN, 3.0).estimate.interval(), None);
        assert_eq!(finding(0.5, 0.1, f64::NAN).estimate.interval(), None);
    }
}
