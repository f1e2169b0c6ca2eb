//! Files that go to S3-compatible storage, large ones in parts, so that a kill costs one part.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use object_store::{
    MultipartId, ObjectStoreExt, PutPayload,
    multipart::{MultipartStore, PartId},
};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, wait};
use crate::store::SealedFile;

/// Bytes of a part. S3 wants at least 5 MiB, and at most 10,000 parts.
const PART: u64 = 16 << 20;
const MOST_PARTS: u64 = 9_000;

/// What is known of an upload in parts, which goes on after a kill.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    upload: MultipartId,
    part: u64,
    /// What the server called each part.
    parts: Vec<String>,
}

/// A file that goes to a bucket.
pub(super) struct Upload<'a> {
    pub(super) bucket: &'a Bucket,
    /// Where it lies.
    pub(super) path: &'a Path,
    pub(super) file: &'a SealedFile,
    /// Folder of what is known of uploads in parts.
    pub(super) notes: &'a Path,
}

impl Upload<'_> {
    /// Sends the file unless it is there; returns the bytes sent.
    pub(super) fn send(&self) -> Result<u64, String> {
        if self.bucket.has(self.file)? {
            // Killed right after the last part, an upload leaves its note.
            let _ = fs::remove_file(self.note());
            return Ok(0);
        }
        if self.file.size <= PART {
            // The bytes that were hashed are sent, whatever becomes of the file meanwhile.
            let bytes = fs::read(self.path).map_err(|error| self.unread(&error))?;
            self.compare(blake3::hash(&bytes))?;
            let to = self.to();
            wait(self.bucket.storage.put(&to, PutPayload::from(bytes)))
                .map_err(|error| self.bucket.failed("write", error))?;
            return Ok(self.file.size);
        }
        let note = self.note();
        let begun = fs::read(&note).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(begun) = begun {
            let begun: Progress = begun;
            let upload = begun.upload.clone();
            if let Ok(sent) = self.send_parts(begun, &note) {
                return Ok(sent);
            }
            // The server may have given it up. Parts of an upload without an end cost money.
            let _ = wait(self.bucket.storage.abort_multipart(&self.to(), &upload));
        }
        let upload = wait(self.bucket.storage.create_multipart(&self.to()));
        let upload = upload.map_err(|error| self.bucket.failed("write", error))?;
        let part = PART.max(self.file.size.div_ceil(MOST_PARTS));
        let progress = Progress { upload, part, parts: Vec::new() };
        // Before its first part, so that a kill leaves no upload that nobody knows.
        self.remember(&progress, &note)?;
        self.send_parts(progress, &note)
    }

    /// Sends all parts but those that are there, and completes the file if its digest is right.
    fn send_parts(&self, mut progress: Progress, note: &Path) -> Result<u64, String> {
        let mut from = File::open(self.path).map_err(|error| self.unread(&error))?;
        let (mut hasher, mut sent, to) = (blake3::Hasher::new(), 0, self.to());
        for index in 0..self.file.size.div_ceil(progress.part) as usize {
            let mut bytes = Vec::new();
            let read = (&mut from).take(progress.part).read_to_end(&mut bytes);
            read.map_err(|error| self.unread(&error))?;
            hasher.update(&bytes);
            // What was sent is read again only for the digest.
            if index < progress.parts.len() {
                continue;
            }
            sent += bytes.len() as u64;
            let payload = PutPayload::from(bytes);
            let put = self.bucket.storage.put_part(&to, &progress.upload, index, payload);
            let part = wait(put).map_err(|error| self.bucket.failed("write", error))?;
            progress.parts.push(part.content_id);
            self.remember(&progress, note)?;
        }
        self.compare(hasher.finalize())?;
        let parts = progress.parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let done = self.bucket.storage.complete_multipart(&to, &progress.upload, parts);
        wait(done).map_err(|error| self.bucket.failed("write", error))?;
        let _ = fs::remove_file(note);
        Ok(sent)
    }

    /// Never under the name of other bytes: the digest is the file's name there.
    fn compare(&self, digest: blake3::Hash) -> Result<(), String> {
        match digest.to_hex().as_str() == self.file.digest.to_string() {
            true => Ok(()),
            false => Err(format!("{} changed while it was sent", self.path.display())),
        }
    }

    fn remember(&self, progress: &Progress, note: &Path) -> Result<(), String> {
        let text = serde_json::to_string(progress).expect("plain data can be written");
        let written = fs::create_dir_all(self.notes).and_then(|()| {
            // Replaced as a whole, so that a kill leaves the old one.
            let draft = note.with_extension("new");
            fs::write(&draft, text).and_then(|()| fs::rename(&draft, note))
        });
        written.map_err(|error| format!("cannot write {}: {error}", note.display()))
    }

    fn note(&self) -> PathBuf {
        let name = format!("{} {}", self.bucket.name, self.file.digest);
        self.notes.join(format!("{}.json", &blake3::hash(name.as_bytes()).to_hex()[..32]))
    }

    fn to(&self) -> object_store::path::Path {
        self.bucket.file(&self.file.digest)
    }

    fn unread(&self, error: &std::io::Error) -> String {
        format!("cannot read {}: {error}", self.path.display())
    }
}
