//! Names of devices in recipes, in the options of commands and between processes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A device that models run on; written `cpu`, `cuda:N` or `wgpu:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU with this number, from 0, among those that the process sees.
    Cuda(u8),
    /// The GPU with this number, from 0, among those that wgpu finds, of any vendor.
    Wgpu(u8),
}

/// The text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown device `{0}`; known: `cpu`, `cuda:0`, `cuda:1`, ..., `wgpu:0`, ..., and \
     several, `cuda:0,1`"
)]
pub struct UnknownDevice(pub String);

impl DeviceName {
    /// Number of the GPU, if CUDA runs it.
    pub fn cuda(self) -> Option<usize> {
        match self {
            Self::Cuda(number) => Some(number.into()),
            Self::Cpu | Self::Wgpu(_) => None,
        }
    }

    /// Number of the GPU, if wgpu runs it.
    pub fn wgpu(self) -> Option<usize> {
        match self {
            Self::Wgpu(number) => Some(number.into()),
            Self::Cpu | Self::Cuda(_) => None,
        }
    }

    /// Cargo feature of a program that supports the device; the CPU needs none.
    pub fn feature(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Cuda(_) => Some("cuda"),
            Self::Wgpu(_) => Some("wgpu"),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
            Self::Wgpu(number) => write!(formatter, "wgpu:{number}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            Some(("cuda", number)) => read_number(number).map(Self::Cuda),
            Some(("wgpu", number)) => read_number(number).map(Self::Wgpu),
            _ => None,
        };
        name.ok_or_else(|| UnknownDevice(text.to_owned()))
    }
}

pub(super) fn read_number(text: &str) -> Option<u8> {
    // Only digits: Rust would read `+1` too.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
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
            ("wgpu:1", DeviceName::Wgpu(1)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
            assert_eq!(serde_json::from_str::<DeviceName>(&format!("\"{text}\"")).unwrap(), device);
            assert_eq!(serde_json::to_string(&device).unwrap(), format!("\"{text}\""));
        }
        for wrong in
            ["", "CPU", "gpu", "cuda", "cuda:", "wgpu:x", "cuda:+1", "cuda:-1", "cuda:256", "tpu:0"]
        {
            assert_eq!(wrong.parse::<DeviceName>(), Err(UnknownDevice(wrong.to_owned())));
        }
        let numbers = |name: DeviceName| (name.cuda(), name.wgpu());
        assert_eq!(numbers(DeviceName::Cpu), (None, None));
        assert_eq!(numbers(DeviceName::Cuda(3)), (Some(3), None));
        assert_eq!(numbers(DeviceName::Wgpu(3)), (None, Some(3)));
    }
}
