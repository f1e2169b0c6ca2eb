//! The memory of this machine, as far as this process may have it: a container's share is often smaller.

use std::{fs, path::Path};

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostMemory {
    /// The most that may ever be taken, where anything says so.
    pub limit: Option<u64>,
    /// What is free, or would be made free.
    pub free: Option<u64>,
}

/// Asks the kernel and every control group that this process is in.
pub fn host_memory() -> HostMemory {
    read(Path::new("/"))
}

fn read(root: &Path) -> HostMemory {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    };
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut shares: Vec<Share> = Vec::new();
    for line in groups.lines() {
        // "0::/path" of the second version, "7:memory:/path" of the first.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = Path::new(path.trim_start_matches('/'));
        // Inside a container the path may be the host's, of which only the top is seen.
        let places = path.ancestors();
        if kinds.is_empty() {
            shares.extend(places.filter_map(|place| Share::second(&root.join("sys/fs/cgroup").join(place))));
        } else if kinds.split(',').any(|kind| kind == "memory") {
            shares.extend(places.filter_map(|place| Share::first(&root.join("sys/fs/cgroup/memory").join(place))));
        }
    }
    let limits = shares.iter().map(|share| share.limit);
    let left = shares.iter().map(|share| share.limit.saturating_sub(share.used));
    HostMemory {
        limit: field("MemTotal").into_iter().chain(limits).min(),
        free: field("MemAvailable").into_iter().chain(left).min(),
    }
}

/// What a control group may take, and what it holds that it would not give back.
struct Share {
    limit: u64,
    used: u64,
}

impl Share {
    fn second(folder: &Path) -> Option<Self> {
        Self::read(folder, "memory.max", "memory.current", "inactive_file")
    }

    fn first(folder: &Path) -> Option<Self> {
        Self::read(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    }

    /// Pages of files that nobody uses, such as weights that were read, are given back when memory runs short.
    fn read(folder: &Path, limit: &str, used: &str, inactive: &str) -> Option<Self> {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(limit)?;
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let inactive = statistics.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse::<u64>().ok());
        Some(Self { limit, used: number(used).unwrap_or(0).saturating_sub(inactive.unwrap_or(0)) })
    }
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

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n");

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
