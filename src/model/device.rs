//! Where a model runs: the words `cpu` and `cuda:N`.

use burn::tensor::Device;

/// Why there is no such device.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// It is none of the words that we know.
    #[error("the device `{0}` is not known; known are `cpu` and `cuda:0`, `cuda:1`, ...")]
    Unknown(String),
    /// The program was built without it.
    #[error("the device `{0}` needs a program built with CUDA: `cargo build --release --features cuda`")]
    NotBuilt(String),
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

#[cfg(feature = "cuda")]
fn cuda(index: usize, _: &str) -> Result<Device, DeviceError> {
    Ok(Device::new(burn_cuda::CudaDevice::new(index)))
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
    }
}
