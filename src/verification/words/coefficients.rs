//! The coefficients of the features: a file that ships with the program, and its form.

use super::features::{FEATURES, Features};

/// The file that ships: lines of a name and a value, after comments that say what they were fitted
/// on.
const FILE: &str = include_str!("coefficients.txt");
/// Name of the intercept in the file.
const INTERCEPT: &str = "intercept";

/// Coefficients of a logistic regression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Log-odds of a claim whose features are all 0.
    pub intercept: f64,
    /// Log-odds by unit of each feature.
    pub weights: Features,
}

impl Coefficients {
    /// Those that ship with the program.
    ///
    /// # Panics
    /// If the file has another form, which a test excludes.
    pub fn shipped() -> Self {
        Self::parse(FILE).expect("the shipped coefficients are complete")
    }

    /// Reads the lines of a file; none unless it has every coefficient once and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut value = |name: &str| {
            let (found, value) = lines.next()?.split_once(' ')?;
            if found == name { value.trim().parse::<f64>().ok() } else { None }
        };
        let intercept = value(INTERCEPT)?;
        let mut weights = [0.0; FEATURES.len()];
        for (weight, name) in weights.iter_mut().zip(FEATURES) {
            *weight = value(name)?;
        }
        lines.next().is_none().then_some(Self { intercept, weights })
    }

    /// The lines of the file, without comments.
    pub fn lines(&self) -> String {
        let named = FEATURES.iter().zip(self.weights);
        let all = std::iter::once((&INTERCEPT, self.intercept)).chain(named);
        all.map(|(name, value)| format!("{name} {value:.4}\n")).collect()
    }

    /// Log-odds of support.
    pub fn log_odds(&self, features: &Features) -> f64 {
        let products = self.weights.iter().zip(features).map(|(weight, value)| weight * value);
        self.intercept + products.sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_complete_and_read_back_as_it_is() {
        let shipped = Coefficients::shipped();
        let lines: String = FILE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(shipped.lines(), lines);
        assert_eq!(Coefficients::parse(&shipped.lines()), Some(shipped));
        assert_eq!(Coefficients::parse("intercept 1\n"), None);
        assert_eq!(Coefficients::parse(&format!("{lines}more 1\n")), None);
    }

    #[test]
    fn words_that_are_found_raise_and_words_that_are_missing_lower_the_odds() {
        for (name, weight) in FEATURES.iter().zip(Coefficients::shipped().weights) {
            let is_against = ["missing_", "has_", "other_", "denied"]
                .iter()
                .any(|start| name.starts_with(start));
            assert!(if is_against { weight <= 0.0 } else { weight >= 0.0 }, "{name} {weight}");
        }
    }
}
