//! Values of the fields of a `config.json` by type.

use serde_json::{Map, Value};

use super::ConfigError;

/// No real model has a larger size; a larger one means a damaged file.
const LARGEST_SIZE: u64 = 1 << 24;
/// Expected value of sizes.
const SIZES: &str = "it must be an integer from 1 to 16777216";

/// The fields of a `config.json`, or of a table in it.
pub(super) struct ConfigFields(pub(super) Map<String, Value>);

impl ConfigFields {
    /// A value that is not null: transformers writes null for what is not said.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Checks fields that both the whole and the tables of rotary embeddings may have.
    pub(super) fn check_supported(&self) -> Result<(), ConfigError> {
        if let Some(value) = self.get("hidden_act")
            && !matches!(value.as_str(), Some("silu" | "swish"))
        {
            let supported = "the activation is `silu`";
            return Err(ConfigError::unsupported("hidden_act", value, supported));
        }
        if let Some(share) = self.get("partial_rotary_factor")
            && share.as_f64() != Some(1.0)
        {
            let supported = "rotary embeddings cover the whole head";
            return Err(ConfigError::unsupported("partial_rotary_factor", share, supported));
        }
        Ok(())
    }

    pub(super) fn size(&self, field: &'static str) -> Result<usize, ConfigError> {
        match self.count(field)? {
            0 => Err(ConfigError::wrong(field, 0, SIZES)),
            size => Ok(size),
        }
    }

    pub(super) fn count(&self, field: &'static str) -> Result<usize, ConfigError> {
        let value = self.get(field).ok_or(ConfigError::Missing(field))?;
        match value.as_u64() {
            // Products of sizes up to this fit 64 bits, so that they need no checks.
            Some(size @ 0..=LARGEST_SIZE) => Ok(size as usize),
            _ => Err(ConfigError::wrong(field, value, SIZES)),
        }
    }

    pub(super) fn size_or(
        &self,
        field: &'static str,
        default: usize,
    ) -> Result<usize, ConfigError> {
        self.get(field).map_or(Ok(default), |_| self.size(field))
    }

    /// A number above 0.
    pub(super) fn number(&self, field: &'static str, default: f64) -> Result<f64, ConfigError> {
        Ok(self.optional_number(field)?.unwrap_or(default))
    }

    /// A number above 0, if any.
    pub(super) fn optional_number(&self, field: &'static str) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        number
            .map(Some)
            .ok_or_else(|| ConfigError::wrong(field, value, "it must be a number above 0"))
    }

    pub(super) fn required_number(&self, field: &'static str) -> Result<f64, ConfigError> {
        self.optional_number(field)?.ok_or(ConfigError::Missing(field))
    }

    pub(super) fn flag(&self, field: &'static str) -> Result<bool, ConfigError> {
        self.flag_or(field, false)
    }

    pub(super) fn flag_or(&self, field: &'static str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let expected = "it must be true or false";
        value.as_bool().ok_or_else(|| ConfigError::wrong(field, value, expected))
    }

    /// One token or several, or none.
    pub(super) fn tokens(&self, field: &'static str) -> Result<Vec<u32>, ConfigError> {
        self.get(field).map_or(Ok(Vec::new()), |value| tokens(field, value))
    }
}

/// One token or a list of tokens; -1 means none.
pub(in crate::model) fn tokens(
    field: &'static str,
    value: &Value,
) -> Result<Vec<u32>, ConfigError> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut tokens = Vec::with_capacity(values.len());
    // The first files of Llama 2 have -1 where there is no padding token.
    for one in values.iter().filter(|one| one.as_i64() != Some(-1)) {
        let token = one.as_u64().and_then(|token| u32::try_from(token).ok());
        tokens.push(token.ok_or_else(|| {
            ConfigError::wrong(field, value, "it must be a token or a list of tokens")
        })?);
    }
    Ok(tokens)
}
