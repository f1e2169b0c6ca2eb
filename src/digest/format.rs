//! Byte format of hashes, pinned by golden tests: changing it invalidates every cached artifact.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A BLAKE3 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: 64 hexadecimal digits are expected")]
pub struct ParseDigestError(String);

/// The digest of a JSON value within a domain, e.g. "key".
///
/// The format: BLAKE3 in key-derivation mode with the context `apeft digest v1 <domain>` over the
/// encoding of the value. A value is one byte for its type, then its content: `n` null; `t` true;
/// `f` false; `i` an integer as 16 bytes, two's complement, little-endian; `d` any other number as
/// the 8 bytes of its double, little-endian (-0 as 0); `s` a text as its length in bytes (8 bytes,
/// little-endian) and its UTF-8; `a` a list as its length and its values; `o` an object as its
/// length and, in the order of its names' bytes, each name (as a text without its type byte) and
/// value.
pub fn digest_value(domain: &str, value: &Value) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("apeft digest v1 {domain}"));
    encode(value, &mut hasher);
    Digest(*hasher.finalize().as_bytes())
}

fn encode(value: &Value, hasher: &mut blake3::Hasher) {
    match value {
        Value::Null => drop(hasher.update(b"n")),
        Value::Bool(true) => drop(hasher.update(b"t")),
        Value::Bool(false) => drop(hasher.update(b"f")),
        Value::Number(number) => match number.as_i128() {
            Some(integer) => drop(hasher.update(b"i").update(&integer.to_le_bytes())),
            None => {
                // Equal numbers must have equal digests, and -0 equals 0.
                let double =
                    number.as_f64().expect("a JSON number is an integer or a double") + 0.0;
                hasher.update(b"d").update(&double.to_le_bytes());
            }
        },
        Value::String(text) => {
            begin(b"s", text.len(), hasher);
            hasher.update(text.as_bytes());
        }
        Value::Array(values) => {
            begin(b"a", values.len(), hasher);
            values.iter().for_each(|value| encode(value, hasher));
        }
        Value::Object(fields) => {
            begin(b"o", fields.len(), hasher);
            // The order of a map depends on the features with which serde_json is built.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_bytes());
            for (name, value) in fields {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                encode(value, hasher);
            }
        }
    }
}

/// Type and length come first, so that no two values have the same encoding.
fn begin(tag: &[u8], length: usize, hasher: &mut blake3::Hasher) {
    hasher.update(tag).update(&(length as u64).to_le_bytes());
}

impl Digest {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 digits, for display.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match blake3::Hash::from_hex(text) {
            // Keys are names of folders, of which each has only one.
            Ok(hash) if text.bytes().all(|byte| !byte.is_ascii_uppercase()) => {
                Ok(Self(*hash.as_bytes()))
            }
            _ => Err(ParseDigestError(text.to_owned())),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_differ_have_other_digests() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            json!(0.5),
            json!(""),
            json!("1"),
            json!([]),
            json!({}),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!([["a"], "b"]),
            json!(["a", ["b"]]),
            json!({"a": "b"}),
            json!({"b": "a"}),
        ];
        let digests: std::collections::BTreeSet<Digest> =
            values.iter().map(|value| digest_value("test", value)).collect();
        assert_eq!(digests.len(), values.len());
    }

    #[test]
    fn order_of_names_does_not_matter_and_the_domain_does() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": [2.5, "x"]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b": [2.5, "x"], "a": 1}"#).unwrap();
        assert_eq!(digest_value("key", &one), digest_value("key", &two));
        assert_ne!(digest_value("key", &one), digest_value("artifact", &one));
    }

    #[test]
    fn the_format_is_pinned() {
        let value = json!({"kind": "sample", "n": 10, "temperature": 0.7, "stop": ["\n", null], "flags": {"greedy": false}});
        expect_test::expect!["8d65ddb6e943d1752221a90c214ecfb23802a7d1471683527b1b7ed2c1ed892c"]
            .assert_eq(&digest_value("key", &value).to_string());
    }
}
