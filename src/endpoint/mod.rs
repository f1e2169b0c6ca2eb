//! Language models behind HTTP: tables of a recipe, calls, answers, retries, costs, and the log
//! from which a run is repeated.

mod address;
mod budget;
mod call;
mod client;
mod error;
mod expected;
mod http;
mod odds;
mod pace;
mod refusal;
mod reply;
mod secret;
mod settings;

pub use budget::usual_cost;
pub use call::Call;
pub use client::{CallTally, Client, Teller};
pub use error::EndpointError;
pub use expected::{Expected, expected};
pub use odds::{Odds, SaidWord};
pub use reply::{FinishReason, Reply, ReplyToken, TokenUsage};
pub use settings::{Api, ENDPOINT, Endpoint, NamedEndpoint, Replay, missing_key};

#[cfg(test)]
#[path = "../../tests/it/server.rs"]
#[expect(dead_code, reason = "the integration tests use the rest of it")]
pub(crate) mod server;
#[cfg(test)]
mod tests;
