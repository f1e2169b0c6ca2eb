//! Slurm's programs: what its queue says, submission and cancellation.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for a program of Slurm: a controller that is down lets them hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Words of Slurm's programs for a controller that does not answer.
const UNREACHABLE: [&str; 5] = [
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Zero Bytes were transmitted",
];

/// Words of `sacct` where the cluster keeps no accounts.
const NO_ACCOUNTS: &str = "accounting storage is disabled";

/// Slurm's programs.
pub struct Slurm;

/// What the queue says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// Jobs by name, such as `123_4`.
    pub jobs: BTreeMap<String, QueuedJob>,
    /// When it was asked.
    pub(super) asked: Option<Instant>,
}

/// A job of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedJob {
    /// State, such as `PENDING`.
    pub state: String,
    /// Why it is in this state.
    pub reason: String,
    /// Comment.
    pub comment: String,
    /// Exit status and signal, such as `0:9`, of a job that is only in the accounts.
    pub exit: Option<String>,
}

impl ClusterState {
    /// Reads lines of `id|state|reason|comment`; other lines are banners of the site.
    fn read(text: &str) -> Self {
        let jobs = text.lines().filter_map(|line| {
            let mut fields = line.trim().splitn(4, '|').map(str::to_owned);
            let [id, state, reason, comment] = [(); 4].map(|()| fields.next());
            let job = QueuedJob { state: state?, reason: reason?, comment: comment?, exit: None };
            id.filter(|id| id.starts_with(|letter: char| letter.is_ascii_digit()))
                .map(|id| (id, job))
        });
        Self { jobs: jobs.collect(), asked: None }
    }

    /// Adds jobs that ended and that the queue has forgotten, from lines of `id|state|exit` of the
    /// accounts. A job that still runs there was not accounted to its end.
    fn add_accounts(&mut self, text: &str, names: &[String]) {
        for line in text.lines() {
            let mut fields = line.trim().split('|').map(str::to_owned);
            let [Some(id), Some(state), Some(exit)] = [(); 3].map(|()| fields.next()) else {
                continue;
            };
            // `CANCELLED by 1000`
            let state = state.split(' ').next().unwrap_or_default().to_owned();
            let (reason, comment) = Default::default();
            let job = QueuedJob { state, reason, comment, exit: Some(exit) };
            if job.is_over() && names.contains(&id) {
                self.jobs.entry(id).or_insert(job);
            }
        }
    }

    /// Slurm's number of the array with a comment.
    pub(super) fn number(&self, comment: &str) -> Option<&str> {
        let found = self.jobs.iter().find(|(_, job)| job.comment == comment)?;
        Some(found.0.split('_').next().unwrap_or(found.0))
    }

    /// Slurm's number of a job with a comment that is not over.
    pub(super) fn open_number(&self, comment: &str) -> Option<&str> {
        let mut jobs = self.jobs.iter();
        let found = jobs.find(|(_, job)| job.comment == comment && !job.is_over());
        found.map(|(name, _)| name.as_str())
    }
}

impl QueuedJob {
    /// Whether the job is over for Slurm.
    pub(super) fn is_over(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "PENDING"
                | "RUNNING"
                | "SUSPENDED"
                | "COMPLETING"
                | "CONFIGURING"
                | "REQUEUED"
                | "REQUEUE_HOLD"
                | "REQUEUE_FED"
                | "RESIZING"
                | "SIGNALING"
                | "STAGE_OUT"
                | "STOPPED"
                | "SPECIAL_EXIT"
                | "RESV_DEL_HOLD"
        )
    }

    /// Whether Slurm holds it after it could not be launched.
    pub(super) fn is_held(&self) -> bool {
        let reason = self.reason.replace(' ', "_");
        self.state == "PENDING" && reason.contains("launch_failed_requeued_held")
    }
}

