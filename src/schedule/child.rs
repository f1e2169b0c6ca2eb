//! One attempt, as seen by the process that waits for it: a child in a process group of its own.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::Sender,
    },
    thread,
    time::{Duration, Instant},
};

use petgraph::graph::NodeIndex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::attempt::{Job, Message};

/// After the first Ctrl-C, children have so long to end.
pub(super) const GRACE: Duration = Duration::from_secs(5);

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
}

/// Starts an attempt; what it says, and its end, come through `notes`. It ends with the thread that calls this.
pub(super) fn start(start: &Start, notes: &Sender<Note>) -> std::io::Result<Pid> {
    let file = start.job.write()?;
    let log = File::create(start.log).ok();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("attempt").process_group(0).stdin(file).stdout(Stdio::piped());
    command.stderr(log.as_ref().and_then(|log| log.try_clone().ok()).map_or_else(Stdio::null, Stdio::from));
    // Freed pages are kept: handing them back and clearing new ones costs a training step a fifth of its time.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        command.env("MIMALLOC_PURGE_DELAY", "-1");
    }
    if let Some(visible) = start.visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    let mut child = command.spawn()?;
    let group = Pid::from_child(&child);
    let stdout = child.stdout.take().expect("it is piped");
    let node = start.node;
    let sender = notes.clone();
    let reader = thread::spawn(move || {
        let mut log = log;
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            match serde_json::from_slice(&line) {
                Ok(message) => drop(sender.send(Note::Said(node, message))),
                // Something printed where only messages belong.
                Err(_) => drop(log.as_mut().map(|log| log.write_all(&[line.as_slice(), b"\n"].concat()))),
            }
        }
    });
    let (sender, urgency) = (notes.clone(), start.urgency.clone());
    thread::spawn(move || {
        let status = wait(child, group, &urgency);
        // Whatever is left of what it said comes first.
        let _ = reader.join();
        let _ = sender.send(Note::Ended(node, status));
    });
    Ok(group)
}

/// Waits for a child, and ends what it started and left behind.
fn wait(mut child: Child, group: Pid, urgency: &Urgency) -> ExitStatus {
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
        (_, Some(11)) => "its process crashed (signal 11)".to_owned(),
        (_, Some(signal)) => format!("its process was ended by signal {signal}"),
        (Some(code), _) => format!("its process ended with status {code} and left no result"),
        (None, None) => "its process ended and left no result".to_owned(),
    }
}
