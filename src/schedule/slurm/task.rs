//! A job's side: the attempt in its place of an array.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use super::{
    cluster::Slurm,
    folder::{JobFolder, JobFolders, JobPlace, JobText},
};
use crate::schedule::{
    attempt::{self, Conduct},
    job::WorkerMessage,
};

/// Time between two signs of life.
const PULSE: Duration = Duration::from_secs(20);
/// A job with less time left than this beyond its signal has reached its time limit.
const SLACK: Duration = Duration::from_secs(45);

/// Carries out the attempt of this process's place in an array. Returns whether the artifact is in
/// the store.
///
/// # Errors
/// If the array or its job cannot be read.
pub fn carry_out_task(array: &Path) -> io::Result<bool> {
    let number = std::env::var("SLURM_ARRAY_TASK_ID").ok().and_then(|text| text.parse().ok());
    let place = JobPlace {
        array: array.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        number: number.ok_or_else(|| io::Error::other("this is no job of an array of Slurm"))?,
    };
    let Some(key) = JobFolders::key(array, place.number)? else {
        return Err(io::Error::other("the array has no key at this place"));
    };
    let store = array.ancestors().nth(4).ok_or_else(|| io::Error::other("no store is above it"))?;
    let folder = JobFolders::of(store).job(&key);
    // The run gave it up, or submitted it again: another job makes the artifact.
    if folder.place().ok().flatten().as_ref() != Some(&place) {
        return Ok(true);
    }
    let JobText { attempt, log, timeout, retries, signal_seconds } = folder.text()?;
    write_stderr_to(&log);
    let messages = OpenOptions::new().append(true).open(folder.messages())?;
    if let Some(timeout) = timeout {
        end_after(timeout, messages.try_clone()?)?;
    }
    let pulse = folder.clone();
    thread::Builder::new().spawn(move || {
        loop {
            let _ = File::create(pulse.alive());
            thread::sleep(PULSE);
        }
    })?;
    let suspended = Suspension { folder, retries, signal_seconds };
    let conduct = Conduct {
        output: Box::new(messages),
        patience: Duration::from_secs(u64::from(signal_seconds).max(2) / 2),
        at_signal: Box::new(move || suspended.message()),
    };
    attempt::carry_out(&attempt, conduct)
}

/// Ends this process after the timeout of its stage; its last message says so.
fn end_after(timeout: Duration, mut messages: File) -> io::Result<()> {
    let end = move || {
        thread::sleep(timeout);
        let seconds = timeout.as_secs_f64();
        let error = format!("it took longer than its timeout of {seconds} s");
        let line = serde_json::to_string(&WorkerMessage::Failed { error });
        let line = line.expect("plain data can be written") + "\n";
        // In one write, as all messages are.
        let _ = messages.write_all(line.as_bytes());
        std::process::exit(1);
    };
    thread::Builder::new().spawn(end).map(drop)
}

/// A log that cannot be written is no reason to fail; Slurm keeps the output then.
fn write_stderr_to(log: &Path) {
    let opened = OpenOptions::new().create(true).append(true).open(log);
    if let Ok(log) = opened {
        let _ = rustix::stdio::dup2_stderr(&log);
    }
}

/// What happens to a job that a signal ends.
struct Suspension {
    folder: JobFolder,
    retries: u32,
    signal_seconds: u32,
}

impl Suspension {
    /// Requeues a job at its time limit, unless it has had its retries; a job that is preempted is
    /// requeued by Slurm. Returns the message of a job that is given up.
    fn message(&self) -> Option<WorkerMessage> {
        let name = job_name()?;
        let near = Duration::from_secs(u64::from(self.signal_seconds)) + SLACK;
        match Slurm::time_left(&name) {
            Ok(Some(left)) if left < near => {}
            _ => return None,
        }
        let error = match self.folder.count_limit() {
            Ok(count) if count <= self.retries => match Slurm::requeue(&name) {
                Ok(()) => return None,
                Err(error) => format!("it reached its time limit, and {error}"),
            },
            Ok(count) => format!(
                "it reached its time limit {}: raise `time` of [executor], or `retries`; \
                checkpoints are kept",
                times(count)
            ),
            Err(error) => format!("it reached its time limit, and {error}"),
        };
        Some(WorkerMessage::Failed { error })
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Slurm's name of this job.
fn job_name() -> Option<String> {
    let [array, number] = ["SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"].map(std::env::var);
    Some(format!("{}_{}", array.ok()?, number.ok()?))
}