impl Slurm {
    /// The jobs of this user, also those that ended recently.
    ///
    /// # Errors
    /// If Slurm does not answer.
    pub fn state() -> io::Result<ClusterState> {
        let mut command = Command::new("squeue");
        command.args(["--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r|%k"]);
        let asked = Some(Instant::now());
        let text = answer(command, "")?;
        Ok(ClusterState { asked, ..ClusterState::read(&text) })
    }

    /// The same with those of the named jobs that are only in the accounts, if the cluster keeps
    /// any.
    pub(super) fn state_with(names: &[String]) -> io::Result<ClusterState> {
        static HAS_ACCOUNTS: AtomicBool = AtomicBool::new(true);
        let mut state = Self::state()?;
        let forgotten: Vec<String> =
            names.iter().filter(|name| !state.jobs.contains_key(*name)).cloned().collect();
        if forgotten.is_empty() || !HAS_ACCOUNTS.load(Ordering::Relaxed) {
            return Ok(state);
        }
        let arrays: BTreeSet<&str> =
            forgotten.iter().filter_map(|name| name.split('_').next()).collect();
        let arrays: Vec<&str> = arrays.into_iter().collect();
        let mut command = Command::new("sacct");
        command.args(["--allocations", "--parsable2", "--noheader"]);
        command.args(["--format=JobID,State,ExitCode", "--jobs", &arrays.join(",")]);
        match answer(command, "") {
            Ok(text) => state.add_accounts(&text, &forgotten),
            // The result files say how the jobs ended; the accounts would only say why.
            Err(error) => {
                let is_missing = error.kind() == io::ErrorKind::NotFound
                    || error.to_string().contains(NO_ACCOUNTS);
                HAS_ACCOUNTS.store(!is_missing, Ordering::Relaxed);
                tracing::debug!("ends of jobs are not explained: {error}");
            }
        }
        Ok(state)
    }

    /// Submits a script; returns the job's number.
    pub(super) fn submit(options: &[String], script: &str) -> io::Result<String> {
        let mut command = Command::new("sbatch");
        command.arg("--parsable").args(options);
        // Those of a job that this process runs in are not those of the new one.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SLURM_") && text != "SLURM_CONF" {
                command.env_remove(&name);
            }
        }
        let text = answer(command, script)?;
        // A site may print banners, and the cluster's name follows a semicolon.
        let number = text.lines().rev().find_map(|line| {
            let number = line.trim().split(';').next()?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.to_owned())
        });
        number.ok_or_else(|| io::Error::other(format!("sbatch printed no number: {text}")))
    }

    /// Cancels jobs by name.
    ///
    /// # Errors
    /// If Slurm does not answer.
    pub fn cancel(names: &[String]) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut command = Command::new("scancel");
        // KILL follows TERM after the cluster's KillWait.
        command.arg("--quiet").args(names);
        answer(command, "").map(drop)
    }

    /// Requeues the job that this process runs in.
    pub(super) fn requeue(name: &str) -> io::Result<()> {
        let mut command = Command::new("scontrol");
        command.args(["requeue", name]);
        answer(command, "").map(drop)
    }

    /// Releases a job that Slurm holds.
    pub(super) fn release(name: &str) -> io::Result<()> {
        let mut command = Command::new("scontrol");
        command.args(["release", name]);
        answer(command, "").map(drop)
    }

    /// Time until the limit of a job that runs and is not being ended; none without a limit.
    pub(super) fn time_left(name: &str) -> io::Result<Option<Duration>> {
        let mut command = Command::new("squeue");
        command.args(["--noheader", "--format=%T|%L", "--jobs", name]);
        let text = answer(command, "")?;
        Ok(left_of(&text).map(Duration::from_secs))
    }

    /// The most jobs of an array.
    pub(super) fn most_in_array() -> usize {
        let mut command = Command::new("scontrol");
        command.args(["show", "config"]);
        let text = answer(command, "").unwrap_or_default();
        let limit = text.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
        let limit = limit.and_then(|rest| rest.trim_matches([' ', '=']).parse().ok());
        limit.unwrap_or(1000).clamp(1, 1000)
    }
}

