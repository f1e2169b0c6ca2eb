//! `doctor`: hardware of this machine, and what is missing.

use std::path::Path;

use serde_json::{Value, json};

use super::output::{print_json, print_text};
use crate::{
    context::backend,
    device::DeviceName,
    model::{gpu_models, gpus, host_memory, is_built_for_gpus},
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
    let built = if is_built_for_gpus() { "with CUDA" } else { "without CUDA" };
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
    // What this program was not built for is no device of it.
    let usable = if is_built_for_gpus() { there } else { 0 };
    let devices =
        std::iter::once("cpu".to_owned()).chain((0..usable).map(|index| format!("cuda:{index}")));
    let mut missing = Vec::new();
    if is_built_for_gpus() {
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
    let memory = host_memory();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "instructions": instructions(),
        "backend": backend(DeviceName::Cpu),
        "memory": memory.limit.map(gibibytes),
        "memory_free": memory.free.map(gibibytes),
        "gpus": gpu_models(),
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
