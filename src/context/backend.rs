//! Devices as the engine sees them: backend names for keys, and detection.

pub use crate::model::{HostMemory, gpus, host_memory, is_built_for_gpus};
use crate::{device::DeviceName, model};

/// Backend of a device: `cuda`, or on a CPU everything that sums depend on, `cpu+avx512`.
pub fn backend(device: DeviceName) -> String {
    match device {
        DeviceName::Cpu => format!("cpu+{}", model::arithmetic()),
        DeviceName::Cuda(_) => "cuda".to_owned(),
    }
}
