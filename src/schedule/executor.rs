//! Where a run's attempts are executed. The dispatcher does not know.

use std::{io, time::Duration};

use rustix::process::Pid;

use super::{
    child::AttemptStart, executor_event::ExecutorEvent, local::LocalExecutor, slurm::SlurmExecutor,
};

/// The executor of a run.
pub(super) enum Executor {
    /// Child processes.
    Local(LocalExecutor),
    /// Jobs of Slurm.
    Slurm(Box<SlurmExecutor>),
}

impl Executor {
    /// Receives Ctrl-C and termination signals as events, until the executor is dropped.
    pub(super) fn listen_for_signals(&mut self) {
        match self {
            Self::Local(local) => local.listen_for_signals(),
            Self::Slurm(slurm) => slurm.listen_for_signals(),
        }
    }

    /// Starts an attempt, or prepares its job; returns the process group of a child.
    ///
    /// # Errors
    /// If the attempt could not be started.
    pub(super) fn start(&mut self, start: &AttemptStart) -> io::Result<Option<Pid>> {
        match self {
            Self::Local(local) => local.start(start).map(Some),
            Self::Slurm(slurm) => slurm.prepare(start).map(|()| None),
        }
    }

    /// Submits the jobs that were prepared since the last call.
    pub(super) fn submit(&mut self) {
        if let Self::Slurm(slurm) = self {
            slurm.submit();
        }
    }

    /// The next event; none if nothing happened for a while that concerns the dispatcher.
    pub(super) fn next_event(&mut self, patience: Duration) -> Option<ExecutorEvent> {
        match self {
            Self::Local(local) => local.next_event(patience),
            Self::Slurm(slurm) => slurm.next_event(patience),
        }
    }

    /// Kills attempts after their timeout, and all children after the grace period of an
    /// interruption.
    pub(super) fn end_overdue(&mut self) {
        match self {
            Self::Local(local) => local.end_overdue(),
            // A job ends its own attempt, also while no run watches it.
            Self::Slurm(_) => {}
        }
    }

    /// Kills all children without a grace period. Jobs go on.
    pub(super) fn kill_all(&self) {
        if let Self::Local(local) = self {
            local.kill_all();
        }
    }

    /// Ends what is left of attempts whose stages have ended.
    pub(super) fn finish(&mut self) {
        if let Self::Slurm(slurm) = self {
            slurm.finish();
        }
    }

    /// Whether the run leaves its jobs to a later one.
    pub(super) fn has_detached(&self) -> bool {
        matches!(self, Self::Slurm(slurm) if slurm.has_detached())
    }
}
