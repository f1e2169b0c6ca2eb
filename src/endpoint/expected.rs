//! What calls are expected to need, by the log and the length of prompts.

use std::{collections::BTreeSet, path::Path};

use super::{
    budget::expected_cost,
    call::{Call, log_name},
    settings::NamedEndpoint,
};
use crate::store::{CallLog, Store, StoreError};

/// What the calls of a stage are expected to need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Number of distinct calls.
    pub calls: usize,
    /// Of these in the log.
    pub logged: usize,
    /// Cost of the others, by the length of prompts and the longest answers; none without prices.
    pub cost: Option<f64>,
}

/// What some calls are expected to need; reads the log in the store of this folder and changes
/// nothing.
///
/// # Errors
/// If the log cannot be read.
pub fn expected(
    named: &NamedEndpoint,
    store: &Path,
    calls: &[Call],
) -> Result<Expected, StoreError> {
    let endpoint = &named.table;
    let log = CallLog::open(Store::look(store, true)?, &log_name(endpoint))?;
    let mut seen = BTreeSet::new();
    let mut found = Expected { cost: endpoint.prices().map(|_| 0.0), ..Expected::default() };
    for call in calls.iter().filter(|call| seen.insert(call.key)) {
        found.calls += 1;
        if log.holds(&call.key) {
            found.logged += 1;
        } else if let (Some(sum), Some(cost)) = (&mut found.cost, expected_cost(endpoint, call)) {
            *sum += cost;
        }
    }
    Ok(found)
}
