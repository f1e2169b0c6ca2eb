//! The executor of this machine: starts attempts as child processes, watches them, and ends them.

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use petgraph::graph::NodeIndex;
use rustix::process::{Pid, Signal};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

use super::{
    child::{self, AttemptStart, Family, GRACE, Nursery, WorkerEvent},
    executor_event::{ExecutorEvent, Finished},
    job::WorkerMessage,
};

/// The child processes of a run. It knows which processes live, but not what their ends mean.
pub(super) struct LocalExecutor {
    attempts: BTreeMap<NodeIndex, LiveAttempt>,
    nursery: Nursery,
    events: Receiver<WorkerEvent>,
    interrupted_at: Option<Instant>,
    signals: Option<Handle>,
}

/// A living attempt.
struct LiveAttempt {
    /// Its process group.
    group: Pid,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    timed_out: bool,
    /// `Finished` or `Failed`, which count once it has ended.
    last_message: Option<WorkerMessage>,
}

impl LocalExecutor {
    pub(super) fn new() -> Self {
        let (sender, events) = mpsc::channel();
        let urgency = Arc::new(AtomicU8::new(0));
        Self {
            attempts: BTreeMap::new(),
            nursery: Nursery { urgency, family: Family::new(), events: sender },
            events,
            interrupted_at: None,
            signals: None,
        }
    }

    /// Receives Ctrl-C and termination signals as events, until the executor is dropped. Where this
    /// fails, such a signal ends the run and its children at once.
    pub(super) fn listen_for_signals(&mut self) {
        let listening = Signals::new([SIGINT, SIGTERM]).and_then(|mut signals| {
            let (handle, events) = (signals.handle(), self.nursery.events.clone());
            let listen = move || {
                signals.forever().all(|_| events.send(WorkerEvent::Signal).is_ok());
            };
            let started = std::thread::Builder::new().spawn(listen);
            started.inspect_err(|_| handle.close()).map(|_| handle)
        });
        match listening {
            Ok(handle) => self.signals = Some(handle),
            Err(error) => tracing::warn!("Ctrl-C ends children at once: {error}"),
        }
    }

    /// Starts an attempt; returns its process group.
    pub(super) fn start(&mut self, start: &AttemptStart) -> std::io::Result<Pid> {
        let group = self.nursery.start(start)?;
        let attempt = LiveAttempt {
            group,
            timeout: start.timeout,
            deadline: None,
            timed_out: false,
            last_message: None,
        };
        self.attempts.insert(start.node, attempt);
        Ok(group)
    }

    /// The next event; none if nothing happened for a while that concerns the dispatcher.
    pub(super) fn next_event(&mut self, patience: Duration) -> Option<ExecutorEvent> {
        match self.events.recv_timeout(patience) {
            Ok(WorkerEvent::Message(node, message)) => self.hear(node, message),
            Ok(WorkerEvent::Ended(node, status)) => {
                let attempt = self.attempts.remove(&node)?;
                let result = attempt.result(status);
                Some(ExecutorEvent::Ended { node, result, seconds: None, retried: 0 })
            }
            Ok(WorkerEvent::Signal) => self.interrupt(),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the nursery holds a sender"),
        }
    }

    fn hear(&mut self, node: NodeIndex, message: WorkerMessage) -> Option<ExecutorEvent> {
        let attempt = self.attempts.get_mut(&node)?;
        match message {
            // The time that an attempt waits for another run with the same key is not its own.
            WorkerMessage::Began => {
                attempt.deadline =
                    attempt.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
                None
            }
            // The artifact counts after the child's descendants have ended too.
            last @ (WorkerMessage::Finished { .. } | WorkerMessage::Failed { .. }) => {
                attempt.last_message = Some(last);
                None
            }
            other => Some(ExecutorEvent::Said(node, other)),
        }
    }

    /// Asks all attempts to end after the first signal, and kills them after the second.
    fn interrupt(&mut self) -> Option<ExecutorEvent> {
        if self.interrupted_at.is_some() {
            self.kill_all();
            return None;
        }
        self.interrupted_at = Some(Instant::now());
        self.nursery.urgency.store(1, Ordering::Relaxed);
        self.signal_all(Signal::TERM);
        Some(ExecutorEvent::Interrupted)
    }

    /// Kills attempts after their timeout, and all attempts after the grace period of an
    /// interruption.
    pub(super) fn end_overdue(&mut self) {
        let now = Instant::now();
        for attempt in self.attempts.values_mut() {
            if attempt.deadline.is_some_and(|deadline| now >= deadline) {
                attempt.deadline = None;
                attempt.timed_out = true;
                let _ = rustix::process::kill_process_group(attempt.group, Signal::KILL);
            }
        }
        if self.interrupted_at.is_some_and(|at| now.duration_since(at) > GRACE) {
            self.signal_all(Signal::KILL);
        }
    }

    /// Kills all attempts without a grace period.
    pub(super) fn kill_all(&self) {
        self.nursery.urgency.store(2, Ordering::Relaxed);
        self.signal_all(Signal::KILL);
    }

    /// Signals all process groups, some of which may have ended already.
    fn signal_all(&self, signal: Signal) {
        for attempt in self.attempts.values() {
            let _ = rustix::process::kill_process_group(attempt.group, signal);
        }
    }
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        self.signals.as_ref().inspect(|handle| handle.close());
    }
}

impl LiveAttempt {
    /// The result of an attempt that ended. One that finished before it was killed has finished.
    fn result(self, status: ExitStatus) -> Result<Finished, String> {
        match self.last_message {
            Some(WorkerMessage::Finished { cached, learnt }) => Ok(Finished { cached, learnt }),
            _ if self.timed_out => {
                let limit = self.timeout.unwrap_or_default().as_secs_f64();
                Err(format!("it took longer than its timeout of {limit} s"))
            }
            Some(WorkerMessage::Failed { error }) => Err(error),
            _ => Err(child::words(status)),
        }
    }
}
