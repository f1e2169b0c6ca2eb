//! What the engine asks of devices: what their numbers depend on, as keys name it, and what there is of them.

use crate::model;
pub use crate::model::{HostMemory, gpus, host_memory, is_built_for_gpus};

/// The backend of a device, `cpu` or `cuda:N`: `cuda`, or on a processor what its sums are added up with, `cpu+avx512`.
pub fn backend(device: &str) -> String {
    match device.split(':').next() {
        Some("cpu") | None => format!("cpu+{}", model::arithmetic()),
        Some(other) => other.to_owned(),
    }
}
