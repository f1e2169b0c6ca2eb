//! The executor that submits attempts as jobs, watches them, and adopts those of earlier runs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant, SystemTime},
};

use petgraph::graph::NodeIndex;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

use super::{
    cluster::{ClusterState, Slurm},
    folder::{JobFolders, JobText},
    submission::{JobShape, this_program},
    watched::{NextStep, WatchedJob},
};
use crate::{
    digest::Digest,
    plan::ExecutorSettings,
    schedule::{
        child::AttemptStart,
        executor_event::{ExecutorEvent, Finished},
        job::WorkerMessage,
    },
    store::FileLock,
};

/// Shortest and longest time between two questions to Slurm.
const POLLS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];
/// Time within which the job of an ended stage ends for Slurm.
const ENDING: Duration = Duration::from_secs(60);
/// Longest time between two looks at the jobs' messages.
const SLOWEST_LOOK: Duration = Duration::from_secs(5);

/// The jobs of a run.
pub(in crate::schedule) struct SlurmExecutor {
    folders: JobFolders,
    placement: ExecutorSettings,
    recipe: String,
    /// The program that jobs run, once one has been submitted.
    program: Option<PathBuf>,
    /// Jobs without a place, by shape.
    prepared: BTreeMap<JobShape, Vec<NodeIndex>>,
    shapes: BTreeMap<NodeIndex, JobShape>,
    jobs: BTreeMap<NodeIndex, WatchedJob>,
    events: VecDeque<ExecutorEvent>,
    /// The right to submit, from the first claim to Slurm's answer.
    submission: Option<FileLock>,
    looked: Option<Instant>,
    /// When the last job of an earlier run was adopted, which may have ended.
    adopted: Option<Instant>,
    /// Jobs of ended stages that Slurm has not ended, and when they were first seen.
    left_behind: BTreeMap<String, Instant>,
    poll: Poll,
    signals: Option<Handle>,
    signalled: (Sender<()>, Receiver<()>),
    /// Whether to leave once everything ready is submitted.
    leaves: bool,
    has_detached: bool,
}

/// The questions to Slurm, one at a time on a thread of its own.
struct Poll {
    answers: (Sender<io::Result<ClusterState>>, Receiver<io::Result<ClusterState>>),
    is_asking: bool,
    next: Instant,
    interval: Duration,
    last: ClusterState,
    failures: u32,
}

impl SlurmExecutor {
    /// An executor of a run of a recipe; `leaves`: whether it leaves its jobs once they are
    /// submitted.
    pub(in crate::schedule) fn new(
        store: &Path,
        recipe: &str,
        placement: ExecutorSettings,
        leaves: bool,
    ) -> Self {
        Self {
            folders: JobFolders::of(store),
            placement,
            recipe: recipe.to_owned(),
            program: None,
            prepared: BTreeMap::new(),
            shapes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: VecDeque::new(),
            submission: None,
            looked: None,
            adopted: None,
            left_behind: BTreeMap::new(),
            poll: Poll {
                answers: mpsc::channel(),
                is_asking: false,
                next: Instant::now(),
                interval: POLLS[0],
                last: ClusterState::default(),
                failures: 0,
            },
            signals: None,
            signalled: mpsc::channel(),
            leaves,
            has_detached: false,
        }
    }

    /// Forgets jobs that ended while no run watched them.
    pub(in crate::schedule) fn forget_finished(&self, exists: impl Fn(&Digest) -> bool) {
        if let Err(error) = self.folders.remove_finished(exists) {
            tracing::warn!("folders of jobs that ended stay in the store: {error}");
        }
    }

    /// Receives signals as events; jobs outlive them.
    pub(in crate::schedule) fn listen_for_signals(&mut self) {
        let sender = self.signalled.0.clone();
        let listening = Signals::new([SIGINT, SIGTERM, SIGHUP]).and_then(|mut signals| {
            let handle = signals.handle();
            let listen = move || {
                signals.forever().all(|_| sender.send(()).is_ok());
            };
            thread::Builder::new().spawn(listen).map(|_| handle)
        });
        match listening {
            Ok(handle) => self.signals = Some(handle),
            Err(error) => tracing::warn!("Ctrl-C ends this run at once; jobs go on: {error}"),
        }
    }

