//! A job that the run watches: its messages, and what its state in Slurm means.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use super::{
    cluster::{ClusterState, QueuedJob, Slurm},
    folder::{JobFolder, JobFolders, JobPlace},
    submission::comment,
};
use crate::{
    digest::Digest,
    schedule::{executor_event::Finished, job::WorkerMessage},
};

/// Time for the messages of a job that is over to reach this machine.
const GRACE: Duration = Duration::from_secs(15);
/// Time between two looks at the queue that both lack a job which nobody submits any more. Slurm
/// may still be busy with the request of a killed `sbatch` at the first.
const SETTLED: Duration = Duration::from_secs(5);
/// How often a job is submitted again that lost its node.
const MOST_LOST: u32 = 20;
/// Time without a sign of life after which a running job is taken for dead.
const SILENCE: Duration = Duration::from_secs(300);

/// A job and what is known of it.
pub(super) struct WatchedJob {
    pub(super) key: Digest,
    pub(super) folder: JobFolder,
    /// Folder of the artifact; none if an older one has it.
    artifact: Option<PathBuf>,
    /// Bytes of the messages that were read.
    read: u64,
    last_message: Option<WorkerMessage>,
    /// When its attempt began, as far as this run knows.
    began: Option<Instant>,
    /// Seconds of its attempt, once it has told them.
    seconds: Option<f64>,
    /// Its place when it was last looked at.
    pub(super) place: Option<JobPlace>,
    /// When the queue first lacked it although nobody submitted any more.
    missing_since: Option<Instant>,
    /// Slurm's name, once it is known.
    pub(super) name: Option<String>,
    /// When Slurm first said that it is over, or no longer knew it.
    over_since: Option<Instant>,
    /// Time stamp of the last sign of life, and when it was seen.
    alive: Option<(SystemTime, Instant)>,
    /// Whether an earlier run submitted it, and this one has not seen it in the queue yet.
    is_inherited: bool,
    /// How often it lost its node, or its place without being requeued.
    lost: u32,
}

/// What is to be done for a job.
pub(super) enum NextStep {
    /// Wait.
    Continues,
    /// It ended.
    Ended(Result<Finished, String>),
    /// It has to be submitted: whoever claimed it has not.
    Submit,
}

impl WatchedJob {
    pub(super) fn new(key: Digest, folder: JobFolder, artifact: Option<PathBuf>) -> Self {
        Self {
            key,
            folder,
            artifact,
            read: 0,
            last_message: None,
            began: None,
            seconds: None,
            place: None,
            missing_since: None,
            name: None,
            over_since: None,
            alive: None,
            is_inherited: false,
            lost: 0,
        }
    }

    /// The same for the job of an earlier run.
    pub(super) fn inherited(self) -> Self {
        Self { is_inherited: true, ..self }
    }

    /// New messages, except the last one of an attempt, which is kept.
    pub(super) fn hear(&mut self, folders: &JobFolders) -> io::Result<Vec<WorkerMessage>> {
        let mut file = match File::open(self.folder.messages()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if file.metadata()?.len() <= self.read {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // An incomplete line is read again.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole as u64;
        let mut heard = Vec::new();
        for line in text[..whole].split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(WorkerMessage::Began) => {
                    self.last_message = None;
                    (self.began, self.seconds) = (Some(Instant::now()), None);
                    heard.push(began(self.folder.slurm_name(folders)?));
                }
                Ok(WorkerMessage::Took { seconds }) => self.seconds = Some(seconds),
                Ok(last @ (WorkerMessage::Finished { .. } | WorkerMessage::Failed { .. })) => {
                    self.last_message = Some(last);
                }
                Ok(other) => heard.push(other),
                Err(_) => {}
            }
        }
        Ok(heard)
    }

    /// Seconds for which its last attempt ran, without its time in the queue.
    pub(super) fn seconds(&self) -> f64 {
        let since = self.began.map(|began| began.elapsed().as_secs_f64());
        self.seconds.or(since).unwrap_or(0.0)
    }

    /// Finds Slurm's name of the job, and judges it by its messages and, if the queue has just been
    /// read, by its state.
    pub(super) fn judge(
        &mut self,
        folders: &JobFolders,
        queue: Option<&ClusterState>,
    ) -> io::Result<NextStep> {
        match self.last_message.take() {
            Some(WorkerMessage::Finished { cached, learnt }) => {
                return Ok(NextStep::Ended(Ok(Finished { cached, learnt })));
            }
            Some(WorkerMessage::Failed { error }) => return Ok(NextStep::Ended(Err(error))),
            _ => {}
        }
        if self.folder.is_cancelled() {
            return Ok(NextStep::Ended(Err("it was cancelled by `apeft cancel`".to_owned())));
        }
        let Some(queue) = queue else { return Ok(NextStep::Continues) };
        // Another run that watched the same job was first to see its end.
        if !self.folder.exists() {
            return Ok(NextStep::Ended(Ok(Finished { cached: true, learnt: Vec::new() })));
        }
        self.place = self.folder.place()?;
        let number = match &self.place {
            Some(place) => number(folders, place, queue)?,
            None => None,
        };
        let (Some(place), Some(number)) = (self.place.clone(), number) else {
            return self.unanswered(folders, queue);
        };
        self.missing_since = None;
        let name = format!("{number}_{}", place.number);
        let job = queue.jobs.get(&name);
        self.name = Some(name);
        Ok(match job {
            Some(job) if !job.is_over() => self.alive(job)?,
            over => self.over(over, folders, &place),
        })
    }

