//! The folders of jobs in the store.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    cluster::ClusterState,
    submission::{array_of, comment},
};
use crate::{
    digest::Digest,
    schedule::job::{AttemptJob, WorkerMessage},
    store::{FileLock, LockKind, Store},
};

/// What a job does: its attempt, and what the attempt needs to know of its surroundings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JobText {
    pub(super) attempt: AttemptJob,
    /// Log file.
    pub(super) log: PathBuf,
    /// Longest duration of one attempt.
    pub(super) timeout: Option<Duration>,
    /// How often it may be requeued after its time limit.
    pub(super) retries: u32,
    /// Seconds before the time limit at which Slurm signals it.
    pub(super) signal_seconds: u32,
}

/// The place of a job: an array, and the number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobPlace {
    pub(super) array: String,
    pub(super) number: usize,
}

/// All folders of a store.
#[derive(Clone, Debug)]
pub struct JobFolders {
    root: PathBuf,
}

/// The folder of the job of a key.
#[derive(Clone, Debug)]
pub struct JobFolder {
    path: PathBuf,
}

/// File whose lock is held while jobs are claimed and submitted.
const SUBMISSION: &str = "submission";
/// Age from which a folder that is being made or removed was left by a killed run.
const UNFINISHED: Duration = Duration::from_secs(86_400);

/// Writes a file of a folder as a whole, and syncs it.
fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = folder.join(format!(".{name}-{}", std::process::id()));
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// The trimmed text of a file; none if it does not exist.
fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Time since a file or folder was last written; zero if that is unknown.
fn age(path: &Path) -> Duration {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.ok().and_then(|written| written.elapsed().ok()).unwrap_or_default()
}

impl JobFolders {
    /// The folders of a store.
    pub fn of(store: &Path) -> Self {
        Self { root: store.join("v1/jobs") }
    }

    /// The folder of a key, which need not exist.
    pub fn job(&self, key: &Digest) -> JobFolder {
        JobFolder { path: self.root.join(key.to_string()) }
    }

    /// State of the stage of a key that was submitted, and a word on it.
    pub fn state(
        &self,
        store: &Path,
        key: &Digest,
        queue: Option<&ClusterState>,
    ) -> (&'static str, String) {
        let name = key.to_string();
        if store.join("v1/artifacts").join(&name[..2]).join(&name).is_dir() {
            return ("ran", String::new());
        }
        let job = self.job(key);
        if !job.exists() {
            let words = "it has no job any more: it was cancelled, or another run saw it fail";
            return ("ended", format!("{words}; run it again"));
        }
        let name = job.slurm_name(self).ok().flatten().unwrap_or_default();
        let Some(queue) = queue else {
            return ("unknown", format!("Slurm's job {name}; Slurm does not answer"));
        };
        match queue.jobs.get(&name) {
            Some(job) if job.is_over() => {
                // The next run submits what was cancelled again, and tells how others ended.
                let why = if job.state.starts_with("CANCELLED") { "" } else { " to see why" };
                ("ended", format!("Slurm's job {name}: {}; run it again{why}", job.state))
            }
            Some(job) if job.state == "RUNNING" => ("running", format!("Slurm's job {name}")),
            Some(job) if job.reason == "None" => ("queued", format!("Slurm's job {name}")),
            Some(job) => ("queued", format!("Slurm's job {name}: {}", job.reason)),
            None => ("unknown", "Slurm does not know its job; run it again".to_owned()),
        }
    }

    /// Waits for the right to submit. Who claims a key holds it until Slurm has told the job's
    /// number.
    pub(super) fn submission(&self) -> io::Result<FileLock> {
        let (kind, file, path) = self.submission_file()?;
        let lock = FileLock::take(kind, &file, &path, |_| {
            tracing::info!("waiting for another run, which submits jobs");
        })?;
        // An `sbatch` whose run was killed may still reach Slurm.
        lock.share_with_children()?;
        Ok(lock)
    }

    /// Whether some run is between a claim and Slurm's answer.
    pub(super) fn is_submitting(&self) -> io::Result<bool> {
        let (kind, file, path) = self.submission_file()?;
        Ok(FileLock::try_take(kind, &file, &path)?.is_none())
    }

    fn submission_file(&self) -> io::Result<(LockKind, File, PathBuf)> {
        fs::create_dir_all(&self.root)?;
        let store = self.root.ancestors().nth(2).unwrap_or(&self.root);
        let store = Store::look(store, true).map_err(io::Error::other)?;
        let path = self.root.join(SUBMISSION);
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        if is_new {
            // For all users of the store; it is empty.
            let _ = file.set_permissions(Permissions::from_mode(0o666));
        }
        Ok((store.locking().kind, file, path))
    }

