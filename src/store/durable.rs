//! Files that survive a power failure: written to a temporary file, synced, renamed into place.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::StoreError;

/// Deeper folders count as a cycle of links.
pub(super) const DEEPEST: usize = 64;

/// Prefix of temporary file names.
pub(super) const ASIDE: &str = ".new-";

/// A file found by [`walk`].
#[derive(Debug)]
pub(super) struct FoundFile {
    /// Relative to the folder, separated by `/`.
    pub(super) name: String,
    /// Path.
    pub(super) path: PathBuf,
}

/// All files below a folder by name; links are followed.
pub(super) fn walk(folder: &Path) -> Result<Vec<FoundFile>, StoreError> {
    let mut found = Vec::new();
    descend(folder, "", 0, &mut found)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn descend(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<FoundFile>,
) -> Result<(), StoreError> {
    if depth > DEEPEST {
        return Err(StoreError::Circle(folder.to_owned()));
    }
    for (name, path) in entries(folder)? {
        let name = format!("{prefix}{name}");
        let kind = fs::metadata(&path).map_err(StoreError::io("read", &path))?;
        if kind.is_dir() {
            descend(&path, &format!("{name}/"), depth + 1, found)?;
        } else if !kind.is_file() {
            return Err(StoreError::Strange(path));
        } else if !path.ends_with(&name) {
            return Err(StoreError::Name(path));
        } else {
            found.push(FoundFile { name, path });
        }
    }
    Ok(())
}

/// Entries of a folder by name; empty if it is missing. Names that are not UTF-8 have replacement
/// characters, so that they match nothing; their paths are exact.
pub(super) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        names.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    names.sort();
    Ok(names)
}

/// Syncs a folder and all below; link targets belong to others and are not synced.
pub(super) fn sync_tree(folder: &Path) -> Result<(), StoreError> {
    for (_, path) in entries(folder)? {
        let kind = fs::symlink_metadata(&path).map_err(StoreError::io("read", &path))?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            sync(&path)?;
        }
    }
    sync(folder)
}

/// Syncs one file or folder.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))
}

/// Replaces a file atomically.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().expect("files of the store lie in a folder");
    // Synced before the rename: otherwise a power failure may leave the new name without content.
    let mut file = tempfile::Builder::new()
        .prefix(ASIDE)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(StoreError::io("write a file in", folder))?;
    file.write_all(content).map_err(StoreError::io("write", path))?;
    file.as_file().sync_all().map_err(StoreError::io("sync", path))?;
    file.persist(path).map_err(|error| StoreError::io("write", path)(error.error))?;
    Ok(())
}

/// Creates a file to append to, with these permissions for all users of the store despite the umask.
pub(super) fn create_shared(path: &Path, mode: u32) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).append(true).create_new(true).open(path);
    let file = file.map_err(StoreError::io("write", path))?;
    let _ = file.set_permissions(Permissions::from_mode(mode));
    Ok(file)
}

/// Creates a folder and its parents.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Renames into a folder under the first free name of `name`, `name-1`, `name-2`, ...; returns the
/// new path.
pub(super) fn move_aside(path: &Path, folder: &Path, name: &str) -> Result<PathBuf, StoreError> {
    for count in 0.. {
        let target =
            folder.join(if count == 0 { name.to_owned() } else { format!("{name}-{count}") });
        // Two processes may want the same name; neither may overwrite the other's.
        match rustix::fs::renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => return sync(folder).map(|()| target),
            Err(Errno::EXIST) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // Without support of the file system, names in use are skipped without a guarantee.
                if fs::symlink_metadata(&target).is_err() {
                    fs::rename(path, &target).map_err(StoreError::io("move aside", path))?;
                    return sync(folder).map(|()| target);
                }
            }
            Err(error) => return Err(StoreError::io("move aside", path)(error.into())),
        }
    }
    unreachable!("there is always a free number")
}

/// Replaces a folder atomically; the old one is at `from` then, or at `aside` if the file system
/// cannot exchange folders.
pub(super) fn put_in_place(from: &Path, target: &Path, aside: &Path) -> Result<(), StoreError> {
    match rustix::fs::rename(from, target) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        done => return done.map_err(|error| not_put(target, error)),
    }
    match rustix::fs::renameat_with(CWD, from, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return done.map_err(|error| not_put(target, error)),
    }
    // Killed between these two, the old folder is at `aside`, from where it is put back.
    remove_folder(aside)?;
    rustix::fs::rename(target, aside)
        .and_then(|()| rustix::fs::rename(from, target))
        .map_err(|error| not_put(target, error))
}

fn not_put(target: &Path, error: Errno) -> StoreError {
    StoreError::io("put in place", target)(error.into())
}

/// Removes a folder, if it exists, and all below it.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Bytes of all files below, without following links.
pub(super) fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => {
            entries(path).unwrap_or_default().iter().map(|(_, entry)| size_of(entry)).sum()
        }
        Ok(kind) if kind.is_file() => kind.len(),
        _ => 0,
    }
}
