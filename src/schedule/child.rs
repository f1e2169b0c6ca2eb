//! The parent's side of one attempt: a child in its own process group.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use petgraph::graph::NodeIndex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::job::{AttemptJob, WorkerMessage};
use crate::{
    context::guard::{self, THIS_PROGRAM},
    plan::Resources,
};

/// Grace period of children after the first Ctrl-C.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Delay before the next attempt after a process could not be started; grows with each failure.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// Urgency of the end of a run: 0 none, 1 after the first signal, 2 after the second.
pub(super) type Urgency = Arc<AtomicU8>;

/// Events of children and signals, from several threads.
pub(super) enum WorkerEvent {
    /// A message of a child.
    Message(NodeIndex, WorkerMessage),
    /// A child and all its descendants have ended.
    Ended(NodeIndex, ExitStatus),
    /// Ctrl-C, or a termination signal.
    Signal,
}

/// An attempt to be started.
pub(super) struct AttemptStart {
    pub(super) node: NodeIndex,
    pub(super) job: AttemptJob,
    /// Log file.
    pub(super) log: PathBuf,
    /// Folder of the future artifact.
    pub(super) artifact: PathBuf,
    /// What the recipe reserves.
    pub(super) resources: Resources,
    /// Maximum number of retries after failures.
    pub(super) retries: u32,
    /// `CUDA_VISIBLE_DEVICES`, if it has GPUs of its own.
    pub(super) visible: Option<String>,
    /// Longest duration of its work, without waiting for others that make the same artifact.
    pub(super) timeout: Option<Duration>,
}

/// What all children of a run share.
#[derive(Clone, Debug)]
pub(super) struct Nursery {
    pub(super) urgency: Urgency,
    pub(super) family: Family,
    /// Where their messages and ends arrive.
    pub(super) events: Sender<WorkerEvent>,
}

/// Children of this process: attempts, and orphans of killed attempts, which the kernel reparents
/// here. A guard catches the orphans of user programs while it lives; this handles the rest.
#[derive(Clone, Debug)]
pub(super) struct Family {
    /// Held while an attempt is started, so that it is not taken for an orphan.
    attempts: Arc<Mutex<HashSet<Pid>>>,
    /// Children older than any attempt.
    strangers: Arc<HashSet<Pid>>,
}

impl Family {
    /// Makes this process the subreaper of its attempts.
    pub(super) fn new() -> Self {
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::debug!("orphans of attempts cannot be found: {error}");
        }
        let strangers = Arc::new(guard::children().into_iter().collect());
        Self { attempts: Arc::new(Mutex::new(HashSet::new())), strangers }
    }

    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        // Locked across the start, or another thread could end the new child as an orphan.
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        attempts.insert(Pid::from_child(&child));
        Ok(child)
    }

    fn forget(&self, attempt: Pid) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }

    /// Whether a process is neither an attempt nor an older child.
    fn is_orphan(&self, child: Pid) -> bool {
        !self.strangers.contains(&child)
            && !self.attempts.lock().unwrap_or_else(PoisonError::into_inner).contains(&child)
    }

    /// Reaps orphans that have ended; returns the number of those that live.
    fn reap_orphans(&self) -> usize {
        let children = guard::children().into_iter();
        // Each one is to be reaped, where `any` would stop at the first that lives.
        children.filter(|child| self.is_orphan(*child) && !guard::reap(*child)).count()
    }

    /// Ends orphans of attempts, after a grace period while the run is ending.
    fn end_orphans(&self, urgency: &Urgency) {
        let began = Instant::now();
        while urgency.load(Ordering::Relaxed) == 1
            && began.elapsed() < GRACE
            && self.reap_orphans() > 0
        {
            thread::sleep(Duration::from_millis(10));
        }
        guard::end_children(|child| !self.is_orphan(child));
    }
}

