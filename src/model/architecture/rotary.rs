//! Rotary embeddings (Su et al. 2021, arXiv 2104.09864): frequencies, and their scaling for longer
//! texts.

/// Base of the wavelengths, and their scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the wavelengths (`rope_theta`).
    pub theta: f64,
    /// Scaling of the frequencies.
    pub scaling: RotaryScaling,
}

/// Scaling of frequencies for texts longer than in the first training.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// No scaling.
    Default,
    /// One factor for all (position interpolation, Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// Divisor of all frequencies.
        factor: f64,
    },
    /// Long wavelengths by a factor, short ones unchanged, smooth in between (Llama 3.1).
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Divisor of the original length that gives the wavelength from which the full factor
        /// applies.
        low_freq_factor: f64,
        /// Divisor of the original length that gives the wavelength up to which nothing changes.
        high_freq_factor: f64,
        /// Longest text of the first training, in tokens.
        original_max_position_embeddings: usize,
    },
    /// A ramp over the dimensions, with an attention temperature (YaRN, Peng et al. 2023, arXiv
    /// 2309.00071).
    Yarn(Yarn),
}

/// Parameters of YaRN, under transformers' names.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// Longest text of the first training, in tokens.
    pub original_max_position_embeddings: usize,
    /// Dimensions with more rotations than this over the original length keep their frequency.
    pub beta_fast: f64,
    /// Dimensions with fewer rotations than this are fully interpolated.
    pub beta_slow: f64,
    /// Factor of cosines and sines; follows from the others by default.
    pub attention_factor: Option<f64>,
    /// Numerator and denominator of the attention factor's logarithm (DeepSeek), if both are given.
    pub mscale: Option<[f64; 2]>,
    /// Whether the ramp's ends are rounded to whole dimensions.
    pub truncate: bool,
}

impl Rotary {
    /// Cosines and sines of position times frequency, each [time, head / 2], in float32 as
    /// transformers computes them.
    pub(in crate::model) fn tables(&self, head_dim: usize, time: usize) -> (Vec<f32>, Vec<f32>) {
        let (frequencies, amplitude) = self.frequencies(head_dim);
        // The angles too: in more digits they would differ from those of the first training.
        let angles = (0..time).flat_map(|position| {
            frequencies.iter().map(move |frequency| position as f32 * frequency)
        });
        angles.map(|angle| (angle.cos() * amplitude, angle.sin() * amplitude)).unzip()
    }

    /// The frequency of each pair of dimensions, in radians per token, and the factor of cosines
    /// and sines.
    fn frequencies(&self, head_dim: usize) -> (Vec<f32>, f32) {
        let exponents = (0..head_dim / 2).map(|index| (2 * index) as f32 / head_dim as f32);
        let plain = exponents.map(|exponent| 1.0 / (self.theta as f32).powf(exponent));
        match &self.scaling {
            RotaryScaling::Default => (plain.collect(), 1.0),
            RotaryScaling::Linear { factor } => {
                (plain.map(|frequency| frequency / *factor as f32).collect(), 1.0)
            }
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => {
                // In float32 as transformers does it: the frequencies enter every angle.
                let original = *original as f32;
                let (factor, low, high) = (*factor as f32, *low as f32, *high as f32);
                let scaled = plain.map(|frequency| {
                    let wave_length = std::f32::consts::TAU / frequency;
                    if wave_length < original / high {
                        frequency
                    } else if wave_length > original / low {
                        frequency / factor
                    } else {
                        let smooth = (original / wave_length - low) / (high - low);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                });
                (scaled.collect(), 1.0)
            }
            RotaryScaling::Yarn(yarn) => {
                let ramp = yarn.ramp(self.theta, head_dim);
                let mixed = plain.zip(ramp).map(|(frequency, share)| {
                    frequency / yarn.factor as f32 * share + frequency * (1.0 - share)
                });
                (mixed.collect(), yarn.amplitude() as f32)
            }
        }
    }
}

impl Yarn {
    /// Share of interpolation of each pair of dimensions, from 0 to 1.
    fn ramp(&self, theta: f64, head_dim: usize) -> Vec<f32> {
        // The dimension that turns this many times within the original length, solved for from its
        // frequency.
        let [mut low, mut high] = [self.beta_fast, self.beta_slow]
            .map(|turns| head_dim as f64 * self.turning(turns).ln() / (2.0 * theta.ln()));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
        // As in transformers: a step instead of a division by zero.
        if low == high {
            high += 0.001;
        }
        let (low, high) = (low as f32, high as f32);
        (0..head_dim / 2)
            .map(|index| ((index as f32 - low) / (high - low)).clamp(0.0, 1.0))
            .collect()
    }

    /// The wavelength with this many rotations over the original length, in radians.
    fn turning(&self, turns: f64) -> f64 {
        self.original_max_position_embeddings as f64 / (turns * std::f64::consts::TAU)
    }

    /// Factor of cosines and sines.
    fn amplitude(&self) -> f64 {
        match (self.attention_factor, self.mscale) {
            (Some(factor), _) => factor,
            (None, Some([numerator, denominator])) => {
                self.temperature(numerator) / self.temperature(denominator)
            }
            (None, None) => self.temperature(1.0),
        }
    }

    fn temperature(&self, scale: f64) -> f64 {
        if self.factor <= 1.0 { 1.0 } else { 0.1 * scale * self.factor.ln() + 1.0 }
    }
}
