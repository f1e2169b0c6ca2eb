//! The file system that a folder is on, and whether its `flock` excludes other machines.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// Name, such as `nfs4`.
    pub(super) name: String,
    /// Why its `flock` does not exclude processes of other machines.
    pub(super) lacks: Option<String>,
}

/// File systems with a word in messages, by the number that `statfs` gives them.
const KNOWN: [(u32, &str); 20] = [
    (0x6969, "nfs"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "cifs"),
    (0x517b, "smbfs"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0xaad7_aaea, "panfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x0102_1997, "9p"),
    (0x0102_1994, "tmpfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x794c_7630, "overlay"),
    (0xf2f5_2010, "f2fs"),
];

/// Those whose mount options decide.
const ASKED: [&str; 5] = ["nfs", "lustre", "cifs", "smbfs", "fuse"];

/// A line of the table of mounts.
#[derive(Debug, Default)]
struct Mounted {
    name: String,
    options: Vec<String>,
}

impl FileSystem {
    /// The file system of a folder, or of its nearest existing parent.
    pub(super) fn of(folder: &Path) -> Self {
        let there = folder.ancestors().find(|folder| folder.is_dir());
        let there = there.map_or_else(|| PathBuf::from("."), Path::to_owned);
        let number = rustix::fs::statfs(&there).map_or(0, |found| found.f_type as u32);
        let known = KNOWN.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
        let Some(known) = known else {
            return Self { name: format!("file system {number:#x}"), lacks: None };
        };
        let mounted = ASKED.contains(&known).then(|| Mounted::of(&there)).flatten();
        Self::judge(known, mounted.unwrap_or_default())
    }

    fn judge(known: &str, mounted: Mounted) -> Self {
        let has = |option: &str| mounted.options.iter().any(|word| word == option);
        let lacks = match known {
            "lustre" if has("flock") => None,
            "lustre" if has("localflock") => Some("it is mounted with `localflock`"),
            "lustre" => Some("it is mounted without `flock`"),
            "nfs" if has("nolock") => Some("it is mounted with `nolock`"),
            "nfs" if has("local_lock=all") || has("local_lock=flock") => {
                Some("it is mounted with `local_lock`")
            }
            "cifs" | "smbfs" if has("nobrl") => Some("it is mounted with `nobrl`"),
            // Most of their servers leave locks to the kernel of each machine.
            "fuse" | "beegfs" => Some("its file locks may hold on one machine only"),
            _ => None,
        };
        let name = if mounted.name.is_empty() { known.to_owned() } else { mounted.name };
        Self { name, lacks: lacks.map(str::to_owned) }
    }
}

impl Mounted {
    fn of(folder: &Path) -> Option<Self> {
        let device = fs::metadata(folder).ok()?.dev();
        let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::find(&table, rustix::fs::major(device), rustix::fs::minor(device))
    }

    /// Finds a device in lines of `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS ... - NAME SOURCE
    /// OPTIONS` (proc(5)).
    fn find(table: &str, major: u32, minor: u32) -> Option<Self> {
        let device = format!("{major}:{minor}");
        let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let name = system.next()?.to_owned();
        let words = mount.split(' ').nth(5).into_iter().chain(system.nth(1));
        let options = words.flat_map(|words| words.split(',')).map(str::to_owned).collect();
        Some(Self { name, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        31 27 0:40 / /home rw,relatime shared:9 - nfs4 server:/home rw,vers=4.2,local_lock=none\n\
        32 27 0:41 / /old rw - nfs server:/old rw,vers=3,nolock,local_lock=all\n\
        33 27 0:42 / /scratch rw - lustre mgs@tcp:/fs rw,checksum,flock,lazystatfs\n\
        34 27 0:43 / /work rw - lustre mgs@tcp:/fs rw,checksum,localflock\n\
        35 27 0:44 / /fast rw - lustre mgs@tcp:/fs rw,checksum,noflock\n\
        36 27 0:45 / /mnt rw - fuse.sshfs a:b rw,user_id=0\n";

    #[test]
    fn mount_options_tell_locks_of_one_machine_from_those_of_all() {
        for (minor, known, name, lacks) in [
            (40, "nfs", "nfs4", None),
            (41, "nfs", "nfs", Some("nolock")),
            (42, "lustre", "lustre", None),
            (43, "lustre", "lustre", Some("localflock")),
            (44, "lustre", "lustre", Some("without `flock`")),
            (45, "fuse", "fuse.sshfs", Some("one machine")),
        ] {
            let found = FileSystem::judge(known, Mounted::find(TABLE, 0, minor).unwrap());
            assert_eq!(found.name, name);
            let is_as_expected = match lacks {
                Some(words) => found.lacks.as_ref().is_some_and(|why| why.contains(words)),
                None => found.lacks.is_none(),
            };
            assert!(is_as_expected, "{minor}: {found:?}");
        }
        assert!(Mounted::find(TABLE, 0, 99).is_none());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_on_the_file_system_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let found = FileSystem::of(&folder.path().join("not/yet"));
        assert_eq!(found, FileSystem::of(folder.path()));
    }
}
