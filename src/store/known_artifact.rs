//! Artifacts that were checked before: as long as no stamp of their files and folders changes,
//! nothing of them is read or hashed.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::Path,
};

use super::{
    manifest::{MANIFEST, Manifest, SCHEMA, SealedFile},
    memo::{self, Memo},
};
use crate::digest::Digest;

/// Stamps of an artifact before it is checked.
pub(super) struct ArtifactStamps {
    manifest: Metadata,
    digest: Digest,
    listed: String,
}

impl Manifest {
    /// The manifest of an artifact that was checked before, and of which nothing has changed since.
    pub(super) fn recall(folder: &Path, key: &Digest, memo: &Memo) -> Option<Self> {
        let metadata = fs::metadata(folder.join(MANIFEST)).ok()?;
        let (digest, listed) = memo.recall_artifact(&metadata)?;
        let manifest = Self { schema: SCHEMA, key: Some(*key), files: files_of(&listed)? };
        let stamps = manifest.stamps(folder, metadata)?;
        (digest_of(key, &stamps) == digest).then_some(manifest)
    }

    /// Stamps that the artifact is remembered by, if it is found whole. None if it is not
    /// remembered as a whole, or if a change during the check might not be noticed.
    ///
    /// `manifest` is the metadata of the manifest from before it was read.
    pub(super) fn before_check(&self, folder: &Path, manifest: Metadata) -> Option<ArtifactStamps> {
        let key = self.key.filter(|_| self.is_remembered_as_whole())?;
        let files = self
            .files
            .iter()
            .map(|SealedFile { path, size, digest }| format!("{size} {digest} {path}"));
        let listed = files.collect::<Vec<_>>().join(" ");
        let stamps = self.stamps(folder, manifest.clone())?;
        let digest = digest_of(&key, &stamps);
        let is_settled = stamps.iter().all(memo::is_settled);
        is_settled.then_some(ArtifactStamps { manifest, digest, listed })
    }

    /// Metadata of the manifest, of all folders and of all files.
    fn stamps(&self, folder: &Path, manifest: Metadata) -> Option<Vec<Metadata>> {
        let mut folders = BTreeSet::from([""]);
        for entry in &self.files {
            let mut path = entry.path.as_str();
            while let Some((parent, _)) = path.rsplit_once('/')
                && folders.insert(parent)
            {
                path = parent;
            }
        }
        let files = self.files.iter().map(|entry| entry.path.as_str());
        let mut stamps = vec![manifest];
        for name in folders.into_iter().chain(files) {
            stamps.push(fs::metadata(folder.join(name)).ok()?);
        }
        Some(stamps)
    }
}

/// The files from their words.
fn files_of(listed: &str) -> Option<Vec<SealedFile>> {
    let mut words = listed.split(' ');
    let mut files = Vec::new();
    while let Some(size) = words.next() {
        let (size, digest) = (size.parse().ok()?, words.next()?.parse().ok()?);
        files.push(SealedFile { path: words.next()?.to_owned(), size, digest });
    }
    Some(files)
}

/// Digest of a key and the stamps of its artifact.
fn digest_of(key: &Digest, stamps: &[Metadata]) -> Digest {
    let mut bytes = key.as_bytes().to_vec();
    stamps.iter().for_each(|metadata| memo::write_stamp(metadata, &mut bytes));
    Digest::from_bytes(*blake3::hash(&bytes).as_bytes())
}

impl ArtifactStamps {
    /// Remembers the artifact, which was found whole.
    pub(super) fn learn(self, memo: &Memo) {
        memo.learn_artifact(&self.manifest, self.digest, self.listed);
    }
}