    /// Claims the key of an attempt, or adopts the job that has claimed it.
    pub(in crate::schedule) fn prepare(&mut self, start: &AttemptStart) -> io::Result<()> {
        let key = start.job.key;
        let shape = JobShape {
            cpus: start.resources.cpus,
            memory: start.resources.memory,
            gpus: start.resources.gpus,
            settings: self.placement.settings(&start.job.kind),
        };
        let mut attempt = start.job.clone();
        // Nothing of this machine outlives or ends it.
        attempt.parent = 0;
        let text = JobText {
            attempt,
            log: start.log.clone(),
            timeout: start.timeout,
            retries: start.retries,
            signal_seconds: shape.signal_seconds(),
        };
        self.has_detached = false;
        self.begin_submission()?;
        let is_new = self.folders.claim(&key, &text)?;
        // One that is made again has its artifact from the beginning.
        let is_again = start.job.forced || start.job.check;
        let artifact = Some(start.artifact.clone()).filter(|_| !is_again);
        let job = WatchedJob::new(key, self.folders.job(&key), artifact);
        self.jobs.insert(start.node, if is_new { job } else { job.inherited() });
        self.shapes.insert(start.node, shape.clone());
        if is_new {
            // It can be followed before the job runs.
            let _ = File::create(&start.log);
            self.prepared.entry(shape).or_default().push(start.node);
        } else {
            // The job writes to the log of the run that submitted it.
            let theirs = self.folders.job(&key).text();
            let _ = theirs.and_then(|theirs| symlink(theirs.log, &start.log));
            self.adopted = Some(Instant::now());
            self.note(start.node, "a job of an earlier run makes it, and is adopted".to_owned());
        }
        Ok(())
    }

    fn begin_submission(&mut self) -> io::Result<()> {
        if self.submission.is_none() {
            self.submission = Some(self.folders.submission()?);
        }
        Ok(())
    }

    fn note(&mut self, node: NodeIndex, text: String) {
        self.events.push_back(ExecutorEvent::Said(node, WorkerMessage::Placed { text }));
    }

    /// Submits what was prepared, in arrays of one shape.
    pub(in crate::schedule) fn submit(&mut self) {
        self.submit_prepared();
        self.leave();
    }

    /// Leaves if it is asked to, once every job has a number of Slurm and Slurm was asked for the
    /// jobs of earlier runs.
    fn leave(&mut self) {
        if !self.leaves || self.has_detached || self.jobs.is_empty() {
            return;
        }
        let has_asked = self.adopted.is_none_or(|adopted| self.poll.has_asked_since(adopted));
        let is_queued = |job: &WatchedJob| {
            let name = job.folder.slurm_name(&self.folders);
            !job.is_missing() && name.is_ok_and(|name| name.is_some())
        };
        self.has_detached = has_asked && self.jobs.values().all(is_queued);
    }

    fn submit_prepared(&mut self) {
        let prepared = std::mem::take(&mut self.prepared);
        if prepared.is_empty() {
            self.submission = None;
            return;
        }
        if let Err(error) = self.begin_submission() {
            // They are found missing again.
            tracing::warn!("jobs are not submitted: {error}");
            return;
        }
        let most = Slurm::most_in_array();
        for (shape, nodes) in &prepared {
            // Another run may have submitted what both found missing.
            let is_open = |node: &&NodeIndex| {
                let job = &self.jobs[*node];
                job.folder.place().is_ok_and(|place| place == job.place)
            };
            let nodes: Vec<NodeIndex> = nodes.iter().filter(is_open).copied().collect();
            nodes.chunks(most).for_each(|nodes| self.submit_array(shape, nodes));
        }
        self.submission = None;
        self.poll.soon();
    }

