//! Progress of a run: bars on a terminal, plain lines otherwise.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::{logs::tail, shared_args::duration};
use crate::{
    context::StageEvent,
    diagnostic::{counted, printable},
    schedule::{
        INTERRUPTION, RunOutcome,
        event::{RunEvent, Timed, skipped},
    },
};

/// Minimum interval between progress lines of a stage without a terminal.
const PAUSE: Duration = Duration::from_secs(10);
/// Maximum number of cached stages that are listed one by one.
const LISTED: usize = 20;
/// Notes of a stage that are shown; the report has all.
const MOST_NOTES: usize = 6;
/// Number of log lines shown of a failed stage.
const SHOWN: usize = 12;

/// A subscriber of a run's events.
pub(super) struct Terminal {
    /// Bars of running stages, on a terminal.
    pub(super) bars: Option<MultiProgress>,
    running: BTreeMap<String, StageLine>,
    cached: usize,
}

#[cfg(not(feature = "dashboard"))]
impl Terminal {
    /// Progress without dashboards.
    ///
    /// # Errors
    /// If dashboards are wanted.
    pub(super) fn open(dashboards: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !dashboards,
            "this program has no `--dashboard`; build it with `cargo build --release --features \
            dashboard`"
        );
        Ok(Self::new(std::io::IsTerminal::is_terminal(&std::io::stderr())))
    }

    /// Ready for the end of the run.
    pub(super) fn close(&mut self) -> &mut Self {
        self
    }
}

/// A running stage.
struct StageLine {
    bar: Option<ProgressBar>,
    log: String,
    began: Instant,
    said: Instant,
    started_at: Option<(String, u64)>,
    metrics: String,
    notes: usize,
}

impl Terminal {
    /// With bars, or with plain lines.
    pub(super) fn new(live: bool) -> Self {
        Self { bars: live.then(MultiProgress::new), running: BTreeMap::new(), cached: 0 }
    }

    /// Shows an event.
    pub(super) fn handle(&mut self, timed: &Timed) {
        match &timed.event {
            RunEvent::RunStarted { run, recipe, stages, .. } => {
                self.say(&format!("{recipe} {run}: {}", counted(stages.len(), "stage")));
            }
            RunEvent::StageCached { stage, made, .. } => {
                // Another run may have made it while an attempt of this one waited.
                self.remove(stage);
                self.cached += 1;
                // A resumed sweep finds hundreds.
                if self.cached <= LISTED {
                    let took =
                        made.seconds.map(|seconds| format!(", made in {}", duration(seconds)));
                    self.say_marked(
                        "36",
                        "=",
                        &format!("{stage}  cached{}", took.unwrap_or_default()),
                    );
                    made.notes.iter().for_each(|note| self.say(&format!("  {stage}: {note}")));
                    for warning in &made.warnings {
                        self.say_marked("33", "!", &format!("{stage}: {warning}"));
                    }
                }
            }
            RunEvent::StageStarted { stage, attempt, log, reason, .. } => {
                self.start(stage, *attempt, log, reason)
            }
            RunEvent::StageReported { stage, report } => self.report(stage, report),
            RunEvent::StagePlaced { stage, text } => self.say(&format!("  {stage}: {text}")),
            RunEvent::StageFinished { stage, seconds, .. } => self.finish(stage, *seconds),
            // One that differs fails next, with the same words.
            RunEvent::StageChecked { stage, difference: None, seconds, .. } => {
                let seconds = duration(*seconds);
                self.say_marked("32", "✓", &format!("{stage}  the same bytes again, {seconds}"));
            }
            RunEvent::StageFailed { stage, error, retry, seconds, .. } => {
                self.fail(stage, error, *retry, *seconds)
            }
            // After Ctrl-C, skipped stages are not worth a line.
            RunEvent::StageSkipped { because, .. } if because == INTERRUPTION => {}
            RunEvent::StageSkipped { stage, because, needs_it } => {
                self.say_marked(
                    "33",
                    "-",
                    &format!("{stage}  {}", skipped(because, needs_it.unwrap_or(true))),
                );
            }
            RunEvent::ArtifactDamaged { key, problem, moved_to } => {
                let short = key.get(..12).unwrap_or(key);
                let text = format!(
                    "the artifact {short} was damaged ({problem}); it is remade; the damaged one \
                    is kept in {moved_to}"
                );
                self.say_marked("31", "!", &text);
            }
            RunEvent::Interrupted => {
                self.say(
                    "interrupted: ending running stages, keeping finished ones; press \
                Ctrl-C again to kill them",
                );
            }
            RunEvent::StageChecked { .. }
            | RunEvent::RunLabelled { .. }
            | RunEvent::RunDetached { .. }
            | RunEvent::RunFinished { .. } => {}
        }
    }

