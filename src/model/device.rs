//! Devices and number formats.

use std::sync::OnceLock;

use burn::tensor::{DType, Device};

use super::{architecture::NumberFormat, gpus::gpus};
use crate::device::{DeviceName, DeviceNames};

/// Number formats in recipes and on the command line; `auto` is bfloat16 on `cuda:N`, else float32.
pub const DTYPES: &[&str] = &["auto", "float32", "bfloat16", "float16"];

/// Why a device cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without support for the device.
    #[error(
        "the device `{0}` needs another build of this program: `cargo build --release --features \
        {feature}`", feature = .0.feature().unwrap_or_default()
    )]
    NotBuilt(DeviceName),
    /// No GPU with this number.
    #[error("the device `{name}` does not exist: this machine has {}", offer(*name, *.there))]
    NotThere {
        /// The device.
        name: DeviceName,
        /// Number of GPUs.
        there: usize,
    },
    /// A number format that the device does not compute with.
    #[error("the device `{0}` has no bfloat16: write `float32` or `float16`")]
    NoBFloat16(DeviceName),
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
    /// A device and a format by name; `auto` is bfloat16 on `cuda:N`, else float32.
    ///
    /// # Errors
    /// Fails on an unknown format, on one that the device lacks, or if the program was built
    /// without support for the device.
    pub fn named(name: DeviceName, format: &str) -> Result<Self, DeviceError> {
        let device = device(name)?;
        let format =
            number_format(format, name).ok_or_else(|| DeviceError::Format(format.to_owned()))?;
        if format == NumberFormat::BFloat16 && name.wgpu().is_some() {
            return Err(DeviceError::NoBFloat16(name));
        }
        Ok(Self { device, format })
    }

    /// The CPU with float32.
    pub fn cpu() -> Self {
        Self { device: Device::flex(), format: NumberFormat::Float32 }
    }
}

/// The number format of this name on a device; `auto` is bfloat16 on `cuda:N`, else float32.
pub fn number_format(format: &str, name: DeviceName) -> Option<NumberFormat> {
    match (format, name) {
        ("auto", DeviceName::Cuda(_)) => Some(NumberFormat::BFloat16),
        ("auto", DeviceName::Cpu | DeviceName::Wgpu(_)) => Some(NumberFormat::Float32),
        _ => NumberFormat::named(format),
    }
}

/// The device of this name, without autodiff (`.autodiff()` adds it).
///
/// # Errors
/// Fails on a missing build feature, or a missing GPU.
pub fn device(name: DeviceName) -> Result<Device, DeviceError> {
    if !is_built_for(name) {
        return Err(DeviceError::NotBuilt(name));
    }
    // Backends would panic, and only later.
    check_number(name, count_of_kind(name))?;
    Ok(match name {
        DeviceName::Cpu => Device::flex(),
        DeviceName::Cuda(number) => cuda(number.into()),
        DeviceName::Wgpu(number) => wgpu_devices()[usize::from(number)].clone(),
    })
}

/// All devices but the first.
///
/// # Errors
/// As [`device`].
pub fn other_devices(names: DeviceNames) -> Result<Vec<Device>, DeviceError> {
    names.others().map(device).collect()
}

/// Number of devices of this machine that are of the same kind.
pub fn count_of_kind(name: DeviceName) -> usize {
    match name {
        DeviceName::Cpu => 1,
        DeviceName::Cuda(_) => gpus().len(),
        DeviceName::Wgpu(_) => wgpu_devices().len(),
    }
}

fn offer(name: DeviceName, there: usize) -> String {
    let kind = name.feature().unwrap_or("cpu");
    match there {
        0 => "no GPU".to_owned(),
        1 => format!("`{kind}:0` only"),
        there => format!("`{kind}:0` to `{kind}:{}`", there - 1),
    }
}

fn check_number(name: DeviceName, there: usize) -> Result<(), DeviceError> {
    match name.cuda().or(name.wgpu()) {
        Some(number) if number >= there => Err(DeviceError::NotThere { name, there }),
        _ => Ok(()),
    }
}

/// What the bits of sums depend on, on this processor: the vector units of matrix products and
/// element-wise operations, and the number of products that are summed before a sum leaves the
/// registers, and the version of fused operations. `avx2+k1024+fused3`. The comments are findings
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
        format!("{units}+k{}+fused3", products_in_a_block(1 << 20))
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

/// Whether this program was built for the kind of device.
pub const fn is_built_for(name: DeviceName) -> bool {
    match name {
        DeviceName::Cpu => true,
        DeviceName::Cuda(_) => cfg!(feature = "cuda"),
        DeviceName::Wgpu(_) => cfg!(feature = "wgpu"),
    }
}

/// Whether it is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// The format of states beside weights of this one. With bfloat16 on the CPU they are float32, and
/// only products round their inputs: its other operations are no faster in 16 bits.
pub fn states_format(weights: NumberFormat, device: &Device) -> DType {
    match weights {
        NumberFormat::BFloat16 if is_cpu(device) => DType::F32,
        format => format.dtype(),
    }
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

/// The GPUs that wgpu finds, and software drivers, in its order; `wgpu:N` is the one at index N.
#[cfg(feature = "wgpu")]
fn wgpu_devices() -> &'static [Device] {
    static FOUND: OnceLock<Vec<Device>> = OnceLock::new();
    FOUND.get_or_init(|| Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().collect())
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_devices() -> &'static [Device] {
    &[]
}

/// The names that the devices `wgpu:0`, `wgpu:1`, ... have for people. Opens them.
#[cfg(feature = "wgpu")]
pub fn wgpu_models() -> Vec<String> {
    let name = |device: &Device| device.identity().map(|identity| identity.name);
    wgpu_devices().iter().map(|device| name(device).unwrap_or_default()).collect()
}

/// No names, since this program was built without wgpu.
#[cfg(not(feature = "wgpu"))]
pub fn wgpu_models() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_formats_are_found_by_name() {
        assert!(device(DeviceName::Cpu).is_ok());
        for (name, feature) in [(DeviceName::Cuda(1), "cuda"), (DeviceName::Wgpu(1), "wgpu")] {
            if !is_built_for(name) {
                let error = device(name).unwrap_err();
                assert!(error.to_string().contains(&format!("--features {feature}`")), "{error}");
            }
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
        assert_eq!(check_number(DeviceName::Cuda(1), 2), Ok(()));
        for (name, there, said) in [
            (DeviceName::Cuda(7), 0, "no GPU"),
            (DeviceName::Cuda(7), 1, "`cuda:0` only"),
            (DeviceName::Wgpu(7), 3, "`wgpu:0` to `wgpu:2`"),
        ] {
            let error = check_number(name, there).unwrap_err().to_string();
            let right = format!("the device `{name}` does not exist: this machine has {said}");
            assert_eq!(error, right);
        }
    }
}
