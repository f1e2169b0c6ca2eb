//! Where a model runs: the only place that opens devices.

use burn::tensor::Device;

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one of a device.
    #[error("`{0}` is not a device: write `cpu`, or `cuda:0` for the first GPU")]
    Unknown(String),
    /// The program was built without GPUs.
    #[error("`{0}` needs a program built with `cargo build --release --features cuda`; without it there is `cpu`")]
    NotBuilt(String),
}

/// The device of a name: `cpu`, or `cuda:N`.
///
/// # Errors
/// Where there is no such device, or the program was built without it.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let number = name.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok());
    match number {
        Some(number) => cuda(name, number),
        None => Err(DeviceError::Unknown(name.to_owned())),
    }
}

#[cfg(feature = "cuda")]
fn cuda(_name: &str, number: usize) -> Result<Device, DeviceError> {
    Ok(Device::cuda(number))
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _number: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt(name.to_owned()))
}
