//! Numbers of rows in their range.

use serde::{Deserialize, Deserializer, de::Error};

/// Maximum weight of a row.
const LARGEST_WEIGHT: f64 = 1e6;

/// Reads a probability.
pub(super) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("the probability is {value}, but must be from 0 to 1")))
    }
}

/// Reads a loss weight.
pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    // Not a number fails here too, since no range contains it.
    if (0.0..=LARGEST_WEIGHT).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!(
            "the weight is {value}, but must be from 0 to {LARGEST_WEIGHT}"
        )))
    }
}
