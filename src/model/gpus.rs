//! GPUs that are visible to this process.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The GPUs in the order of `CUDA_VISIBLE_DEVICES`; `cuda:N` is the one at index N.
pub fn gpus() -> Vec<String> {
    let listed = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    listed.map_or_else(|| device_files(Path::new("/")), |list| visible(&list))
}

/// The models of all GPUs of this machine, also of those that `CUDA_VISIBLE_DEVICES` hides.
pub fn gpu_models() -> Vec<String> {
    models(Path::new("/"))
}

/// The models as the driver for PCI cards names them. Only for people: WSL and Jetson have no such
/// files, and a container may show those of cards that it has no device file for.
fn models(root: &Path) -> Vec<String> {
    let cards = fs::read_dir(root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = cards.map(|card| card.path()).collect();
    folders.sort();
    folders.iter().map(|folder| model(folder)).collect()
}

fn model(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("information")).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("Model:")).map(str::trim);
    model.unwrap_or("an NVIDIA GPU").to_owned()
}

/// The GPUs of `CUDA_VISIBLE_DEVICES`.
fn visible(list: &str) -> Vec<String> {
    // As CUDA reads it: entries after an invalid one are hidden.
    let names = list.split(',').map(str::trim);
    let shown = names
        .take_while(|name| !name.is_empty() && !name.starts_with('-') && *name != "NoDevFiles");
    shown.map(str::to_owned).collect()
}

/// The GPUs of a machine by its device files: those of the driver for PCI cards; WSL and Jetson
/// have one with another name, through which CUDA finds the first GPU.
fn device_files(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = names
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    if numbers.is_empty() && (is_wsl(root) || is_jetson(root)) {
        numbers.push(0);
    }
    numbers.iter().map(u32::to_string).collect()
}

/// Every machine under WSL has its device file, those with a GPU also CUDA's library.
fn is_wsl(root: &Path) -> bool {
    root.join("dev/dxg").exists() && root.join("usr/lib/wsl/lib/libcuda.so.1").exists()
}

fn is_jetson(root: &Path) -> bool {
    ["dev/nvhost-gpu", "dev/nvgpu"].iter().any(|name| root.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_those_that_the_driver_names() {
        let root = tempfile::tempdir().unwrap();
        for (card, text) in [
            ("0000:b1:00.0", "IRQ: 7\n"),
            ("0000:01:00.0", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   18\n"),
        ] {
            let folder = root.path().join("proc/driver/nvidia/gpus").join(card);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("information"), text).unwrap();
        }
        assert_eq!(models(root.path()), ["NVIDIA H100 80GB HBM3", "an NVIDIA GPU"]);
        assert_eq!(models(&root.path().join("proc")), Vec::<String>::new());
    }

    #[test]
    fn gpus_are_found_on_servers_under_wsl_and_on_a_jetson() {
        for (files, found) in [
            (
                &["dev/nvidia1", "dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm"][..],
                &["0", "1"][..],
            ),
            (&["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"], &["0"]),
            (&["dev/dxg"], &[]),
            (&["dev/nvhost-gpu"], &["0"]),
            (&["dev/null"], &[]),
        ] {
            let root = tempfile::tempdir().unwrap();
            for file in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            assert_eq!(device_files(root.path()), found, "{files:?}");
        }
        assert_eq!(visible("3, 1,-1,2"), ["3", "1"]);
        assert_eq!(visible(""), Vec::<String>::new());
        assert_eq!(visible("GPU-8932f937"), ["GPU-8932f937"]);
    }
}
