//! Devices and number formats.

use std::sync::OnceLock;

use burn::tensor::Device;

use super::{architecture::NumberFormat, gpus::gpus};
use crate::device::DeviceName;

/// Number formats in recipes and on the command line; `auto` is float32 on the CPU and bfloat16 on
/// a GPU.
pub const DTYPES: &[&str] = &["auto", "float32", "bfloat16", "float16"];

/// Why a device cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without CUDA.
    #[error(
        "the device `{0}` needs a program built with CUDA: `cargo build --release --features cuda`"
    )]
    NotBuilt(DeviceName),
    /// No GPU with this number.
    #[error("the device `{name}` does not exist: this machine has {}", offer(*.there))]
    NotThere {
        /// The device.
        name: DeviceName,
        /// Number of GPUs.
        there: usize,
    },
    /// Unknown number format.
    #[error("unknown format `{0}`; known: `auto`, `float32`, `bfloat16`, `float16`")]
    Format(String),
}

/// Device and number format of a model.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Device, without autodiff.
    pub device: Device,
    /// Of weights and activations; norms, softmax and log-probabilities are float32.
    pub format: NumberFormat,
}

impl Placement {
    /// A device and a format by name; `auto` is float32 on the CPU, bfloat16 on a GPU.
    ///
    /// # Errors
    /// Fails on an unknown format, or if the program was built without support for the device.
    pub fn named(name: DeviceName, format: &str) -> Result<Self, DeviceError> {
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

/// The device of this name, without autodiff (`.autodiff()` adds it).
///
/// # Errors
/// Fails on a missing build feature, or a missing GPU.
pub fn device(name: DeviceName) -> Result<Device, DeviceError> {
    let Some(index) = name.gpu() else { return Ok(Device::flex()) };
    if !is_built_for_gpus() {
        return Err(DeviceError::NotBuilt(name));
    }
    // CUDA itself would panic, and only later.
    find_gpu(name, index, gpus().len())?;
    Ok(cuda(index))
}

fn offer(there: usize) -> String {
    match there {
        0 => "no GPU".to_owned(),
        1 => "`cuda:0` only".to_owned(),
        there => format!("`cuda:0` to `cuda:{}`", there - 1),
    }
}

fn find_gpu(name: DeviceName, index: usize, there: usize) -> Result<(), DeviceError> {
    if index < there { Ok(()) } else { Err(DeviceError::NotThere { name, there }) }
}

/// What the bits of sums depend on, on this processor: the vector units of matrix products and
/// element-wise operations, and the number of products that are summed before a sum leaves the
/// registers, and that blocks have fused operations. `avx2+k1024+fused`. The comments are findings
/// in the sources of gemm 0.19 and burn-flex 0.22.
pub fn arithmetic() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let (products, elements) = (unit_of_products(), unit_of_elements());
        let units = if products == elements {
            products.to_owned()
        } else {
            format!("{products}-{elements}")
        };
        // The other caches and the number of threads choose which rows and columns are computed
        // together, never what is added to what: an element's sum is the same in each of the
        // kernels of a unit. Functions outside of blocks, such as the logarithm, come from the C
        // library, which is not part of this name.
        format!("{units}+k{}+fused", products_in_a_block(1 << 20))
    })
}

/// The unit of matrix products.
#[cfg(target_arch = "x86_64")]
fn unit_of_products() -> &'static str {
    // Products choose one of these when they first run. Other units have other lanes, and so
    // another order of additions.
    if std::arch::is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if std::arch::is_x86_feature_detected!("fma") {
        "avx2"
    } else {
        "baseline"
    }
}

/// The unit of element-wise operations, and of sums along an axis.
#[cfg(target_arch = "x86_64")]
fn unit_of_elements() -> &'static str {
    use std::arch::is_x86_feature_detected as has;
    // They choose on their own, by longer lists of features than products.
    let is_v2 = has!("sse4.2") && has!("popcnt");
    let is_v3 = is_v2
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("fma")
        && has!("lzcnt")
        && has!("f16c");
    let is_v4 = is_v3
        && has!("avx512f")
        && has!("avx512bw")
        && has!("avx512cd")
        && has!("avx512dq")
        && has!("avx512vl");
    match (is_v4, is_v3, is_v2) {
        (true, _, _) => "avx512",
        (_, true, _) => "avx2",
        (_, _, true) => "sse4",
        _ => "baseline",
    }
}

/// The unit of matrix products.
#[cfg(not(target_arch = "x86_64"))]
fn unit_of_products() -> &'static str {
    if cfg!(target_arch = "aarch64") { "neon" } else { "baseline" }
}

/// The unit of element-wise operations, and of sums along an axis.
#[cfg(not(target_arch = "x86_64"))]
fn unit_of_elements() -> &'static str {
    unit_of_products()
}

/// The number of products that are summed before a sum of this many leaves the registers.
pub(super) fn products_in_a_block(products: usize) -> usize {
    // Rows and columns of a kernel, in numbers; both of gemm's tables for 32 and 16 bits have them.
    let (rows, columns) = match unit_of_products() {
        "avx512" => (64, 6),
        "avx2" => (16, 6),
        "neon" => (16, 4),
        _ => (2, 4),
    };
    // Long sums are cut into blocks whose length follows from size and ways of the first-level
    // cache. With AVX-512 they have 512 products whether it has 32 or 48 KiB; with AVX2 512 or
    // 1024. So two processors with the same unit can differ.
    gemm_common::cache::kernel_params(4096, 4096, products, rows, columns, size_of::<f32>()).kc
}

/// Whether this program was built for GPUs.
pub const fn is_built_for_gpus() -> bool {
    cfg!(feature = "cuda")
}

/// Whether it is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Device {
    keep_kernels();
    Device::new(burn_cuda::CudaDevice::new(index))
}

/// Keeps compiled kernels beside autotuning results, since every attempt is a new process that
/// would compile them again.
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
fn cuda(_: usize) -> Device {
    unreachable!("a program without CUDA has no such device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_formats_are_found_by_name() {
        assert!(device(DeviceName::Cpu).is_ok());
        if !is_built_for_gpus() {
            let error = device(DeviceName::Cuda(1)).unwrap_err();
            assert_eq!(error, DeviceError::NotBuilt(DeviceName::Cuda(1)));
        }
        assert_eq!(
            Placement::named(DeviceName::Cpu, "auto").unwrap().format,
            NumberFormat::Float32
        );
        assert_eq!(
            Placement::named(DeviceName::Cpu, "float16").unwrap().format,
            NumberFormat::Float16
        );
        assert_eq!(
            Placement::named(DeviceName::Cpu, "fp8").unwrap_err(),
            DeviceError::Format("fp8".to_owned())
        );
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_what_is() {
        assert_eq!(find_gpu(DeviceName::Cuda(1), 1, 2), Ok(()));
        for (there, said) in [(0, "no GPU"), (1, "`cuda:0` only"), (3, "`cuda:0` to `cuda:2`")] {
            let error = find_gpu(DeviceName::Cuda(7), 7, there).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the device `cuda:7` does not exist: this machine has {said}")
            );
        }
    }
}