    /// Makes the folder of a key; false if there is one, whose job is to be adopted.
    pub(super) fn claim(&self, key: &Digest, job: &JobText) -> io::Result<bool> {
        fs::create_dir_all(&self.root)?;
        // Renamed into place with its contents: a folder that is seen is complete.
        let new = self.root.join(format!(".{key}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir(&new)?;
        replace(&new, "job.json", &serde_json::to_vec(job)?)?;
        File::create(new.join("messages.jsonl"))?.sync_all()?;
        let claimed = fs::rename(&new, self.root.join(key.to_string()));
        match claimed {
            Ok(()) => File::open(&self.root)?.sync_all().map(|()| true),
            Err(error) => {
                fs::remove_dir_all(&new)?;
                let is_there =
                    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists);
                if is_there { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Makes the folder of an array and gives its jobs their places, before it is submitted.
    pub(super) fn place(&self, array: &str, keys: &[Digest]) -> io::Result<PathBuf> {
        let folder = self.array(array);
        fs::create_dir_all(&folder)?;
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        replace(&folder, "keys", lines.as_bytes())?;
        for (number, key) in keys.iter().enumerate() {
            replace(&self.job(key).path, "place", format!("{array} {number}\n").as_bytes())?;
        }
        Ok(folder)
    }

    /// Removes folders of jobs that no run watched to their end, of which artifacts exist.
    pub(super) fn remove_finished(&self, exists: impl Fn(&Digest) -> bool) -> io::Result<()> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(key) = name.parse::<Digest>() else {
                // A folder that a killed run was making or removing.
                let path = entry.path();
                if name.contains('-') && age(&path) > UNFINISHED {
                    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
                }
                continue;
            };
            if !exists(&key) {
                continue;
            }
            let job = self.job(&key);
            // A forced attempt replaces an artifact, and a check is compared with it.
            if job.text().is_ok_and(|text| !text.attempt.forced && !text.attempt.check) {
                job.remove()?;
            }
        }
        self.remove_old("arrays")?;
        self.remove_old("programs")
    }

    /// Removes arrays and programs that were made long before any job in a queue.
    fn remove_old(&self, name: &str) -> io::Result<()> {
        const OLD: Duration = Duration::from_secs(60 * 86_400);
        let entries = match fs::read_dir(self.root.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if age(&path) > OLD {
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }?;
            }
        }
        Ok(())
    }

    /// Whether a job of this store has nothing to do any more: its stage has ended or has another
    /// job.
    pub(super) fn is_left_behind(&self, name: &str, comment: &str) -> bool {
        let place = || {
            let array = array_of(comment)?.to_owned();
            let number = name.split_once('_')?.1.parse().ok()?;
            let key = Self::key(&self.array(&array), number).ok()??;
            Some((self.job(&key), JobPlace { array, number }))
        };
        place().is_some_and(|(job, place)| job.place().is_ok_and(|now| now != Some(place)))
    }

    /// Whether jobs of this store were ever submitted.
    pub(super) fn has_arrays(&self) -> bool {
        fs::read_dir(self.root.join("arrays")).is_ok_and(|mut arrays| arrays.next().is_some())
    }

    /// Folder of an array.
    pub(super) fn array(&self, array: &str) -> PathBuf {
        self.root.join("arrays").join(array)
    }

    /// Records Slurm's number of an array.
    pub(super) fn submitted(&self, array: &str, job: &str) -> io::Result<()> {
        replace(&self.array(array), "job", job.as_bytes())
    }

    /// Slurm's number of an array, if it is known.
    pub(super) fn number(&self, array: &str) -> io::Result<Option<String>> {
        text(&self.array(array).join("job"))
    }

    /// Whether Slurm has begun to write the output of a job, as it does before the job begins.
    pub(super) fn has_output(&self, place: &JobPlace) -> bool {
        self.output_file(place).exists()
    }

    fn output_file(&self, place: &JobPlace) -> PathBuf {
        self.array(&place.array).join(format!("{}.out", place.number))
    }

    /// The last lines that a job printed outside of its log: errors of Slurm and of `setup`.
    pub(super) fn output(&self, place: &JobPlace) -> String {
        const LINES: usize = 5;
        let text = fs::read(self.output_file(place)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("; ")
    }

    /// The key at a place.
    pub(super) fn key(array: &Path, number: usize) -> io::Result<Option<Digest>> {
        let keys = text(&array.join("keys"))?.unwrap_or_default();
        Ok(keys.lines().nth(number).and_then(|line| line.parse().ok()))
    }

    /// Copies a program into the store, where every node sees it and no build replaces it.
    pub(super) fn keep_program(&self, program: &Path) -> io::Result<PathBuf> {
        let digest = blake3::Hasher::new().update_mmap_rayon(program)?.finalize().to_hex();
        let folder = self.root.join("programs");
        let kept = folder.join(format!("apeft-{}", &digest[..16]));
        if let Ok(file) = File::open(&kept) {
            // In use, so not old.
            let _ = file.set_modified(SystemTime::now());
            return Ok(kept);
        }
        fs::create_dir_all(&folder)?;
        let new = folder.join(format!(".{}-{}", &digest[..16], std::process::id()));
        fs::copy(program, &new)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &kept)?;
        Ok(kept)
    }
}

impl JobFolder {
    /// Whether a job exists.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Whether the job waits for Slurm, or gave a sign of life not long ago.
    pub fn is_underway(&self) -> bool {
        const QUIET: Duration = Duration::from_secs(60);
        let is_alive = !self.alive().exists() || age(&self.alive()) < QUIET;
        is_alive && self.exists() && !self.has_ended()
    }

    /// Whether its last message ends its attempt.
    fn has_ended(&self) -> bool {
        let messages = fs::read(self.messages()).unwrap_or_default();
        let last = messages.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        matches!(
            last.map(serde_json::from_slice),
            Some(Ok(WorkerMessage::Finished { .. } | WorkerMessage::Failed { .. }))
        )
    }

    /// What the job does.
    pub(super) fn text(&self) -> io::Result<JobText> {
        Ok(serde_json::from_slice(&fs::read(self.path.join("job.json"))?)?)
    }

    /// The place of the job, once it has one.
    pub(super) fn place(&self) -> io::Result<Option<JobPlace>> {
        let text = text(&self.path.join("place"))?;
        Ok(text.and_then(|text| {
            let (array, number) = text.split_once(' ')?;
            Some(JobPlace { array: array.to_owned(), number: number.parse().ok()? })
        }))
    }

    /// File of messages of all its attempts.
    pub(super) fn messages(&self) -> PathBuf {
        self.path.join("messages.jsonl")
    }

    /// Time since the last message.
    pub(super) fn silence(&self) -> Duration {
        age(&self.messages())
    }

    /// File whose time stamp the job renews while it lives.
    pub(super) fn alive(&self) -> PathBuf {
        self.path.join("alive")
    }

    /// How often it was requeued after its time limit.
    pub(super) fn requeued(&self) -> u32 {
        let retries = self.text().map_or(0, |job| job.retries);
        // At the last limit it is not.
        self.limits().map_or(0, |count| count.min(retries))
    }

    fn limits(&self) -> io::Result<u32> {
        let count = text(&self.path.join("limits"))?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Counts a time limit that was reached; returns how many there were.
    pub(super) fn count_limit(&self) -> io::Result<u32> {
        let count = self.limits()? + 1;
        replace(&self.path, "limits", count.to_string().as_bytes()).map(|()| count)
    }

    /// Notes that the user cancelled the job.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn cancel(&self) -> io::Result<()> {
        replace(&self.path, "cancelled", b"")
    }

    /// Whether the user cancelled the job.
    pub(super) fn is_cancelled(&self) -> bool {
        self.path.join("cancelled").exists()
    }

    /// Removes the folder of a job that has ended.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        let aside = self.path.with_extension(format!("ended-{}", std::process::id()));
        match fs::rename(&self.path, &aside) {
            // Another run that watched the same job was first.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| fs::remove_dir_all(&aside)),
        }
    }

    /// Slurm's name of the job, such as `123_4`, once it is known.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn slurm_name(&self, folders: &JobFolders) -> io::Result<Option<String>> {
        let Some(place) = self.place()? else { return Ok(None) };
        Ok(folders.number(&place.array)?.map(|job| format!("{job}_{}", place.number)))
    }

