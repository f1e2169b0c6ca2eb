//! One attempt, as seen by the process that waits for it: a child in a process group of its own.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use petgraph::graph::NodeIndex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::attempt::{Job, Message};
use crate::stage::guard::{self, THIS_PROGRAM};

/// After the first Ctrl-C, children have so long to end.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// After a process could not be started, the next attempt waits so long, and longer each time.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How urgently a run is to end: 0 for not at all, 1 after the first signal, 2 after the second.
pub(super) type Urgency = Arc<AtomicU8>;

/// What reaches the scheduler.
pub(super) enum Note {
    /// A child said something.
    Said(NodeIndex, Message),
    /// A child and all that it started are gone.
    Ended(NodeIndex, ExitStatus),
    /// Ctrl-C, or a termination signal.
    Signal,
}

/// What a child is started with.
pub(super) struct Start<'a> {
    pub(super) node: NodeIndex,
    pub(super) job: &'a Job,
    /// Where its output goes.
    pub(super) log: &'a Path,
    /// `CUDA_VISIBLE_DEVICES`, where it has GPUs of its own.
    pub(super) visible: Option<&'a str>,
    pub(super) urgency: &'a Urgency,
    pub(super) family: &'a Family,
}

/// The children of this process: its attempts, and whatever an attempt that was killed left behind, which the kernel hands to
/// this process. A guard does that for programs of the user's own as long as it lives; this is for when it does not.
#[derive(Clone, Debug)]
pub(super) struct Family {
    /// Held while an attempt is started, so that none is taken for a leftover.
    attempts: Arc<Mutex<HashSet<Pid>>>,
    /// Children that were there before any attempt.
    strangers: Arc<HashSet<Pid>>,
}

impl Family {
    /// Has this process handed what its attempts leave behind.
    pub(super) fn new() -> Self {
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::debug!("what an attempt leaves behind is not found: {error}");
        }
        let strangers = Arc::new(guard::children().into_iter().collect());
        Self { attempts: Arc::new(Mutex::new(HashSet::new())), strangers }
    }

    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        attempts.insert(Pid::from_child(&child));
        Ok(child)
    }

    fn forget(&self, attempt: Pid) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }

    /// Whether a process is neither an attempt nor a child from before.
    fn is_leftover(&self, child: Pid) -> bool {
        !self.strangers.contains(&child)
            && !self.attempts.lock().unwrap_or_else(PoisonError::into_inner).contains(&child)
    }

    /// Ends what attempts left behind; a run that is being ended first grants it some time.
    fn end_leftovers(&self, urgency: &Urgency) {
        let began = Instant::now();
        let is_left = |child: Pid| self.is_leftover(child) && !guard::bury(child);
        while urgency.load(Ordering::Relaxed) == 1
            && began.elapsed() < GRACE
            && guard::children().into_iter().filter(|child| is_left(*child)).count() > 0
        {
            thread::sleep(Duration::from_millis(10));
        }
        guard::end_children(|child| !self.is_leftover(child));
    }
}

/// Starts an attempt; what it says, and its end, come through `notes`. It ends with the thread that calls this. It is this very
/// program, even where another one was put in its place meanwhile.
pub(super) fn start(start: &Start, notes: &Sender<Note>) -> std::io::Result<Pid> {
    let file = start.job.write()?;
    let log = File::create(start.log).ok();
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0("apeft").arg("attempt").process_group(0).stdin(file).stdout(Stdio::piped());
    command.stderr(log.as_ref().and_then(|log| log.try_clone().ok()).map_or_else(Stdio::null, Stdio::from));
    // Freed pages are kept: handing them back and clearing new ones costs a training step a fifth of its time.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        command.env("MIMALLOC_PURGE_DELAY", "-1");
    }
    if let Some(visible) = start.visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    let mut child = start.family.spawn(&mut command)?;
    let group = Pid::from_child(&child);
    let stdout = child.stdout.take().expect("it is piped");
    let node = start.node;
    let sender = notes.clone();
    let listen = move || {
        let mut log = log;
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            match serde_json::from_slice(&line) {
                Ok(message) => drop(sender.send(Note::Said(node, message))),
                // Something printed where only messages belong.
                Err(_) => drop(log.as_mut().map(|log| log.write_all(&[line.as_slice(), b"\n"].concat()))),
            }
        }
    };
    let (sender, urgency, family) = (notes.clone(), start.urgency.clone(), start.family.clone());
    let (hand_over, taken_over) = mpsc::channel::<(Child, thread::JoinHandle<()>)>();
    let bury = move || {
        let Ok((child, reader)) = taken_over.recv() else { return };
        let status = wait(child, group, &urgency, &family);
        // Whatever is left of what it said comes first.
        let _ = reader.join();
        let _ = sender.send(Note::Ended(node, status));
    };
    // Where the system grants no more threads, the attempt has not begun.
    let threads = thread::Builder::new().spawn(bury).and_then(|_| thread::Builder::new().spawn(listen));
    match threads {
        Ok(reader) => {
            hand_over.send((child, reader)).expect("the thread waits for it");
            Ok(group)
        }
        Err(error) => {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let _ = child.wait();
            start.family.forget(group);
            Err(error)
        }
    }
}

/// Waits for a child, and ends what it started and left behind.
fn wait(mut child: Child, group: Pid, urgency: &Urgency, family: &Family) -> ExitStatus {
    // The child stays a zombie until the group was killed, so that its number cannot be another's.
    let _ = rustix::process::waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
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
    // An attempt that ended well has seen its programs end.
    if !status.success() {
        family.end_leftovers(urgency);
    }
    status
}

/// What the status of a child that said nothing of its end means, in words.
pub(super) fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (_, Some(9)) => {
            "its process was killed (signal 9): most likely the machine ran out of memory, or somebody killed it"
                .to_owned()
        }
        (_, Some(7)) => {
            "its process was ended by signal 7: most likely a file that it reads was cut short meanwhile".to_owned()
        }
        (_, Some(11)) => "its process crashed (signal 11)".to_owned(),
        (_, Some(signal)) => format!("its process was ended by signal {signal}"),
        (Some(code), _) => format!("its process ended with status {code} and left no result"),
        (None, None) => "its process ended and left no result".to_owned(),
    }
}
