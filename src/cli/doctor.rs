//! `doctor`: hardware of this machine, and what is missing.

use std::path::Path;

use serde_json::{Value, json};

use super::output::{print_json, print_text};
use crate::{
    context::backend,
    device::DeviceName,
    model::{gpu_models, gpus, host_memory, is_built_for, wgpu_models},
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft doctor
  apeft doctor --json")]
pub(super) struct DoctorArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Detects and prints.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let found = examine();
    if arguments.json {
        return print_json(&found);
    }
    let built = match (is_built_for(DeviceName::Cuda(0)), is_built_for(DeviceName::Wgpu(0))) {
        (true, true) => "with CUDA and wgpu",
        (true, false) => "with CUDA",
        (false, true) => "with wgpu, without CUDA",
        (false, false) => "for the CPU alone",
    };
    let memory = format!("{} of {} free", text(&found, "memory_free"), text(&found, "memory"));
    let mut lines = vec![
        ("program", format!("{} ({built})", text(&found, "version"))),
        ("cores", found["cores"].to_string()),
        ("products", text(&found, "instructions").to_owned()),
        (
            "backend",
            format!(
                "{} (part of the key of every stage that runs a model here)",
                text(&found, "backend")
            ),
        ),
        ("memory", memory),
    ];
    lines.extend(all(&found, "gpus").map(|gpu| ("gpu", gpu)));
    lines.push(("devices", all(&found, "devices").collect::<Vec<_>>().join(", ")));
    lines.extend(all(&found, "missing").map(|missing| ("missing", missing)));
    print_text(
        &lines.iter().map(|(name, words)| format!("{name:<10}{words}\n")).collect::<String>(),
    )
}

fn text<'a>(found: &'a Value, field: &str) -> &'a str {
    found[field].as_str().unwrap_or("unknown")
}

fn all<'a>(found: &'a Value, field: &str) -> impl Iterator<Item = String> + use<'a> {
    found[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

fn examine() -> Value {
    let there = gpus().len();
    let is_built_for_cuda = is_built_for(DeviceName::Cuda(0));
    // What this program was not built for is no device of it.
    let usable = if is_built_for_cuda { there } else { 0 };
    let cuda = (0..usable).map(|index| format!("cuda:{index}"));
    let adapters = wgpu_models();
    let wgpu = (0..adapters.len()).map(|index| format!("wgpu:{index}"));
    let devices = std::iter::once("cpu".to_owned()).chain(cuda).chain(wgpu);
    let mut missing = Vec::new();
    if is_built_for_cuda {
        if there == 0 {
            missing.push("no NVIDIA GPU, or its driver is not loaded");
        } else if std::env::var_os("CUDA_PATH").is_none()
            && !Path::new("/usr/local/cuda/include").exists()
        {
            // Kernels are compiled when they first run, from these headers.
            missing.push(
                "CUDA headers for run-time compilation: set CUDA_PATH to a folder with \
            include/cuda_fp16.h",
            );
        }
    } else if there > 0 {
        missing.push(
            "this program cannot use the GPU: build it with `cargo build --release \
        --features cuda`",
        );
    }
    if instructions() == "baseline" {
        missing.push("AVX2 or AVX-512: matrix products are several times slower without");
    }
    if is_built_for(DeviceName::Wgpu(0)) && adapters.is_empty() {
        missing.push("no GPU with a driver for Vulkan, Metal or DirectX 12");
    }
    let memory = host_memory();
    let gpus = [gpu_models(), adapters].concat();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "instructions": instructions(),
        "backend": backend(DeviceName::Cpu),
        "memory": memory.limit.map(gibibytes),
        "memory_free": memory.free.map(gibibytes),
        "gpus": gpus,
        "devices": devices.collect::<Vec<_>>(),
        "missing": missing,
    })
}

/// Widest vector instructions available to matrix products.
#[cfg(target_arch = "x86_64")]
fn instructions() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        "AVX-512"
    } else if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
    {
        "AVX2"
    } else {
        "baseline"
    }
}

/// Widest vector instructions available to matrix products.
#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> &'static str {
    if cfg!(target_arch = "aarch64") { "NEON" } else { "baseline" }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        let found = examine();
        assert_eq!(found["devices"][0], "cpu");
        assert!(found["cores"].as_u64().unwrap() >= 1);
    }
}