    /// Prints the outcome of the run.
    pub(super) fn conclude(&mut self, outcome: &RunOutcome) {
        self.clear();
        let RunOutcome { executed, cached, failed, skipped, seconds, .. } = outcome;
        let (colour, mark) = match outcome {
            RunOutcome { ok: true, .. } => ("32", "✓"),
            RunOutcome { detached: 1.., failed: 0, .. } => ("36", ">"),
            _ => ("31", "✗"),
        };
        let counts =
            format!("{executed} executed, {cached} cached, {failed} failed, {skipped} skipped");
        let counts = match outcome.detached {
            0 => counts,
            jobs => format!("{counts}, {} left to Slurm", counted(jobs, "job")),
        };
        self.say_marked(
            colour,
            mark,
            &format!("{} {}: {counts} in {}", outcome.recipe, outcome.run, duration(*seconds)),
        );
        if outcome.interrupted && outcome.detached == 0 {
            self.say("run the same command to resume");
        }
    }

    /// Removes the bars.
    pub(super) fn clear(&mut self) {
        self.running
            .values()
            .filter_map(|line| line.bar.as_ref())
            .for_each(ProgressBar::finish_and_clear);
        self.running.clear();
    }

    fn say(&self, text: &str) {
        self.print(&printable(text));
    }

    /// Prints a line after a coloured mark, with control characters escaped.
    fn say_marked(&self, colour: &str, mark: &str, text: &str) {
        self.print(&format!("{} {}", self.paint(colour, mark), printable(text)));
    }

