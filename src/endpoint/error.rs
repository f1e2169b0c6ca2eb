//! Errors of endpoints.

use crate::store::StoreError;

/// Why calls were not answered.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The environment has no API key.
    #[error(
        "the environment variable `{variable}` of the endpoint `{endpoint}` (`api_key_env`) {why}"
    )]
    NoKey {
        /// Name of the endpoint.
        endpoint: String,
        /// Name of the variable.
        variable: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server refused a call, or did so until the last retry.
    #[error("the endpoint `{endpoint}` did not answer the call for {label}: {problem}")]
    Unanswered {
        /// Name of the endpoint.
        endpoint: String,
        /// What the call is for.
        label: String,
        /// Status and message of the server, without the key.
        problem: String,
    },
    /// The server left out log-probabilities.
    #[error(
        "the endpoint `{endpoint}` answered without log-probabilities, although they were \
        requested: some servers ignore `logprobs` without an error, such as `transformers serve` \
        and Ollama before 0.12.11, and some return them for one `api` only; try the other `api`, \
        or use a server that returns them, such as llama.cpp, vLLM or OpenAI"
    )]
    NoLogProbs {
        /// Name of the endpoint.
        endpoint: String,
    },
    /// `replay = "only"`, and the log lacks calls.
    #[error(
        "the log of the endpoint `{endpoint}` lacks {missing} of {all} calls (first: for \
        {label}), and `replay = \"only\"` asks nothing; `replay = \"record\"` asks for \
        them{damaged}"
    )]
    NotRecorded {
        /// Name of the endpoint.
        endpoint: String,
        /// Number of missing calls.
        missing: usize,
        /// Number of all calls.
        all: usize,
        /// What the first missing call is for.
        label: String,
        /// A remark on damaged lines, or nothing.
        damaged: String,
    },
    /// The next call could exceed `max_cost`.
    #[error(
        "the calls of the endpoint `{endpoint}` cost {spent:.4} so far, and the next one up to \
        {next:.4}, which exceeds `max_cost` {most}; answers are kept: raise `max_cost` and run \
        again"
    )]
    TooExpensive {
        /// Name of the endpoint.
        endpoint: String,
        /// Cost so far.
        spent: f64,
        /// Upper bound of the next call's cost.
        next: f64,
        /// The limit.
        most: f64,
    },
    /// A logged answer has another form than a known one.
    #[error("the logged answer to the call for {label} cannot be read: {problem}")]
    Unreadable {
        /// What the call is for.
        label: String,
        /// The problem.
        problem: String,
    },
    /// The log cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client cannot start.
    #[error("cannot call the endpoint `{endpoint}`: {problem}")]
    Client {
        /// Name of the endpoint.
        endpoint: String,
        /// The problem.
        problem: String,
    },
}
