//! Files that survive a power failure: written aside, synced, renamed into place.

use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::StoreError;

/// Deeper folders are taken for a circle of links.
pub(super) const DEEPEST: usize = 64;

/// How the names of files begin that are not in place yet.
pub(super) const ASIDE: &str = ".new-";

/// A file found by [`walk`].
#[derive(Debug)]
pub(super) struct Found {
    /// Relative to the folder, with `/` between its parts.
    pub(super) name: String,
    /// Where it lies.
    pub(super) path: PathBuf,
}

/// The files below a folder, in the order of their names; links are followed.
pub(super) fn walk(folder: &Path) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    descend(folder, "", 0, &mut found)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn descend(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<Found>) -> Result<(), StoreError> {
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
            found.push(Found { name, path });
        }
    }
    Ok(())
}

/// What a folder holds, by name, in order; nothing where there is no such folder. A name that is not UTF-8 stands there with
/// replacements, so that it is nobody's name; its path is exact.
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

/// Syncs all files and folders below, and the folder itself; links are left alone, since they point to what others keep.
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

/// Puts a whole file in place at once: readers see the old one or the new one.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().expect("files of the store lie in a folder");
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

/// Makes a folder and all above it.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Renames to the first of `name`, `name-1`, `name-2`, ... that is free in a folder; says to which.
pub(super) fn move_aside(path: &Path, folder: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let numbered = |count: usize| if count == 0 { name.to_owned() } else { format!("{name}-{count}") };
    for target in (0..).map(|count| folder.join(numbered(count))) {
        // Two processes may want the same name; neither may cover what the other has moved there.
        match rustix::fs::renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => return sync(folder).map(|()| target),
            Err(Errno::EXIST) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // A file system that cannot promise it; a name that is taken is passed over as far as one can see.
                if fs::symlink_metadata(&target).is_err() {
                    fs::rename(path, &target).map_err(StoreError::io("move aside", path))?;
                    return sync(folder).map(|()| target);
                }
            }
            Err(error) => return Err(StoreError::io("move aside", path)(error.into())),
        }
    }
    unreachable!("numbers do not run out")
}

/// Puts a folder in place in one step; what stood there before lies at `from` then, or at `aside` where the file system can
/// only move one after the other.
pub(super) fn put_in_place(from: &Path, target: &Path, aside: &Path) -> Result<(), StoreError> {
    let failed = |error: Errno| StoreError::io("put in place", target)(error.into());
    match rustix::fs::rename(from, target) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        done => return done.map_err(failed),
    }
    match rustix::fs::renameat_with(CWD, from, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return done.map_err(failed),
    }
    remove_folder(aside)?;
    rustix::fs::rename(target, aside).map_err(failed)?;
    rustix::fs::rename(from, target).map_err(failed)
}

/// Removes a folder and all below it; does nothing where there is none.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Bytes of all files below, links not followed.
pub(super) fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => entries(path).unwrap_or_default().iter().map(|(_, entry)| size_of(entry)).sum(),
        Ok(kind) if kind.is_file() => kind.len(),
        _ => 0,
    }
}
