//! `doctor`: what this machine has, and what is missing.

use std::{fs, path::Path};

use serde_json::{Value, json};

/// What `doctor` is told.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArguments {
    /// One machine-readable value instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Looks and prints.
pub(super) fn run(arguments: &DoctorArguments) {
    let found = examine();
    if arguments.json {
        println!("{found}");
        return;
    }
    let text = |field: &str| found[field].as_str().unwrap_or("unknown").to_owned();
    println!("program   {} ({})", text("version"), if cfg!(feature = "cuda") { "with CUDA" } else { "without CUDA" });
    println!("cores     {}", found["cores"]);
    println!("products  {}", text("instructions"));
    println!("memory    {} of {} free", text("memory_free"), text("memory"));
    for gpu in found["gpus"].as_array().into_iter().flatten() {
        println!("gpu       {}", gpu.as_str().unwrap_or("unknown"));
    }
    println!("devices   {}", list(&found["devices"]));
    for missing in found["missing"].as_array().into_iter().flatten() {
        println!("missing   {}", missing.as_str().unwrap_or_default());
    }
}

fn list(values: &Value) -> String {
    let names: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}

fn examine() -> Value {
    let gpus = gpus();
    let usable = if cfg!(feature = "cuda") { gpus.len() } else { 0 };
    let devices = std::iter::once("cpu".to_owned()).chain((0..usable).map(|index| format!("cuda:{index}")));
    let mut missing = Vec::new();
    if cfg!(feature = "cuda") {
        if gpus.is_empty() {
            missing.push("no NVIDIA GPU, or its driver is not loaded");
        } else if std::env::var_os("CUDA_PATH").is_none() && !Path::new("/usr/local/cuda/include").exists() {
            missing.push("CUDA headers for run-time compilation: set CUDA_PATH to a folder with include/cuda_fp16.h");
        }
    } else if !gpus.is_empty() {
        missing.push("this program cannot use the GPU: build it with `cargo build --release --features cuda`");
    }
    if instructions() == "baseline" {
        missing.push("AVX2 or AVX-512: products of matrices run several times slower without");
    }
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "instructions": instructions(),
        "memory": memory("MemTotal:"),
        "memory_free": memory("MemAvailable:"),
        "gpus": gpus,
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

/// A line of `/proc/meminfo` in gibibytes.
fn memory(line: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes: f64 =
        text.lines().find_map(|found| found.strip_prefix(line))?.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.1} GiB", kibibytes / f64::from(1 << 20)))
}

/// The names of the NVIDIA GPUs whose driver is loaded.
fn gpus() -> Vec<String> {
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
