//! Where a model runs: the words `cpu` and `cuda:N`.

use burn::tensor::Device;

use super::architecture::NumberFormat;

/// Why there is no such device.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// It is none of the words that we know.
    #[error("the device `{0}` is not known; known are `cpu` and `cuda:0`, `cuda:1`, ...")]
    Unknown(String),
    /// The program was built without it.
    #[error("the device `{0}` needs a program built with CUDA: `cargo build --release --features cuda`")]
    NotBuilt(String),
    /// It is none of the formats that we know.
    #[error("the format `{0}` is not known; known are `auto`, `float32`, `bfloat16` and `float16`")]
    Format(String),
}

/// Where a model runs, and in which format it computes.
#[derive(Clone, Debug)]
pub struct Place {
    /// Without gradients.
    pub device: Device,
    /// Of weights and activations; norms, softmax and log-probabilities are float32.
    pub format: NumberFormat,
}

impl Place {
    /// A device and a format by name; `auto` is float32 on the CPU, bfloat16 on a GPU.
    ///
    /// # Errors
    /// Where a name is none, or the program was built without what the device needs.
    pub fn named(name: &str, format: &str) -> Result<Self, DeviceError> {
        let device = device(name)?;
        let named = NumberFormat::ALL.into_iter().find(|known| known.name() == format);
        let format = match format {
            "auto" if is_cpu(&device) => NumberFormat::Float32,
            "auto" => NumberFormat::BFloat16,
            _ => named.ok_or_else(|| DeviceError::Format(format.to_owned()))?,
        };
        Ok(Self { device, format })
    }

    /// The CPU with float32.
    pub fn cpu() -> Self {
        Self { device: Device::flex(), format: NumberFormat::Float32 }
    }
}

/// The device of this name, without gradients (`.autodiff()` adds them).
///
/// # Errors
/// Where the name is none, or the program was built without what it needs.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let index = match name {
        "cpu" => return Ok(Device::flex()),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|index| index.parse().ok()),
    };
    cuda(index.ok_or_else(|| DeviceError::Unknown(name.to_owned()))?, name)
}

/// Whether it is the CPU.
pub(super) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

#[cfg(feature = "cuda")]
fn cuda(index: usize, _: &str) -> Result<Device, DeviceError> {
    keep_kernels();
    Ok(Device::new(burn_cuda::CudaDevice::new(index)))
}

/// Has compiled kernels kept beside what autotuning finds, since every attempt is a process that would compile them anew.
#[cfg(feature = "cuda")]
fn keep_kernels() {
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache = true;
    if !CubeClRuntimeConfig::try_set(config) {
        tracing::debug!("the device was configured before");
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize, name: &str) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert!(device("cpu").is_ok());
        assert_eq!(device("gpu").unwrap_err(), DeviceError::Unknown("gpu".to_owned()));
        assert_eq!(device("cuda:x").unwrap_err(), DeviceError::Unknown("cuda:x".to_owned()));
        assert_eq!(device("cuda:1").is_ok(), cfg!(feature = "cuda"));
        assert_eq!(Place::named("cpu", "auto").unwrap().format, NumberFormat::Float32);
        assert_eq!(Place::named("cpu", "float16").unwrap().format, NumberFormat::Float16);
        assert_eq!(Place::named("cpu", "fp8").unwrap_err(), DeviceError::Format("fp8".to_owned()));
    }
}