/// Seconds of `[D-][HH:]MM:SS`, as Slurm prints times.
fn seconds(text: &str) -> Option<u64> {
    let (days, rest) = text.split_once('-').unwrap_or(("0", text));
    let mut seconds = 0;
    for part in rest.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(days.parse::<u64>().ok()? * 86_400 + seconds)
}

/// What a program prints, if it ends in time and well.
fn answer(mut command: Command, input: &str) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("`{name}` cannot run: {error}")))?;
    // Scripts are shorter than the buffer of a pipe. A program that refuses its options reads none,
    // and says why.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let (mut out, mut err) =
        (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    let listen = thread::spawn(move || {
        let mut text = String::new();
        let _ = out.read_to_string(&mut text);
        text
    });
    let listen_to_errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = err.read_to_string(&mut text);
        text
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = PATIENCE.as_secs();
                let problem = format!("`{name}` did not answer within {seconds} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = listen.join().unwrap_or_default();
    if status.success() {
        return Ok(text);
    }
    let errors = listen_to_errors.join().unwrap_or_default();
    // Whether it has done what was asked is unknown.
    let is_unreachable = UNREACHABLE.iter().any(|words| errors.contains(words));
    let kind = if is_unreachable { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, format!("`{name}`: {}", errors.trim())))
}

/// Seconds left to a job, by its state and time; none without a limit, or if it is being ended.
fn left_of(text: &str) -> Option<u64> {
    let (state, left) = text.trim().split_once('|')?;
    // A job is `SIGNALING` while Slurm sends it the signal before its limit.
    if ["RUNNING", "SIGNALING"].contains(&state) { seconds(left) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_signalled_has_time_left() {
        assert_eq!(left_of("RUNNING|1:05\n"), Some(65));
        assert_eq!(left_of("SIGNALING|0:47\n"), Some(47));
        assert_eq!(left_of("RUNNING|UNLIMITED"), None);
        assert_eq!(left_of("COMPLETING|0:47"), None);
        assert_eq!(left_of(""), None);
    }

    #[test]
    fn the_queue_is_read_line_by_line() {
        let text = "Welcome to the cluster|\n12_0|RUNNING|None|apeft:ab\n12_1|PENDING|Resources|\
            apeft:ab\n9_3|COMPLETED|None|\n";
        let state = ClusterState::read(text);
        assert_eq!(state.jobs.len(), 3);
        assert_eq!(state.number("apeft:ab"), Some("12"));
        assert_eq!(state.number("apeft:cd"), None);
        assert!(state.jobs["9_3"].is_over() && !state.jobs["12_1"].is_over());
    }

    #[test]
    fn the_accounts_add_what_the_queue_has_forgotten() {
        let mut state = ClusterState::read("12_0|RUNNING|None|apeft:ab\n");
        let text = "Welcome\n12_0|COMPLETED|0:0\n12_1|OUT_OF_MEMORY|0:125\n12_2|CANCELLED by \
            1000|0:15\n12_3|RUNNING|0:0\n12_[4-9%2]|PENDING|0:0\n13_1|FAILED|3:0\n";
        let names = ["12_1", "12_2", "12_3", "12_4"].map(str::to_owned);
        state.add_accounts(text, &names);
        let found = state.jobs.iter().map(|(name, job)| (name.as_str(), job.state.as_str()));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("12_0", "RUNNING"), ("12_1", "OUT_OF_MEMORY"), ("12_2", "CANCELLED")]
        );
        assert_eq!(state.jobs["12_1"].exit.as_deref(), Some("0:125"));
    }

    #[test]
    fn times_are_seconds() {
        for (text, expected) in
            [("0:59", Some(59)), ("1:00:01", Some(3601)), ("1-00:00:00", Some(86_400))]
        {
            assert_eq!(seconds(text), expected);
        }
        assert_eq!([seconds("UNLIMITED"), seconds("INVALID"), seconds("")], [None; 3]);
    }
}
