//! Rotary positions (Su et al. 2021, arXiv 2104.09864): their frequencies, and how they are stretched for longer texts.

use super::ModelConfig;

/// The base of the wave lengths, and what is done to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// The base of the wave lengths (`rope_theta`).
    pub theta: f64,
    /// How the frequencies are changed.
    pub scaling: RotaryScaling,
}

/// How frequencies are changed so that a model reads longer texts than it was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Not at all.
    Default,
    /// All by one factor (position interpolation, Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// What frequencies are divided by.
        factor: f64,
    },
    /// Long wave lengths by a factor, short ones not at all, those between smoothly (Llama 3.1).
    Llama3 {
        /// What low frequencies are divided by.
        factor: f64,
        /// The original length over this is the wave length from which the factor holds whole.
        low_freq_factor: f64,
        /// The original length over this is the wave length up to which nothing changes.
        high_freq_factor: f64,
        /// The longest text of the first training, in tokens.
        original_max_position_embeddings: usize,
    },
    /// A ramp over the dimensions, and warmer attention (YaRN, Peng et al. 2023, arXiv 2309.00071).
    Yarn(Yarn),
}

/// The numbers of YaRN, under transformers' names.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// The longest text of the first training, in tokens.
    pub original_max_position_embeddings: usize,
    /// Dimensions that turn more often than this over the original length keep their frequency.
    pub beta_fast: f64,
    /// Dimensions that turn less often than this are interpolated whole.
    pub beta_slow: f64,
    /// Multiplies cosines and sines; follows from the others where it is not given.
    pub attention_factor: Option<f64>,
    /// Numerator and denominator of the attention factor's logarithm (DeepSeek), where both are given.
    pub mscale: Option<[f64; 2]>,
    /// Whether the ramp's ends are rounded to whole dimensions.
    pub truncate: bool,
}

/// Cosines and sines of position times frequency, each [time, head / 2], in float32 as transformers computes them.
pub(in crate::model) fn rotary_tables(config: &ModelConfig, time: usize) -> (Vec<f32>, Vec<f32>) {
    let (frequencies, amplitude) = config.rotary.frequencies(config.head_dim);
    let angles = (0..time).flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency));
    angles.map(|angle| (angle.cos() * amplitude, angle.sin() * amplitude)).unzip()
}

impl Rotary {
    /// The frequency of each pair of dimensions, in radians a token, and the factor of cosines and sines.
    pub(super) fn frequencies(&self, head_dim: usize) -> (Vec<f32>, f32) {
        let exponent = |index: usize| (2 * index) as f32 / head_dim as f32;
        let plain = (0..head_dim / 2).map(|index| 1.0 / (self.theta as f32).powf(exponent(index)));
        match &self.scaling {
            RotaryScaling::Default => (plain.collect(), 1.0),
            RotaryScaling::Linear { factor } => (plain.map(|frequency| frequency / *factor as f32).collect(), 1.0),
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings,
            } => {
                let original = *original_max_position_embeddings as f32;
                let (factor, low, high) = (*factor as f32, *low as f32, *high as f32);
                let scale = |frequency: f32| {
                    let wave_length = std::f32::consts::TAU / frequency;
                    if wave_length < original / high {
                        frequency
                    } else if wave_length > original / low {
                        frequency / factor
                    } else {
                        let smooth = (original / wave_length - low) / (high - low);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                };
                (plain.map(scale).collect(), 1.0)
            }
            RotaryScaling::Yarn(yarn) => {
                let ramp = yarn.ramp(self.theta, head_dim);
                let mix =
                    |(frequency, share): (f32, f32)| frequency / yarn.factor as f32 * share + frequency * (1.0 - share);
                (plain.zip(ramp).map(mix).collect(), yarn.amplitude() as f32)
            }
        }
    }
}

impl Yarn {
    /// For each pair of dimensions the share of interpolation, from 0 to 1.
    fn ramp(&self, theta: f64, head_dim: usize) -> Vec<f32> {
        let original = self.original_max_position_embeddings as f64;
        let dimension =
            |turns: f64| head_dim as f64 * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (dimension(self.beta_fast), dimension(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        let share = |index: usize| ((index as f32 - low as f32) / (high as f32 - low as f32)).clamp(0.0, 1.0);
        (0..head_dim / 2).map(share).collect()
    }

    fn amplitude(&self) -> f64 {
        let temperature = |scale: f64| if self.factor <= 1.0 { 1.0 } else { 0.1 * scale * self.factor.ln() + 1.0 };
        match (self.attention_factor, self.mscale) {
            (Some(factor), _) => factor,
            (None, Some([numerator, denominator])) => temperature(numerator) / temperature(denominator),
            (None, None) => temperature(1.0),
        }
    }
}
