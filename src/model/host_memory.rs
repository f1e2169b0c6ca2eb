//! Memory available to this process: a container's limit is often below the machine's.

use std::{fs, path::Path};

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostMemory {
    /// Limit, if any.
    pub limit: Option<u64>,
    /// Free or reclaimable memory.
    pub free: Option<u64>,
}

/// Reads it from the kernel and from every control group of this process.
pub fn host_memory() -> HostMemory {
    read(Path::new("/"))
}

// The crate sysinfo counts page cache as used (weights that were just read would leave no memory
// free), and reports nothing where the path of a group is the host's, as inside a container.
fn read(root: &Path) -> HostMemory {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let groups: Vec<ControlGroup> = groups.lines().flat_map(|line| limited(root, line)).collect();
    let limits = groups.iter().map(|group| group.limit);
    let left = groups.iter().map(|group| group.limit.saturating_sub(group.used));
    HostMemory {
        limit: field(&meminfo, "MemTotal").into_iter().chain(limits).min(),
        free: field(&meminfo, "MemAvailable").into_iter().chain(left).min(),
    }
}

/// A field of `/proc/meminfo` in bytes.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// The limited groups that a line of `/proc/self/cgroup` names: a group and all that it is part of.
fn limited(root: &Path, line: &str) -> Vec<ControlGroup> {
    // "0::/path" of the second version, "7:memory:/path" of the first.
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (folder, version) = if kinds.is_empty() {
        (root.join("sys/fs/cgroup"), &VERSION_2)
    } else if kinds.split(',').any(|kind| kind == "memory") {
        (root.join("sys/fs/cgroup/memory"), &VERSION_1)
    } else {
        return Vec::new();
    };
    // Inside a container the path may be the host's, with only the root visible.
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().filter_map(|place| ControlGroup::read(&folder.join(place), version)).collect()
}

/// File and field names of a version of control groups.
struct GroupFiles {
    limit: &'static str,
    used: &'static str,
    /// Field of `memory.stat`.
    unused_cache: &'static str,
}

const VERSION_1: GroupFiles = GroupFiles {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    unused_cache: "total_inactive_file",
};
const VERSION_2: GroupFiles =
    GroupFiles { limit: "memory.max", used: "memory.current", unused_cache: "inactive_file" };

/// Limit of a control group, and its memory that cannot be reclaimed.
struct ControlGroup {
    limit: u64,
    used: u64,
}

impl ControlGroup {
    /// None without a limit.
    fn read(folder: &Path, files: &GroupFiles) -> Option<Self> {
        let limit = number(&folder.join(files.limit))?;
        let used = number(&folder.join(files.used)).unwrap_or(0);
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        // Unused page cache, such as weights that were read, is reclaimed when memory runs short.
        let reclaimed = statistics
            .lines()
            .find_map(|line| line.strip_prefix(files.unused_cache)?.trim().parse::<u64>().ok());
        Some(Self { limit, used: used.saturating_sub(reclaimed.unwrap_or(0)) })
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> HostMemory {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read(root.path())
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n");

    #[test]
    fn without_groups_it_is_what_the_machine_has() {
        assert_eq!(machine(&[MEMINFO]), HostMemory { limit: Some(1_024_000), free: Some(614_400) });
        assert_eq!(machine(&[]), HostMemory { limit: None, free: None });
    }

    #[test]
    fn a_container_has_its_share_and_gets_back_the_pages_of_files() {
        let group = ("proc/self/cgroup", "0::/job/step\n");
        let share = [
            ("sys/fs/cgroup/job/memory.max", "500000\n"),
            ("sys/fs/cgroup/job/memory.current", "480000\n"),
            ("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 300000\nactive_file 5\n"),
            ("sys/fs/cgroup/job/step/memory.max", "max\n"),
        ];
        let found = machine(&[&[MEMINFO, group][..], &share].concat());
        assert_eq!(found, HostMemory { limit: Some(500_000), free: Some(320_000) });
    }

    #[test]
    fn the_first_version_of_groups_and_paths_of_the_host_are_understood() {
        let found = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "7:cpu,cpuacct:/a\n5:memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "400000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "390000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 90000\n"),
        ]);
        assert_eq!(found, HostMemory { limit: Some(400_000), free: Some(100_000) });
        let unlimited = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "5:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(unlimited, HostMemory { limit: Some(1_024_000), free: Some(614_400) });
    }
}
