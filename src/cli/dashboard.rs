//! burn-train's dashboard of a run; other output is held back while it is open.

use std::io::{self, IsTerminal};

use indicatif::ProgressDrawTarget;

use super::{output::say_text, terminal::Terminal};
use crate::{
    context::StageEvent,
    schedule::event::{RunEvent, Timed},
    tuning::Dashboard,
};

/// Shows the terminal or, during training, the dashboard.
pub(super) struct Screen {
    terminal: Terminal,
    /// Whether dashboards are enabled.
    wanted: bool,
    open: Option<OpenDashboard>,
}

struct OpenDashboard {
    stage: String,
    dashboard: Dashboard,
    /// Events held back until the dashboard closes.
    held: Vec<Timed>,
    /// Whether the user already stopped the run in the dashboard: a second signal would kill it.
    stopped: bool,
}

impl Screen {
    /// A screen with dashboards if they are wanted and both outputs are terminals.
    pub(super) fn open(wanted: bool) -> anyhow::Result<Self> {
        let live = io::stderr().is_terminal();
        // The dashboard draws on stdout, other progress on stderr: it needs both.
        let possible = live && io::stdout().is_terminal();
        if wanted && !possible {
            say!("warning: `--dashboard` needs a terminal; without one, plain lines follow");
        }
        Ok(Self { terminal: Terminal::new(live), wanted: wanted && possible, open: None })
    }

    /// Shows an event.
    pub(super) fn handle(&mut self, timed: &Timed) {
        if let RunEvent::StageReported { stage, report: StageEvent::Metrics { .. } } = &timed.event
            && self.wanted
            && self.open.is_none()
        {
            self.draw_bars(ProgressDrawTarget::hidden());
            self.open = Some(OpenDashboard {
                stage: stage.clone(),
                dashboard: Dashboard::open(stage),
                held: Vec::new(),
                stopped: false,
            });
        }
        match &mut self.open {
            Some(open) if !open.ends(&timed.event) => open.handle(timed),
            Some(_) => {
                self.close();
                self.terminal.handle(timed);
            }
            None => self.terminal.handle(timed),
        }
    }

    /// Closes the dashboard and passes the held events to the terminal.
    pub(super) fn close(&mut self) -> &mut Terminal {
        if let Some(OpenDashboard { held, dashboard, .. }) = self.open.take() {
            // It owns the terminal until it is dropped, and may leave the cursor anywhere.
            drop(dashboard);
            say_text("\r");
            self.draw_bars(ProgressDrawTarget::stderr());
            held.iter().for_each(|timed| self.terminal.handle(timed));
        }
        &mut self.terminal
    }

    fn draw_bars(&self, target: ProgressDrawTarget) {
        if let Some(bars) = &self.terminal.bars {
            bars.set_draw_target(target);
        }
    }
}

impl OpenDashboard {
    /// Whether the event ends the shown stage, or the run.
    fn ends(&self, event: &RunEvent) -> bool {
        match event {
            RunEvent::StageFinished { stage, .. } | RunEvent::StageFailed { stage, .. } => {
                *stage == self.stage
            }
            RunEvent::Interrupted | RunEvent::RunFinished { .. } => true,
            _ => false,
        }
    }

    fn handle(&mut self, timed: &Timed) {
        match &timed.event {
            RunEvent::StageReported { stage, report: StageEvent::Progress { done, total, .. } }
                if *stage == self.stage =>
            {
                self.dashboard.progress(*done as usize, *total as usize);
            }
            RunEvent::StageReported { stage, report: StageEvent::Metrics { values, .. } }
                if *stage == self.stage =>
            {
                self.dashboard.measured(values);
            }
            RunEvent::StageReported {
                report: StageEvent::Progress { .. } | StageEvent::Metrics { .. },
                ..
            } => {}
            _ => self.held.push(timed.clone()),
        }
        if self.dashboard.wants_to_stop() && !self.stopped {
            self.stopped = true;
            // Like Ctrl-C: the run ends and can be resumed.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)
                .ok();
        }
    }
}
