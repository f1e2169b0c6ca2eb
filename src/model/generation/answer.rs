//! Requests for responses, and the responses.

use crate::rows::Finish;

/// A prompt with its requested responses.
#[derive(Clone, Debug)]
pub struct Request {
    /// Id of the prompt, which seeds its responses.
    pub id: String,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Numbers of the requested responses.
    pub samples: Vec<usize>,
}

/// A generated response.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedAnswer {
    /// Index of its request.
    pub request: usize,
    /// Its number.
    pub sample: usize,
    /// Its tokens, EOS included.
    pub tokens: Vec<u32>,
    /// Natural log-probability of each token under the model, before temperature, top-k and top-p.
    pub log_probabilities: Vec<f32>,
    /// Reason why it ended.
    pub finish: Finish,
}

/// Events of generation.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerationEvent {
    /// A response is finished.
    Answer(GeneratedAnswer),
    /// Memory ran short: fewer responses run concurrently from here on.
    FewerAtOnce {
        /// Number of concurrent responses.
        batch: usize,
        /// The reason, with free memory.
        reason: String,
    },
}