    fn submit_array(&mut self, shape: &JobShape, nodes: &[NodeIndex]) {
        let keys: Vec<Digest> = nodes.iter().map(|node| self.jobs[node].key).collect();
        match self.try_submit(shape, &keys) {
            Ok(number) => {
                for (place, node) in nodes.iter().enumerate() {
                    self.note(*node, format!("queued as Slurm's job {number}_{place}"));
                }
            }
            // Whether Slurm has them is unknown: the comment will tell, or time.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                tracing::warn!("{error}; this run waits for Slurm");
            }
            Err(error) => {
                for node in nodes {
                    self.end(*node, Err(format!("its job could not be submitted: {error}")));
                }
            }
        }
    }

    fn try_submit(&mut self, shape: &JobShape, keys: &[Digest]) -> io::Result<String> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => self.folders.keep_program(&this_program())?,
        };
        self.program = Some(program.clone());
        let array = array_name(keys);
        // The keys are in the store before Slurm has the jobs.
        let folder = self.folders.place(&array, keys)?;
        let options = shape.array_options(&self.recipe, &folder, keys.len());
        let number = Slurm::submit(&options, &shape.script(&program, &folder))?;
        self.folders.submitted(&array, &number)?;
        Ok(number)
    }

    /// The next event.
    pub(in crate::schedule) fn next_event(&mut self, patience: Duration) -> Option<ExecutorEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        // What jobs say from now on is heard by the next run.
        if self.has_detached {
            return None;
        }
        if self.signalled.1.recv_timeout(patience).is_ok() {
            self.has_detached = true;
            return Some(ExecutorEvent::Left);
        }
        self.poll.ask(&self.jobs);
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() > self.pause());
        let queue = self.poll.answer();
        if is_due || queue.is_some() {
            self.look(queue.as_ref());
            self.looked = Some(Instant::now());
        }
        self.events.pop_front()
    }

    /// Time between two looks: many files on a shared file system take long to look at.
    fn pause(&self) -> Duration {
        SLOWEST_LOOK.min(Duration::from_millis(100 + 2 * self.jobs.len() as u64))
    }

    fn look(&mut self, queue: Option<&ClusterState>) {
        let nodes: Vec<NodeIndex> = self.jobs.keys().copied().collect();
        for node in nodes {
            if let Err(error) = self.look_at(node, queue) {
                tracing::warn!("the job of a stage cannot be looked at: {error}");
            }
        }
        // Whoever claimed some has not submitted them.
        self.submit_prepared();
        queue.inspect(|queue| self.end_left_behind(queue));
        if self.jobs.values().any(WatchedJob::is_missing) {
            self.poll.soon();
        }
        self.leave();
    }

    fn look_at(&mut self, node: NodeIndex, queue: Option<&ClusterState>) -> io::Result<()> {
        let job = self.jobs.get_mut(&node).expect("only jobs that are watched are looked at");
        let heard = job.hear(&self.folders)?;
        let verdict = job.judge(&self.folders, queue)?;
        let said = heard.into_iter().map(|message| ExecutorEvent::Said(node, message));
        self.events.extend(said);
        match verdict {
            NextStep::Continues => {}
            NextStep::Ended(result) => {
                self.poll.soon();
                self.end(node, result);
            }
            NextStep::Submit => {
                self.prepared.entry(self.shapes[&node].clone()).or_default().push(node);
            }
        }
        Ok(())
    }

    /// Waits until Slurm has ended the jobs of ended stages, and cancels those that it does not
    /// end; also those of earlier runs, since nobody else will.
    pub(in crate::schedule) fn finish(&mut self) {
        let (began, mut is_said) = (Instant::now(), false);
        while self.folders.has_arrays() && began.elapsed() < ENDING + POLLS[1] {
            match Slurm::state() {
                Ok(queue) => self.end_left_behind(&queue),
                Err(error) => return tracing::debug!("jobs may stay in the queue: {error}"),
            }
            let names: Vec<&str> = self.left_behind.keys().map(String::as_str).collect();
            if names.is_empty() {
                return;
            }
            // Most end while they are waited for.
            if began.elapsed() > ENDING / 10 && !is_said {
                tracing::info!(
                    "waiting for Slurm to end jobs of ended stages: {}",
                    names.join(", ")
                );
                is_said = true;
            }
            if self.signalled.1.recv_timeout(POLLS[0] / 4).is_ok() {
                return;
            }
        }
    }

    /// Cancels jobs of this store whose stages have ended, but which wait in the queue, or which
    /// Slurm takes to be running because it lost their end.
    fn end_left_behind(&mut self, queue: &ClusterState) {
        let watched: BTreeSet<&String> =
            self.jobs.values().filter_map(|job| job.name.as_ref()).collect();
        let (mut seen, mut left) = (BTreeMap::new(), Vec::new());
        for (name, job) in &queue.jobs {
            let is_waiting = job.state == "PENDING";
            if (is_waiting || job.state == "RUNNING")
                && !watched.contains(name)
                && self.folders.is_left_behind(name, &job.comment)
            {
                let since = self.left_behind.get(name).copied().unwrap_or_else(Instant::now);
                if is_waiting || since.elapsed() > ENDING {
                    left.push(name.clone());
                }
                seen.insert(name.clone(), since);
            }
        }
        self.left_behind = seen;
        if let Err(error) = Slurm::cancel(&left) {
            tracing::debug!("jobs of ended stages stay in the queue: {error}");
        }
    }

    /// A job ended: its folder makes place for the next attempt.
    fn end(&mut self, node: NodeIndex, result: Result<Finished, String>) {
        let Some(job) = self.jobs.remove(&node) else { return };
        let retried = job.folder.requeued();
        if let Err(error) = job.folder.remove() {
            tracing::warn!("the folder of a job that ended stays in the store: {error}");
        }
        let seconds = Some(job.seconds());
        self.events.push_back(ExecutorEvent::Ended { node, result, seconds, retried });
    }

    /// Whether this run leaves its jobs to a later one.
    pub(in crate::schedule) fn has_detached(&self) -> bool {
        self.has_detached && self.events.is_empty()
    }
}

