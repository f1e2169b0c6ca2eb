//! burn-train's dashboard over a run's events: while it is open, everything else waits.

use super::terminal::Terminal;
use crate::{
    schedule::event::{Event, Timed},
    stage::Report,
    tuning::Dashboard,
};

/// Shows the terminal or, while a training stage runs, its dashboard.
pub(super) struct Screen {
    terminal: Terminal,
    /// Whether dashboards are wanted.
    wanted: bool,
    open: Option<Open>,
}

struct Open {
    stage: String,
    dashboard: Dashboard,
    /// What the terminal is told once the dashboard closes.
    held: Vec<Timed>,
    /// Whether the person at the dashboard has already stopped the run: a second signal would end it at once.
    stopped: bool,
}

impl Screen {
    pub(super) fn new(terminal: Terminal, wanted: bool) -> Self {
        Self { terminal, wanted, open: None }
    }

    /// Shows an event.
    pub(super) fn heed(&mut self, timed: &Timed) {
        if let Event::StageReported { stage, report: Report::Metrics { .. } } = &timed.event
            && self.wanted
            && self.open.is_none()
        {
            self.terminal.hide();
            self.open = Some(Open {
                stage: stage.clone(),
                dashboard: Dashboard::open(stage),
                held: Vec::new(),
                stopped: false,
            });
        }
        match &mut self.open {
            Some(open) if !open.ends(&timed.event) => open.heed(timed),
            Some(_) => {
                self.close();
                self.terminal.heed(timed);
            }
            None => self.terminal.heed(timed),
        }
    }

    /// Closes the dashboard and gives the terminal back, with all that was held.
    pub(super) fn close(&mut self) -> &mut Terminal {
        if let Some(Open { held, dashboard, .. }) = self.open.take() {
            drop(dashboard);
            self.terminal.show();
            held.iter().for_each(|timed| self.terminal.heed(timed));
        }
        &mut self.terminal
    }
}

impl Open {
    /// Whether the event ends the stage that is shown, or the run.
    fn ends(&self, event: &Event) -> bool {
        match event {
            Event::StageFinished { stage, .. } | Event::StageFailed { stage, .. } => *stage == self.stage,
            Event::Interrupted | Event::RunFinished { .. } => true,
            _ => false,
        }
    }

    fn heed(&mut self, timed: &Timed) {
        match &timed.event {
            Event::StageReported { stage, report: Report::Progress { done, total, .. } } if *stage == self.stage => {
                self.dashboard.progress(*done as usize, *total as usize);
            }
            Event::StageReported { stage, report: Report::Metrics { values, .. } } if *stage == self.stage => {
                self.dashboard.measured(values);
            }
            Event::StageReported { report: Report::Progress { .. } | Report::Metrics { .. }, .. } => {}
            _ => self.held.push(timed.clone()),
        }
        if self.dashboard.wants_to_stop() && !self.stopped {
            self.stopped = true;
            // What a person at the terminal would do: the run ends as after Ctrl-C, and goes on from here later.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).ok();
        }
    }
}
