//! Metadata of a GGUF file: values by key, with their types checked where they are used.

use std::collections::BTreeMap;

/// A value.
pub(super) enum GgufValue<'a> {
    Integer(i128),
    Number(f64),
    Flag(bool),
    Text(&'a str),
    List(GgufList<'a>),
}

/// A list of values of one type.
pub(super) enum GgufList<'a> {
    Texts(Vec<&'a str>),
    Numbers(GgufNumbers<'a>),
}

/// Numbers or flags of one type, as they stand in the file: lists can be as long as it.
#[derive(Clone, Copy)]
pub(super) struct GgufNumbers<'a> {
    /// Number of the type, with a [`number_size`].
    pub(super) kind: u32,
    pub(super) bytes: &'a [u8],
}

/// Size in bytes of the types that are numbers or flags.
pub(super) fn number_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

impl<'a> GgufNumbers<'a> {
    /// All of them, in order.
    pub(super) fn values(self) -> impl Iterator<Item = GgufValue<'a>> {
        let size = number_size(self.kind).unwrap_or(1) as usize;
        self.bytes.chunks_exact(size).map(move |bytes| number_of(self.kind, bytes))
    }

    /// All of them as floating-point numbers; integers are exact up to 2^53.
    pub(super) fn floats(self) -> impl Iterator<Item = f64> {
        self.values().map(|value| match value {
            GgufValue::Integer(value) => value as f64,
            GgufValue::Number(value) => value,
            GgufValue::Flag(value) => f64::from(u8::from(value)),
            GgufValue::Text(_) | GgufValue::List(_) => f64::NAN,
        })
    }
}

/// The value of these little-endian bytes.
fn number_of(kind: u32, bytes: &[u8]) -> GgufValue<'static> {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let [low, ..] = all;
    let (short, word, long) = (
        u16::from_le_bytes([all[0], all[1]]),
        u32::from_le_bytes([all[0], all[1], all[2], all[3]]),
        u64::from_le_bytes(all),
    );
    match kind {
        1 => GgufValue::Integer(low.cast_signed().into()),
        3 => GgufValue::Integer(short.cast_signed().into()),
        5 => GgufValue::Integer(word.cast_signed().into()),
        6 => GgufValue::Number(shortest(f32::from_bits(word))),
        7 => GgufValue::Flag(low != 0),
        11 => GgufValue::Integer(long.cast_signed().into()),
        12 => GgufValue::Number(f64::from_bits(long)),
        _ => GgufValue::Integer(long.into()),
    }
}

/// The number whose shortest decimal digits are those of a float32: 0.00001, not 0.0000099999997.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Values by key.
pub(super) struct GgufMetadata<'a>(pub(super) BTreeMap<&'a str, GgufValue<'a>>);

impl<'a> GgufMetadata<'a> {
    /// All keys with their values, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &GgufValue<'a>)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// An integer that is not negative.
    pub(super) fn integer(&self, key: &str) -> Result<Option<u64>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::Integer(value)) => u64::try_from(*value)
                .map(Some)
                .map_err(|_| format!("`{key}` is {value}, but must be at least 0")),
            Some(other) => Err(other.unlike(key, "an integer")),
        }
    }

    /// An integer, also if it is written once for each block and always the same.
    pub(super) fn same_integer(&self, key: &str) -> Result<Option<u64>, String> {
        let Some(GgufValue::List(GgufList::Numbers(values))) = self.0.get(key) else {
            return self.integer(key);
        };
        let first = values.floats().next().unwrap_or_default();
        if values.floats().any(|value| value != first) || first < 0.0 {
            return Err(format!(
                "`{key}` differs between blocks, which is not supported: all blocks have the same \
                sizes"
            ));
        }
        Ok(Some(first as u64))
    }

    /// An integer that must be there.
    pub(super) fn required(&self, key: &str) -> Result<u64, String> {
        self.same_integer(key)?.ok_or_else(|| missing(key))
    }

    /// A number, whether it is written as integer or not.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::Number(value)) => Ok(Some(*value)),
            Some(GgufValue::Integer(value)) => Ok(Some(*value as f64)),
            Some(other) => Err(other.unlike(key, "a number")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::Flag(value)) => Ok(Some(*value)),
            Some(other) => Err(other.unlike(key, "true or false")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::Text(value)) => Ok(Some(value)),
            Some(other) => Err(other.unlike(key, "a text")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[&'a str]>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::List(GgufList::Texts(values))) => Ok(Some(values)),
            // An empty list may have been written with any type.
            Some(GgufValue::List(GgufList::Numbers(values))) if values.bytes.is_empty() => {
                Ok(Some(&[]))
            }
            Some(other) => Err(other.unlike(key, "a list of texts")),
        }
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<GgufNumbers<'a>>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(GgufValue::List(GgufList::Numbers(values))) => Ok(Some(*values)),
            Some(other) => Err(other.unlike(key, "a list of numbers")),
        }
    }
}

impl GgufValue<'_> {
    /// The problem of a value of another type.
    fn unlike(&self, key: &str, expected: &str) -> String {
        format!("`{key}` is {}, but must be {expected}", self.shown())
    }

    /// The value, or its kind where it is long.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::Text(value) if value.len() <= 40 => format!("\"{value}\""),
            Self::Text(_) => "a long text".to_owned(),
            Self::List(GgufList::Texts(values)) => format!("a list of {} texts", values.len()),
            Self::List(GgufList::Numbers(values)) => {
                format!("a list of {} numbers", values.values().count())
            }
        }
    }
}

/// The problem of a key that must be there.
pub(super) fn missing(key: &str) -> String {
    format!("the metadata key `{key}` is missing")
}
