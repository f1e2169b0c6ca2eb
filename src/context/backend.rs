//! Devices as the engine sees them: backend names for keys, and detection.

pub use crate::model::{
    DeviceError, HostMemory, count_of_kind, gpus, host, host_memory, is_built_for, processor,
};
use crate::{device::DeviceName, model};

/// Backend of a device: `cuda`, `wgpu`, or on a CPU everything that sums depend on, `cpu+avx512`.
pub fn backend(device: DeviceName) -> String {
    match device {
        DeviceName::Cpu => format!("cpu+{}", model::arithmetic()),
        DeviceName::Cuda(_) => "cuda".to_owned(),
        DeviceName::Wgpu(_) => "wgpu".to_owned(),
    }
}
