//! Dual numbers, so that a loss is written as its formula and its gradient follows.
//!
//! Forward-mode differentiation (Wengert 1964, doi 10.1145/355586.364791) by two variables. The
//! functions are written so that neither they nor their derivatives overflow.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number with its derivatives by the log-probabilities of a chosen (or only) and of a rejected
/// completion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tuning) struct Dual {
    /// The number itself.
    pub value: f64,
    /// Its derivatives by the two log-probabilities.
    pub by: [f64; 2],
}

impl Dual {
    /// One of the two variables.
    pub(super) fn variable(value: f64, which: usize) -> Self {
        let mut by = [0.0; 2];
        by[which] = 1.0;
        Self { value, by }
    }

    /// A number that depends on neither variable.
    pub(super) fn constant(value: f64) -> Self {
        Self { value, by: [0.0; 2] }
    }

    /// Applies a function, given its value and slope.
    fn through(self, value: f64, slope: f64) -> Self {
        // An infinite slope of a constant would give NaN, although the constant has no derivative.
        Self { value, by: self.by.map(|by| if by == 0.0 { 0.0 } else { slope * by }) }
    }

    pub(super) fn exp(self) -> Self {
        let value = self.value.exp();
        self.through(value, value)
    }

    /// `1 / (1 + e^-x)`
    pub(super) fn sigmoid(self) -> Self {
        let value = sigmoid(self.value);
        self.through(value, value * sigmoid(-self.value))
    }

    /// `log sigmoid(x)`
    pub(super) fn log_sigmoid(self) -> Self {
        self.through(-softplus(-self.value), sigmoid(-self.value))
    }

    /// `log(1 - e^x)` for negative numbers (Mächler 2012, "Accurately computing log(1 -
    /// exp(-|a|))").
    pub(super) fn log_one_minus_exp(self) -> Self {
        // A probability of one has infinite odds; the nearest number below keeps them finite.
        let x = self.value.min(-f64::EPSILON);
        let value =
            if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() };
        self.through(value, x.exp() / x.exp_m1())
    }

    pub(super) fn squared(self) -> Self {
        self.through(self.value * self.value, 2.0 * self.value)
    }

    /// The number if positive, else 0.
    pub(super) fn positive(self) -> Self {
        if self.value > 0.0 { self } else { Self::constant(0.0) }
    }

    /// The number, constant above a bound.
    pub(super) fn at_most(self, bound: f64) -> Self {
        if self.value > bound { Self::constant(bound) } else { self }
    }
}

/// `log(1 + e^x)`
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

impl Add for Dual {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            by: [self.by[0] + other.by[0], self.by[1] + other.by[1]],
        }
    }
}

impl Sub for Dual {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Dual {
    type Output = Self;

    fn neg(self) -> Self {
        Self { value: -self.value, by: self.by.map(|by| -by) }
    }
}

impl Mul for Dual {
    type Output = Self;

    #[expect(clippy::suspicious_arithmetic_impl, reason = "the product rule is a sum")]
    fn mul(self, other: Self) -> Self {
        let by = std::array::from_fn(|which| {
            self.by[which] * other.value + self.value * other.by[which]
        });
        Self { value: self.value * other.value, by }
    }
}

impl Add<f64> for Dual {
    type Output = Self;

    fn add(self, other: f64) -> Self {
        Self { value: self.value + other, ..self }
    }
}

impl Sub<f64> for Dual {
    type Output = Self;

    fn sub(self, other: f64) -> Self {
        self + -other
    }
}

impl Mul<f64> for Dual {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self { value: self.value * factor, by: self.by.map(|by| by * factor) }
    }
}

impl Div<f64> for Dual {
    type Output = Self;

    fn div(self, divisor: f64) -> Self {
        Self { value: self.value / divisor, by: self.by.map(|by| by / divisor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_the_limits_of_differences() {
        type Function = fn(Dual) -> Dual;
        let functions: [(&str, Function); 6] = [
            ("exp", Dual::exp),
            ("sigmoid", Dual::sigmoid),
            ("log sigmoid", Dual::log_sigmoid),
            ("log(1 - e^x)", |x| (x - 4.0).log_one_minus_exp()),
            ("square", Dual::squared),
            ("product", |x| x.sigmoid() * x.exp() / 3.0 - x * 2.0),
        ];
        for (name, function) in functions {
            for x in [-3.0, -0.4, 0.7, 3.3] {
                let step = 1e-6;
                let difference =
                    function(Dual::constant(x + step)) - function(Dual::constant(x - step));
                let found = function(Dual::variable(x, 1)).by;
                assert!(
                    (found[1] - difference.value / (2.0 * step)).abs() < 1e-6,
                    "{name} at {x}: {found:?}"
                );
                assert_eq!(found[0], 0.0);
            }
        }
    }

    #[test]
    fn far_away_nothing_overflows() {
        for x in [-1e4, -800.0, 800.0, 1e4] {
            for dual in [Dual::variable(x, 0).sigmoid(), Dual::variable(x, 0).log_sigmoid()] {
                assert!(dual.value.is_finite() && dual.by[0].is_finite(), "{x}: {dual:?}");
            }
        }
        for x in [-1e4, -1e-300, 0.0] {
            let dual = Dual::variable(x, 0).log_one_minus_exp();
            assert!(dual.value.is_finite() && dual.by[0].is_finite(), "{x}: {dual:?}");
        }
    }
}