impl Drop for SlurmExecutor {
    fn drop(&mut self) {
        self.signals.as_ref().inspect(|handle| handle.close());
    }
}

impl Poll {
    /// Asks early, since something happened.
    fn soon(&mut self) {
        self.interval = POLLS[0];
        self.next = self.next.min(Instant::now() + POLLS[0]);
    }

    /// Whether Slurm was asked after a time; one that does not answer is not waited for.
    fn has_asked_since(&self, time: Instant) -> bool {
        self.failures > 0 || self.last.asked.is_some_and(|asked| asked > time)
    }

    /// Asks on a thread, if it is time.
    fn ask(&mut self, jobs: &BTreeMap<NodeIndex, WatchedJob>) {
        if self.is_asking || Instant::now() < self.next {
            return;
        }
        let sender = self.answers.0.clone();
        let names: Vec<String> = jobs.values().filter_map(|job| job.name.clone()).collect();
        let ask = move || drop(sender.send(Slurm::state_with(&names)));
        self.is_asking = thread::Builder::new().spawn(ask).is_ok();
        self.next = Instant::now() + self.interval;
    }

    /// The queue, if it has just been read.
    fn answer(&mut self) -> Option<ClusterState> {
        let answer = self.answers.1.try_recv().ok()?;
        self.is_asking = false;
        // Less often while nothing changes.
        self.interval = (self.interval * 3 / 2).min(POLLS[1]);
        match answer {
            Ok(state) => {
                if self.failures > 0 {
                    tracing::warn!("Slurm answers again");
                }
                self.failures = 0;
                if state.jobs != self.last.jobs {
                    self.interval = POLLS[0];
                }
                self.next = Instant::now() + self.interval;
                self.last = state.clone();
                Some(state)
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!("{error}; jobs go on, and this run waits for Slurm");
                }
                self.failures += 1;
                self.next = Instant::now() + self.interval;
                None
            }
        }
    }
}

/// A name for an array of these keys that no other has.
fn array_name(keys: &[Digest]) -> String {
    let mut hasher = blake3::Hasher::new();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    hasher.update(&now.as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    for key in keys {
        hasher.update(key.to_string().as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