    fn print(&self, text: &str) {
        match &self.bars {
            // Without a terminal nobody reads the error.
            Some(bars) => drop(bars.println(text)),
            None => say!("{text}"),
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        // Any value but the empty one counts (https://no-color.org).
        let plain = self.bars.is_none()
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if plain { text.to_owned() } else { format!("\x1b[{colour}m{text}\x1b[0m") }
    }

    fn start(&mut self, stage: &str, attempt: u32, log: &str, reason: &str) {
        let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style =
                ProgressStyle::with_template("{spinner} {prefix}  {elapsed} {wide_msg:.dim}");
            bar.set_style(style.expect("the template is right"));
            bar.set_prefix(stage.to_owned());
            bar.set_message(printable(reason).into_owned());
            // It turns while a stage has nothing to report, to show that the run lives.
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        // A bar shows the same.
        if bar.is_none() {
            self.say(&format!("> {stage}  started{again}: {reason}"));
        }
        let now = Instant::now();
        let line = StageLine {
            bar,
            log: log.to_owned(),
            began: now,
            said: now,
            started_at: None,
            metrics: String::new(),
            notes: 0,
        };
        self.running.insert(stage.to_owned(), line);
    }

    fn report(&mut self, stage: &str, report: &StageEvent) {
        let Some(line) = self.running.get_mut(stage) else { return };
        let text = match report {
            StageEvent::Progress { done, total, unit } => line.progress(stage, *done, *total, unit),
            StageEvent::Metrics { values, .. } => {
                line.metrics = metrics(values);
                line.bar.as_ref().inspect(|bar| bar.set_message(line.metrics.clone()));
                None
            }
            StageEvent::Note { text } => {
                line.notes += 1;
                // A comparison of many arms would push what it found out of sight.
                (line.notes <= MOST_NOTES).then(|| format!("  {stage}: {text}"))
            }
            StageEvent::Warning { text } => {
                return self.say_marked("33", "!", &format!("{stage}: {text}"));
            }
        };
        if let Some(text) = text {
            self.say(&text);
        }
    }

    fn finish(&mut self, stage: &str, seconds: f64) {
        let notes = self.remove(stage).map_or(0, |line| line.notes);
        let more = notes.saturating_sub(MOST_NOTES);
        if more > 0 {
            self.say(&format!("  {stage}: {} in the report", counted(more, "more note")));
        }
        self.say_marked("32", "✓", &format!("{stage}  ran {}", duration(seconds)));
    }

    fn fail(&mut self, stage: &str, error: &str, retry: bool, seconds: f64) {
        let line = self.remove(stage);
        let again = if retry { ", retrying" } else { "" };
        let mut text = format!("{stage}  failed after {}{again}: {error}", duration(seconds));
        if let Some(line) = line {
            // The end of a log mostly says why; all of it may be gigabytes.
            let last = tail(Path::new(&line.log), SHOWN).unwrap_or_default();
            // The error of a program ends with its last lines.
            for last in last.iter().filter(|last| !error.contains(last.trim())) {
                text.push_str(&format!("\n    {last}"));
            }
            text.push_str(&format!("\n    (full log: {})", line.log));
        }
        self.say_marked("31", "✗", &text);
    }

    fn remove(&mut self, stage: &str) -> Option<StageLine> {
        let line = self.running.remove(stage);
        line.as_ref().and_then(|line| line.bar.as_ref()).inspect(|bar| bar.finish_and_clear());
        line
    }
}

impl StageLine {
    /// Moves the bar; without one, prints a line now and then.
    fn progress(&mut self, stage: &str, done: u64, total: u64, unit: &str) -> Option<String> {
        // A stage may count different units in turn.
        let first = self.started_at.as_ref().is_none_or(|(counted, _)| counted != unit);
        if first {
            self.started_at = Some((unit.to_owned(), done));
            self.began = Instant::now();
        }
        let start = self.started_at.as_ref().map_or(done, |(_, start)| *start);
        if let Some(bar) = &self.bar {
            if first {
                // Braces of a unit would be read as a key of the template.
                let template = "{spinner} {prefix}  {bar:24} {human_pos}/{human_len} UNIT  \
                {rate:.dim}  {eta} left  {wide_msg:.dim}";
                let style = ProgressStyle::with_template(
                    &template.replace("UNIT", &unit.replace(['{', '}'], "")),
                );
                let style = style.expect("the template is right").with_key("rate", write_rate);
                bar.set_style(style);
                bar.set_message(self.metrics.clone());
                bar.set_position(done);
                // The speed of an earlier unit, or of a resumed part, says nothing about this one.
                bar.reset_eta();
            }
            bar.set_length(total);
            bar.set_position(done);
            return None;
        }
        // Without a terminal every line stays, as in the log of a batch job.
        if self.said.elapsed() < PAUSE {
            return None;
        }
        self.said = Instant::now();
        // What a resumed stage found done took no time now.
        let rate = (done - start.min(done)) as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        let left = if rate > 0.0 {
            duration(total.saturating_sub(done) as f64 / rate)
        } else {
            "?".to_owned()
        };
        let metrics = &self.metrics;
        Some(format!(
            "  {stage}: {done}/{total} {unit}, {rate:.1} {unit}/s, {left} left  {metrics}"
        ))
    }
}

/// The loss first, then a few other metrics.
fn metrics(values: &[(String, f64)]) -> String {
    // All of them would not fit beside a bar; the report has every one.
    let loss = values.iter().filter(|(name, _)| name == "loss");
    let others = values.iter().filter(|(name, _)| name != "loss").take(3);
    loss.chain(others)
        .map(|(name, value)| match value.fract() {
            // Counts, such as tokens, have no decimals.
            0.0 => format!("{name} {value:.0}"),
            _ => format!("{name} {value:.4}"),
        })
        .collect::<Vec<_>>()
        .join("  ")
}

/// Speed of a bar with one decimal.
fn write_rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    let _ = write!(text, "{:.1}/s", state.per_sec());
}