    /// The same, also if the run that submitted it was killed before it knew the number.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn queued_name(
        &self,
        folders: &JobFolders,
        queue: &ClusterState,
    ) -> io::Result<Option<String>> {
        let name = self.slurm_name(folders)?;
        let found = || {
            let place = self.place().ok()??;
            let number = queue.number(&comment(&place.array))?;
            Some(format!("{number}_{}", place.number))
        };
        Ok(name.or_else(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_left_behind_once_its_stage_has_ended_or_has_another() {
        let store = tempfile::tempdir().unwrap();
        let folders = JobFolders::of(store.path());
        let keys = [1, 2].map(|key| format!("{key:064x}").parse::<Digest>().unwrap());
        keys.iter().for_each(|key| fs::create_dir_all(folders.job(key).path).unwrap());
        folders.place("ab", &keys).unwrap();
        let is_left = |name| folders.is_left_behind(name, &comment("ab"));
        assert!(!is_left("7_0") && !is_left("7_1"));
        folders.job(&keys[0]).remove().unwrap();
        assert!(is_left("7_0") && !is_left("7_1"));
        folders.place("cd", &keys[1..]).unwrap();
        assert!(is_left("7_1") && !folders.is_left_behind("8_0", &comment("cd")));
        // Jobs of other stores, of users and coordinators.
        for (name, other) in [("9_0", "apeft:ef"), ("9_0", ""), ("9", "apeft:run:ab")] {
            assert!(!folders.is_left_behind(name, other), "{name} {other}");
        }
    }
}