impl Nursery {
    /// Starts an attempt; its messages and its end arrive as events. The child ends with the
    /// calling thread. It runs this executable, even if the file at its path was replaced.
    pub(super) fn start(&self, start: &AttemptStart) -> std::io::Result<Pid> {
        let file = start.job.write()?;
        let log = File::create(&start.log).ok();
        let mut child = self.family.spawn(&mut command(start, file, log.as_ref()))?;
        let group = Pid::from_child(&child);
        let stdout = child.stdout.take().expect("it is piped");
        // The child is handed over once both threads exist: until then it is ended here.
        let (hand_over, taken_over) = mpsc::channel::<(Child, thread::JoinHandle<()>)>();
        // The attempt has not begun if no thread can be started.
        match self
            .reaper(start.node, taken_over)
            .and_then(|()| self.reader(start.node, stdout, log))
        {
            Ok(reader) => {
                hand_over.send((child, reader)).expect("the thread waits for it");
                Ok(group)
            }
            Err(error) => {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                self.family.forget(group);
                Err(error)
            }
        }
    }

    /// A thread that waits for a child and reports its end after its last message.
    fn reaper(
        &self,
        node: NodeIndex,
        taken_over: Receiver<(Child, thread::JoinHandle<()>)>,
    ) -> std::io::Result<()> {
        let nursery = self.clone();
        let reap = move || {
            let Ok((child, reader)) = taken_over.recv() else { return };
            let status = wait(child, &nursery.urgency, &nursery.family);
            // Its output may still be in the pipe after its end.
            let _ = reader.join();
            let _ = nursery.events.send(WorkerEvent::Ended(node, status));
        };
        thread::Builder::new().spawn(reap).map(drop)
    }

    /// A thread that passes on a child's messages; output that is no message goes to its log.
    fn reader(
        &self,
        node: NodeIndex,
        stdout: ChildStdout,
        mut log: Option<File>,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        let events = self.events.clone();
        let listen = move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                match serde_json::from_slice(&line) {
                    Ok(message) => drop(events.send(WorkerEvent::Message(node, message))),
                    Err(_) => drop(
                        log.as_mut().map(|log| log.write_all(&[line.as_slice(), b"\n"].concat())),
                    ),
                }
            }
        };
        thread::Builder::new().spawn(listen)
    }
}

fn command(start: &AttemptStart, job: File, log: Option<&File>) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    // In a group of its own, Ctrl-C in the terminal reaches only this process, which decides.
    command.arg0("apeft").arg("attempt").process_group(0).stdin(job).stdout(Stdio::piped());
    command.stderr(log.and_then(|log| log.try_clone().ok()).map_or_else(Stdio::null, Stdio::from));
    // Keeping freed pages saves a fifth of a training step.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        command.env("MIMALLOC_PURGE_DELAY", "-1");
    }
    if let Some(visible) = &start.visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    command
}

/// Waits for a child, and ends its descendants.
fn wait(mut child: Child, urgency: &Urgency, family: &Family) -> ExitStatus {
    let group = Pid::from_child(&child);
    // The child stays a zombie until its group is killed, so that its id is not reused.
    let _ =
        rustix::process::waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    // Programs of an interrupted attempt may tidy up; otherwise nothing outlives an attempt.
    let patient = urgency.load(Ordering::Relaxed) == 1;
    if !patient {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().expect("a child that was started can be waited for");
    let began = Instant::now();
    while patient && rustix::process::test_kill_process_group(group).is_ok() {
        if urgency.load(Ordering::Relaxed) > 1 || began.elapsed() > GRACE {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    family.forget(group);
    // A successful attempt has waited for its programs.
    if !status.success() {
        family.end_orphans(urgency);
    }
    status
}

/// Explains the exit status of a child that sent no final message.
pub(super) fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (_, Some(9)) => "its process was killed (signal 9), probably because the machine ran out \
        of memory"
            .to_owned(),
        (_, Some(7)) => {
            "its process was ended by signal 7, probably because an input file was truncated \
            during the run"
                .to_owned()
        }
        (_, Some(11)) => "its process crashed (signal 11)".to_owned(),
        (_, Some(signal)) => format!("its process was ended by signal {signal}"),
        (Some(code), _) => format!("its process ended with status {code} without a result"),
        (None, None) => "its process ended without a result".to_owned(),
    }
}
