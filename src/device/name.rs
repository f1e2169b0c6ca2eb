//! Names of devices in recipes, in the options of commands and between processes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A device that models run on; written `cpu` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU with this number, from 0, among those that the process sees.
    Cuda(u8),
}

/// The text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`; known: `cpu`, `cuda:0`, `cuda:1`, ...")]
pub struct UnknownDevice(pub String);

impl DeviceName {
    /// Number of the GPU, if it is one.
    pub fn gpu(self) -> Option<usize> {
        match self {
            Self::Cpu => None,
            Self::Cuda(number) => Some(number.into()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "cpu" {
            return Ok(Self::Cpu);
        }
        // Only digits: Rust would read `+1` too.
        text.strip_prefix("cuda:")
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse().ok())
            .map(Self::Cuda)
            .ok_or_else(|| UnknownDevice(text.to_owned()))
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (text, device) in [
            ("cpu", DeviceName::Cpu),
            ("cuda:0", DeviceName::Cuda(0)),
            ("cuda:12", DeviceName::Cuda(12)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
            assert_eq!(serde_json::from_str::<DeviceName>(&format!("\"{text}\"")).unwrap(), device);
            assert_eq!(serde_json::to_string(&device).unwrap(), format!("\"{text}\""));
        }
        for wrong in
            ["", "CPU", "gpu", "cuda", "cuda:", "cuda:x", "cuda:+1", "cuda:-1", "cuda:256", "tpu:0"]
        {
            assert_eq!(wrong.parse::<DeviceName>(), Err(UnknownDevice(wrong.to_owned())));
        }
        assert_eq!((DeviceName::Cpu.gpu(), DeviceName::Cuda(3).gpu()), (None, Some(3)));
    }
}
