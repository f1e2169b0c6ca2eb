//! Seeds, and counter-based random streams keyed by them.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A 256-bit seed. Splitting by name gives independent seeds; numbers come only from its
/// [`Stream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

/// A random stream: ChaCha8 keyed by a [`Seed`].
pub struct Stream(ChaCha8Rng);

impl Seed {
    /// The root seed of a number in a recipe's `seeds`.
    pub fn root(number: u64) -> Self {
        Self(blake3::derive_key("apeft seed v1 root", &number.to_le_bytes()))
    }

    /// The seed for one purpose, e.g. `seed.split("prompt").split(id)`.
    pub fn split(&self, name: &str) -> Self {
        Self(*blake3::Hasher::new_keyed(&self.0).update(name.as_bytes()).finalize().as_bytes())
    }

    /// The seed's stream, from its beginning.
    pub fn stream(&self) -> Stream {
        Stream(ChaCha8Rng::from_seed(self.0))
    }
}

impl Stream {
    /// A uniform integer below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "`bound` must be positive");
        // Without rejection of the last, incomplete range small numbers would be more likely.
        let bound = bound as u64;
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.0.next_u64();
            if draw < fair {
                return (draw % bound) as usize;
            }
        }
    }

    /// A uniform number in [0, 1) with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal sample (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 - u is never 0, whose logarithm is infinite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Shuffles items (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// An index drawn in proportion to these weights.
    ///
    /// # Panics
    /// If there is no weight.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        // Rounding may leave a remainder after the last weight.
        weights.iter().rposition(|weight| *weight > 0.0).expect("at least one weight")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_for_all_time() {
        let mut stream = Seed::root(0).split("prompt").stream();
        let draws: Vec<usize> = (0..5).map(|_| stream.below(1000)).collect();
        let again: Vec<usize> = {
            let mut stream = Seed::root(0).split("prompt").stream();
            (0..5).map(|_| stream.below(1000)).collect()
        };
        assert_eq!(draws, again);
        assert_ne!(Seed::root(0).split("prompt"), Seed::root(1).split("prompt"));
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut stream = Seed::root(7).stream();
        let draws: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
