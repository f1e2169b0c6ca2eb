//! The GPUs of this machine, as far as this process may use them.

use std::{fs, path::Path};

/// The names of the GPUs as `CUDA_VISIBLE_DEVICES` lists them; `cuda:N` is the one at place N.
pub fn gpus() -> Vec<String> {
    let listed = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    listed.map_or_else(|| device_files(Path::new("/")), |list| visible(&list))
}

/// The GPUs of `CUDA_VISIBLE_DEVICES`: what stands after one that cannot be there is hidden.
fn visible(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    let shown = names.take_while(|name| !name.is_empty() && !name.starts_with('-') && *name != "NoDevFiles");
    shown.map(str::to_owned).collect()
}

/// The GPUs of a machine by its device files: of the driver for PCI cards; under WSL and on a Jetson there is one of another
/// name, behind which CUDA finds the first GPU.
fn device_files(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok()).collect();
    numbers.sort_unstable();
    let is_there = |name: &str| root.join(name).exists();
    let has_wsl = is_there("dev/dxg") && is_there("usr/lib/wsl/lib/libcuda.so.1");
    let has_jetson = is_there("dev/nvhost-gpu") || is_there("dev/nvgpu");
    if numbers.is_empty() && (has_wsl || has_jetson) {
        numbers.push(0);
    }
    numbers.iter().map(u32::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_found_on_servers_under_wsl_and_on_a_jetson() {
        for (files, found) in [
            (&["dev/nvidia1", "dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm"][..], &["0", "1"][..]),
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
