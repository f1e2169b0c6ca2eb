//! Where a model runs: the words `cpu` and `cuda:N`.

use std::sync::OnceLock;

use burn::tensor::Device;

use super::{architecture::NumberFormat, gpus::gpus};

/// Why there is no such device.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// It is none of the words that we know.
    #[error("the device `{0}` is not known; known are `cpu` and `cuda:0`, `cuda:1`, ...")]
    Unknown(String),
    /// The program was built without it.
    #[error("the device `{0}` needs a program built with CUDA: `cargo build --release --features cuda`")]
    NotBuilt(String),
    /// There are fewer GPUs.
    #[error("the device `{name}` is not there: this machine offers {}", offer(*.there))]
    NotThere {
        /// The device.
        name: String,
        /// How many GPUs there are.
        there: usize,
    },
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
/// Where the name is none, the program was built without what it needs, or the machine has no such GPU.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let index = match name {
        "cpu" => return Ok(Device::flex()),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|index| index.parse().ok()),
    };
    let index = index.ok_or_else(|| DeviceError::Unknown(name.to_owned()))?;
    if is_built_for_gpus() {
        find_gpu(index, gpus().len(), name)?;
    }
    cuda(index, name)
}

fn offer(there: usize) -> String {
    match there {
        0 => "no GPU".to_owned(),
        1 => "`cuda:0` only".to_owned(),
        there => format!("`cuda:0` to `cuda:{}`", there - 1),
    }
}

/// CUDA itself would only panic, and later.
fn find_gpu(index: usize, there: usize, name: &str) -> Result<(), DeviceError> {
    if index < there { Ok(()) } else { Err(DeviceError::NotThere { name: name.to_owned(), there }) }
}

/// What the bits of sums on this processor depend on: the vector units that matrix products and element-wise operations
/// take, and how many products are added up before a sum leaves the registers. `avx2+k1024`.
///
/// What was found in the sources of gemm 0.19 and burn-flex 0.22:
/// - Products choose AVX-512, AVX2 with fused multiply-add, or neither, when they first run; element-wise operations and sums
///   along an axis choose on their own, by longer lists of features. Other units have other lanes, and so another order.
/// - Long sums are cut into blocks whose length follows from size and ways of the first-level cache. With AVX-512 they have
///   512 products whether it has 32 or 48 KiB; with AVX2 512 or 1024. So two processors with the same unit can differ.
/// - The other caches and the number of threads choose which rows and columns are computed together, never what is added to
///   what: an element's sum is the same in each of the kernels of a unit.
/// - `exp` and its like come from the C library, which is not part of this name.
pub fn arithmetic() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let (products, elements) = vector_units();
        let units = if products == elements { products.to_owned() } else { format!("{products}-{elements}") };
        // Rows and columns of a kernel, in numbers; both of gemm's tables for 32 and 16 bits have them.
        let (rows, columns) = match products {
            "avx512" => (64, 6),
            "avx2" => (16, 6),
            "neon" => (16, 4),
            _ => (2, 4),
        };
        let block = gemm_common::cache::kernel_params(4096, 4096, 1 << 20, rows, columns, size_of::<f32>()).kc;
        format!("{units}+k{block}")
    })
}

/// The units of matrix products and of everything else.
#[cfg(target_arch = "x86_64")]
fn vector_units() -> (&'static str, &'static str) {
    use std::arch::is_x86_feature_detected as has;
    let products = match (has!("avx512f"), has!("fma")) {
        (true, _) => "avx512",
        (_, true) => "avx2",
        _ => "baseline",
    };
    let is_v2 = has!("sse4.2") && has!("popcnt");
    let is_v3 = is_v2 && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("f16c");
    let is_v4 =
        is_v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    let elements = match (is_v4, is_v3, is_v2) {
        (true, _, _) => "avx512",
        (_, true, _) => "avx2",
        (_, _, true) => "sse4",
        _ => "baseline",
    };
    (products, elements)
}

/// The units of matrix products and of everything else.
#[cfg(not(target_arch = "x86_64"))]
fn vector_units() -> (&'static str, &'static str) {
    let unit = if cfg!(target_arch = "aarch64") { "neon" } else { "baseline" };
    (unit, unit)
}

/// Whether this program was built for GPUs.
pub const fn is_built_for_gpus() -> bool {
    cfg!(feature = "cuda")
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
        if !is_built_for_gpus() {
            assert_eq!(device("cuda:1").unwrap_err(), DeviceError::NotBuilt("cuda:1".to_owned()));
        }
        assert_eq!(Place::named("cpu", "auto").unwrap().format, NumberFormat::Float32);
        assert_eq!(Place::named("cpu", "float16").unwrap().format, NumberFormat::Float16);
        assert_eq!(Place::named("cpu", "fp8").unwrap_err(), DeviceError::Format("fp8".to_owned()));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_what_is() {
        assert_eq!(find_gpu(1, 2, "cuda:1"), Ok(()));
        for (there, said) in [(0, "no GPU"), (1, "`cuda:0` only"), (3, "`cuda:0` to `cuda:2`")] {
            let error = find_gpu(7, there, "cuda:7").unwrap_err().to_string();
            assert_eq!(error, format!("the device `cuda:7` is not there: this machine offers {said}"));
        }
    }
}
