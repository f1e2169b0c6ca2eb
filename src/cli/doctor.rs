//! `doctor`: what this machine has, and what is missing.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::output::{print_json, print_text};
use crate::{
    model::{gpus, host_memory, is_built_for_gpus},
    stage::backend,
};

/// What `doctor` is told.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArguments {
    /// One machine-readable value instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Looks and prints.
///
/// # Errors
/// Where stdout cannot be written.
pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let found = examine();
    if arguments.json {
        return print_json(&found);
    }
    let text = |field: &str| found[field].as_str().unwrap_or("unknown");
    let all = |field: &str| found[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let built = if is_built_for_gpus() { "with CUDA" } else { "without CUDA" };
    let memory = format!("{} of {} free", text("memory_free"), text("memory"));
    let mut lines = vec![
        ("program", format!("{} ({built})", text("version"))),
        ("cores", found["cores"].to_string()),
        ("products", text("instructions").to_owned()),
        ("backend", format!("{} (part of the key of every stage that runs a model here)", text("backend"))),
        ("memory", memory),
    ];
    lines.extend(all("gpus").map(|gpu| ("gpu", gpu)));
    lines.push(("devices", all("devices").collect::<Vec<_>>().join(", ")));
    lines.extend(all("missing").map(|missing| ("missing", missing)));
    print_text(&lines.iter().map(|(name, words)| format!("{name:<10}{words}\n")).collect::<String>())
}

fn examine() -> Value {
    let there = gpus().len();
    let usable = if is_built_for_gpus() { there } else { 0 };
    let devices = std::iter::once("cpu".to_owned()).chain((0..usable).map(|index| format!("cuda:{index}")));
    let mut missing = Vec::new();
    if is_built_for_gpus() {
        if there == 0 {
            missing.push("no NVIDIA GPU, or its driver is not loaded");
        } else if std::env::var_os("CUDA_PATH").is_none() && !Path::new("/usr/local/cuda/include").exists() {
            missing.push("CUDA headers for run-time compilation: set CUDA_PATH to a folder with include/cuda_fp16.h");
        }
    } else if there > 0 {
        missing.push("this program cannot use the GPU: build it with `cargo build --release --features cuda`");
    }
    if instructions() == "baseline" {
        missing.push("AVX2 or AVX-512: products of matrices run several times slower without");
    }
    let memory = host_memory();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "instructions": instructions(),
        "backend": backend("cpu"),
        "memory": memory.limit.map(gibibytes),
        "memory_free": memory.free.map(gibibytes),
        "gpus": gpu_names(),
        "devices": devices.collect::<Vec<_>>(),
        "missing": missing,
    })
}

/// The widest vector instructions that the matrix products can use here.
#[cfg(target_arch = "x86_64")]
fn instructions() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        "AVX-512"
    } else if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        "AVX2"
    } else {
        "baseline"
    }
}

/// The widest vector instructions that the matrix products can use here.
#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> &'static str {
    if cfg!(target_arch = "aarch64") { "NEON" } else { "baseline" }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The names of the NVIDIA GPUs whose driver is loaded.
fn gpu_names() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let name = |folder: &std::path::PathBuf| {
        let text = fs::read_to_string(folder.join("information")).unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("Model:")).map(str::trim);
        model.unwrap_or("an NVIDIA GPU").to_owned()
    };
    folders.iter().map(name).collect()
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
