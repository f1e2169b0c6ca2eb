//! `doctor`: hardware of this machine, and what is missing.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    output::{print_json, print_text},
    shared_args::CacheArguments,
};
use crate::{
    bench::shape,
    context::backend,
    device::DeviceName,
    footprint::{PassSize, TrainingMemory, size_in_words},
    model::{
        AdapterConfig, DeviceMemory, ModelConfig, NumberFormat, device_memory, gpu_models, gpus,
        host_memory, is_built_for, wgpu_models,
    },
    store::{LockKind, LockReport, Store},
    tuning::{GradientCheckpointing, LOGITS_BYTES},
};

/// Shapes of which `doctor` says whether they fit.
const FITTED: [&str; 3] = ["llama-110m", "llama-1.1b", "llama-3-8b"];
/// Rank of their adapters.
const RANK: usize = 16;
/// Tokens of the pair that is in memory at once.
const PROMPT: usize = 512;
const COMPLETION: usize = 512;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft doctor
  apeft doctor --json")]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    cache: CacheArguments,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Detects and prints.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let mut found = examine();
    let locks = Store::locks_at(&arguments.cache.cache);
    found["store"] = json!({
        "path": std::path::absolute(&arguments.cache.cache)?,
        "file_system": locks.file_system,
        "locks": if locks.locking.kind == LockKind::Flock { "flock" } else { "lease files" },
        "why": locks.locking.why,
        "tried": locks.tried,
    });
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
    lines.push(("store", in_words(&locks)));
    lines.extend(all(&found, "fits").map(|words| ("fits", words)));
    lines.extend(all(&found, "missing").map(|missing| ("missing", missing)));
    print_text(
        &lines.iter().map(|(name, words)| format!("{name:<10}{words}\n")).collect::<String>(),
    )
}

/// How the store is locked, and why.
fn in_words(locks: &LockReport) -> String {
    let LockReport { file_system, locking, tried } = locks;
    match &locking.why {
        Some(why) => format!("on {file_system}, locked by lease files: {why}; {tried}"),
        None => format!("on {file_system}, locked by flock; {tried}"),
    }
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
    let names = std::iter::once("cpu".to_owned()).chain(cuda).chain(wgpu);
    let names: Vec<String> = names.collect();
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
        "version": env!("APEFT_VERSION"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "instructions": instructions(),
        "backend": backend(DeviceName::Cpu),
        "memory": memory.limit.map(gibibytes),
        "memory_free": memory.free.map(gibibytes),
        "gpus": gpus,
        "fits": fitting(&names),
        "devices": names,
        "missing": missing,
    })
}

/// What of the shapes of `apeft bench` fits each device.
fn fitting(names: &[String]) -> Vec<String> {
    let devices = names.iter().filter_map(|name| name.parse().ok());
    let of_device = devices.flat_map(|device: DeviceName| {
        let memory = device_memory(device);
        let shapes = FITTED.iter().filter_map(|name| Some((*name, shape(name)?)));
        shapes.map(move |(name, config)| fits(device, memory, name, &config))
    });
    of_device.collect()
}

/// Whether a model of this shape can be tuned on a device.
fn fits(device: DeviceName, memory: DeviceMemory, name: &str, config: &ModelConfig) -> String {
    let half = if device.wgpu().is_some() { NumberFormat::Float16 } else { NumberFormat::BFloat16 };
    let mut pass = PassSize::default();
    pass.add(PROMPT, &[COMPLETION, COMPLETION], true);
    let needs = [Some(adapter_of(config)), None].map(|adapter| {
        let format = if adapter.is_some() { half } else { NumberFormat::Float32 };
        let training = TrainingMemory {
            config,
            on_cpu: device == DeviceName::Cpu,
            format,
            adapter,
            other_models: 0,
            accumulates: true,
            logits_bytes: LOGITS_BYTES,
            reference_tokens: 0.0,
        };
        let need = training.need(pass, GradientCheckpointing::PerBlock).total();
        let answer = match memory.total {
            None => "unknown",
            Some(total) if need > total as f64 => "does not fit",
            Some(_) => "fits",
        };
        let how = if adapter.is_some() {
            format!("LoRA beside {}", half.name())
        } else {
            "all weights".to_owned()
        };
        format!("{how} about {}: {answer}", size_in_words(need))
    });
    let there = memory.total.map_or_else(|| "unknown".to_owned(), gibibytes);
    format!("{name} on {device} ({there}): {}", needs.join("; "))
}

/// Numbers of an adapter on all linear layers.
fn adapter_of(config: &ModelConfig) -> usize {
    let adapter = json!({"r": RANK, "lora_alpha": RANK, "target_modules": "all-linear"});
    let adapter: AdapterConfig = serde_json::from_value(adapter).expect("it is valid");
    config.adapter_parameters(&adapter).expect("no pattern is invalid")
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