    /// A job of which Slurm's number is unknown: its run is about to submit it, or was killed
    /// before Slurm answered, or got no answer.
    fn unanswered(&mut self, folders: &JobFolders, queue: &ClusterState) -> io::Result<NextStep> {
        if folders.is_submitting()? {
            self.missing_since = None;
            return Ok(NextStep::Continues);
        }
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        let is_lost = queue.asked.is_some_and(|asked| asked > since + SETTLED);
        if !is_lost {
            return Ok(NextStep::Continues);
        }
        self.missing_since = None;
        Ok(NextStep::Submit)
    }

    /// Whether it waits to be found in the queue, or to be submitted.
    pub(super) fn is_missing(&self) -> bool {
        self.missing_since.is_some()
    }

    /// A job that Slurm has not ended.
    fn alive(&mut self, job: &QueuedJob) -> io::Result<NextStep> {
        (self.over_since, self.is_inherited) = (None, false);
        let name = self.name.clone().unwrap_or_default();
        if job.is_held() {
            Slurm::release(&name)?;
        }
        if job.state != "RUNNING" {
            self.alive = None;
            return Ok(NextStep::Continues);
        }
        let stamp = fs::metadata(self.folder.alive()).and_then(|metadata| metadata.modified());
        let Ok(stamp) = stamp else { return Ok(NextStep::Continues) };
        match self.alive {
            Some((last, since)) if last == stamp && since.elapsed() > SILENCE => {
                Slurm::cancel(&[name])?;
                let minutes = SILENCE.as_secs() / 60;
                let problem = format!(
                    "its job runs for Slurm, but gave no sign of life for {minutes} minutes: its \
                    node or file system failed; the job was cancelled"
                );
                return Ok(NextStep::Ended(Err(problem)));
            }
            Some((last, _)) if last == stamp => {}
            _ => self.alive = Some((stamp, Instant::now())),
        }
        Ok(NextStep::Continues)
    }

    /// A job that Slurm has ended or forgotten: its result counts, and Slurm's word only if none
    /// arrives.
    fn over(
        &mut self,
        job: Option<&QueuedJob>,
        folders: &JobFolders,
        place: &JobPlace,
    ) -> NextStep {
        let since = *self.over_since.get_or_insert_with(Instant::now);
        // What was written long ago is here by now.
        if since.elapsed() < GRACE && self.folder.silence() < GRACE {
            return NextStep::Continues;
        }
        // Committed, but its last message was lost.
        if self.artifact.as_ref().is_some_and(|artifact| artifact.is_dir()) {
            return NextStep::Ended(Ok(Finished { cached: false, learnt: Vec::new() }));
        }
        let words = job.map_or("UNKNOWN", |job| job.state.as_str());
        let exit = job.and_then(|job| job.exit.as_deref()).and_then(exit_in_words);
        // Neither the stage nor its settings are to blame, so that no retry is used up.
        if matches!(words, "NODE_FAIL" | "BOOT_FAIL" | "PREEMPTED") && self.lost < MOST_LOST {
            self.lost += 1;
            (self.over_since, self.alive) = (None, None);
            return NextStep::Submit;
        }
        // What was cancelled before this run is wanted again.
        if self.is_inherited && (words == "UNKNOWN" || words.starts_with("CANCELLED")) {
            (self.over_since, self.is_inherited) = (None, false);
            return NextStep::Submit;
        }
        let printed = match folders.output(place) {
            printed if printed.is_empty() => String::new(),
            printed => format!("; it printed: {printed}"),
        };
        let exit = exit.map_or_else(String::new, |exit| format!(", {exit}"));
        if words == "FAILED" && self.began.is_none() && !folders.has_output(place) {
            let array = folders.array(&place.array);
            return NextStep::Ended(Err(format!(
                "its job could not begin (Slurm: {words}{exit}): its node does not see {}; the \
                store must be on a file system that all nodes see",
                array.display()
            )));
        }
        NextStep::Ended(Err(format!("{} (Slurm: {words}{exit}){printed}", explained(words))))
    }
}

/// The exit of a job by `STATUS:SIGNAL`, unless both are 0.
fn exit_in_words(exit: &str) -> Option<String> {
    match exit.split_once(':')? {
        ("0", "0") => None,
        // Slurm's mark of a job that was killed for lack of memory is no signal.
        ("0", "125") => None,
        ("0", signal) => Some(format!("signal {signal}")),
        (status, _) => Some(format!("exit status {status}")),
    }
}

fn began(name: Option<String>) -> WorkerMessage {
    // It may run before `sbatch` has told its number.
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    WorkerMessage::Placed { text: format!("runs as a job of Slurm{name}") }
}

/// Slurm's number of an array; looked for in the queue if it was not recorded.
fn number(
    folders: &JobFolders,
    place: &JobPlace,
    queue: &ClusterState,
) -> io::Result<Option<String>> {
    if let Some(number) = folders.number(&place.array)? {
        return Ok(Some(number));
    }
    let Some(found) = queue.number(&comment(&place.array)) else { return Ok(None) };
    folders.submitted(&place.array, found)?;
    Ok(Some(found.to_owned()))
}

/// What the end of a job without a result means.
fn explained(state: &str) -> &'static str {
    match state {
        "OUT_OF_MEMORY" => "its job ran out of memory; raise `resources.memory`",
        "TIMEOUT" | "DEADLINE" => {
            "its job reached its time limit; raise `time` of [executor], or `retries`"
        }
        "NODE_FAIL" | "BOOT_FAIL" => "its node failed",
        "PREEMPTED" => "its job was preempted, and Slurm did not requeue it",
        state if state.starts_with("CANCELLED") => "its job was cancelled in Slurm",
        "COMPLETED" => "its job ended without a result",
        "UNKNOWN" => "Slurm no longer knows its job, which left no result",
        _ => "its job failed without a result, perhaps for lack of memory",
    }
}
