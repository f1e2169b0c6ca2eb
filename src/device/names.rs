//! Several devices of one kind, as recipes and commands name them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DeviceName, UnknownDevice};

/// Devices of one kind that share the work of a stage; written `cpu`, `cuda:0` or `cuda:0,1`. The
/// one with the lowest number is the first, which does what is not shared. `cpu:0,1` is two shares
/// on one processor, to try a recipe without GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceNames {
    first: DeviceName,
    /// The numbers of the others, one bit for each.
    others: [u64; 4],
}

impl DeviceNames {
    /// The first device.
    pub fn first(self) -> DeviceName {
        self.first
    }

    /// All devices, by number.
    pub fn all(self) -> impl Iterator<Item = DeviceName> {
        std::iter::once(self.first).chain(self.others())
    }

    /// All devices but the first, by number.
    pub fn others(self) -> impl Iterator<Item = DeviceName> {
        self.numbers().map(move |number| match self.first {
            DeviceName::Cpu => DeviceName::Cpu,
            DeviceName::Cuda(_) => DeviceName::Cuda(number),
            DeviceName::Wgpu(_) => DeviceName::Wgpu(number),
        })
    }

    /// Number of devices.
    pub fn count(self) -> usize {
        1 + self.numbers().count()
    }

    /// As many devices of the kind, numbered from 0.
    pub fn renumbered(self) -> Self {
        let first = match self.first {
            DeviceName::Cpu => DeviceName::Cpu,
            DeviceName::Cuda(_) => DeviceName::Cuda(0),
            DeviceName::Wgpu(_) => DeviceName::Wgpu(0),
        };
        (1..self.count()).fold(first.into(), |names: Self, number| names.with(number as u8))
    }

    /// The numbers of the others.
    fn numbers(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX)
            .filter(move |number| self.others[usize::from(number / 64)] >> (number % 64) & 1 == 1)
    }

    fn with(mut self, number: u8) -> Self {
        self.others[usize::from(number / 64)] |= 1 << (number % 64);
        self
    }
}

impl From<DeviceName> for DeviceNames {
    fn from(first: DeviceName) -> Self {
        Self { first, others: [0; 4] }
    }
}

impl fmt::Display for DeviceNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(formatter)?;
        if self.count() > 1 && self.first == DeviceName::Cpu {
            formatter.write_str(":0")?;
        }
        self.numbers().try_for_each(|number| write!(formatter, ",{number}"))
    }
}

impl FromStr for DeviceNames {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownDevice(text.to_owned());
        let Some((names, numbers)) = text.split_once(',') else {
            return Ok(text.parse::<DeviceName>()?.into());
        };
        let first = if names == "cpu:0" { Ok(DeviceName::Cpu) } else { names.parse() };
        let mut numbers: Vec<u8> =
            std::iter::once(names.split_once(':').map_or("", |(_, number)| number))
                .chain(numbers.split(','))
                .map(super::name::read_number)
                .collect::<Option<_>>()
                .ok_or_else(unknown)?;
        numbers.sort_unstable();
        // Twice the same device would get two shares of the work.
        if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(unknown());
        }
        let first = match first.map_err(|_| unknown())? {
            DeviceName::Cuda(_) => DeviceName::Cuda(numbers[0]),
            DeviceName::Wgpu(_) => DeviceName::Wgpu(numbers[0]),
            DeviceName::Cpu => DeviceName::Cpu,
        };
        Ok(numbers[1..].iter().fold(first.into(), |names: Self, number| names.with(*number)))
    }
}

impl Serialize for DeviceNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_devices_have_one_kind_and_ascending_numbers() {
        for (text, written, all) in [
            ("cpu", "cpu", vec![DeviceName::Cpu]),
            ("cuda:3", "cuda:3", vec![DeviceName::Cuda(3)]),
            ("cuda:1,0", "cuda:0,1", vec![DeviceName::Cuda(0), DeviceName::Cuda(1)]),
            ("wgpu:2,255,64", "wgpu:2,64,255", [2, 64, 255].map(DeviceName::Wgpu).to_vec()),
            ("cpu:0,1", "cpu:0,1", vec![DeviceName::Cpu; 2]),
        ] {
            let names: DeviceNames = text.parse().unwrap();
            assert_eq!(names.to_string(), written);
            assert_eq!(names.all().collect::<Vec<_>>(), all);
            assert_eq!((names.first(), names.count()), (all[0], all.len()));
            let json = serde_json::to_string(&names).unwrap();
            assert_eq!(serde_json::from_str::<DeviceNames>(&json).unwrap(), names);
        }
        let renumbered = "cuda:3,7".parse::<DeviceNames>().unwrap().renumbered();
        assert_eq!(renumbered.to_string(), "cuda:0,1");
        for wrong in ["cuda:0,0", "cuda:0,", "cuda:0,256", "cuda,1", "cuda:0,wgpu:1", "cpu,1", ""] {
            let error = wrong.parse::<DeviceNames>().unwrap_err();
            assert_eq!(error, UnknownDevice(wrong.to_owned()));
        }
    }
}
