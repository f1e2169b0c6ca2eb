//! What a run looks like on a terminal, and in plain lines where there is none.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{common::duration, logs::tail, output::say_text};
use crate::{
    diagnostic::printable,
    schedule::{
        INTERRUPTION, Outcome,
        event::{Event, Timed},
    },
    stage::Report,
};

/// Without a terminal, a stage's progress is said at most so often.
const PAUSE: Duration = Duration::from_secs(10);
/// So many cached stages are listed one by one.
const LISTED: usize = 20;
/// So many lines of a failed stage's log are shown.
const SHOWN: usize = 12;

/// A subscriber of a run's events.
pub(super) struct Terminal {
    /// Bars of running stages, where there is a terminal.
    bars: Option<MultiProgress>,
    running: BTreeMap<String, Line>,
    cached: usize,
}

/// A running stage.
struct Line {
    bar: Option<ProgressBar>,
    log: String,
    began: Instant,
    said: Instant,
    started_at: Option<(String, u64)>,
    metrics: String,
}

impl Terminal {
    /// With bars, or in plain lines.
    pub(super) fn new(live: bool) -> Self {
        Self { bars: live.then(MultiProgress::new), running: BTreeMap::new(), cached: 0 }
    }

    /// Shows an event.
    pub(super) fn heed(&mut self, timed: &Timed) {
        match &timed.event {
            Event::RunStarted { run, recipe, stages, .. } => {
                self.say(&format!("{recipe} {run}: {} stages", stages.len()));
            }
            Event::StageCached { stage, .. } => {
                self.remove(stage);
                self.cached += 1;
                if self.cached <= LISTED {
                    self.say_marked("36", "=", &format!("{stage}  cached"));
                }
            }
            Event::StageStarted { stage, attempt, log, reason, .. } => self.start(stage, *attempt, log, reason),
            Event::StageReported { stage, report } => self.report(stage, report),
            Event::StageFinished { stage, seconds, .. } => {
                self.remove(stage);
                self.say_marked("32", "✓", &format!("{stage}  ran {}", duration(*seconds)));
            }
            Event::StageFailed { stage, error, retry, seconds, .. } => self.fail(stage, error, *retry, *seconds),
            // After Ctrl-C the rest of the plan is no news.
            Event::StageSkipped { because, .. } if because == INTERRUPTION => {}
            Event::StageSkipped { stage, because } => {
                self.say_marked("33", "-", &format!("{stage}  skipped because of {because}"));
            }
            Event::ArtifactDamaged { key, problem, moved_to } => {
                let short = key.get(..12).unwrap_or(key);
                let text = format!(
                    "the artifact {short} was damaged ({problem}); it is made again, and lies in {moved_to} now"
                );
                self.say_marked("31", "!", &text);
            }
            Event::Interrupted => {
                self.say(
                    "interrupted: the running stages are ended, finished ones are kept; once more ends them at once",
                );
            }
            Event::RunFinished { .. } => {}
        }
    }

    /// Says how the run went as a whole.
    pub(super) fn conclude(&mut self, outcome: &Outcome) {
        self.clear();
        let Outcome { executed, cached, failed, skipped, seconds, .. } = outcome;
        let (colour, mark) = if outcome.ok { ("32", "✓") } else { ("31", "✗") };
        let counts = format!("{executed} executed, {cached} cached, {failed} failed, {skipped} skipped");
        self.say_marked(
            colour,
            mark,
            &format!("{} {}: {counts} in {}", outcome.recipe, outcome.run, duration(*seconds)),
        );
        if outcome.interrupted {
            self.say("the same command goes on from here");
        }
    }

    /// Makes room for something else on the screen.
    pub(super) fn hide(&self) {
        self.bars.as_ref().inspect(|bars| bars.set_draw_target(ProgressDrawTarget::hidden()));
    }

    /// Comes back after [`Terminal::hide`].
    pub(super) fn show(&self) {
        // Whatever stood there before may have left the cursor anywhere in its line.
        say_text("\r");
        self.bars.as_ref().inspect(|bars| bars.set_draw_target(ProgressDrawTarget::stderr()));
    }

    /// Takes the bars away.
    pub(super) fn clear(&mut self) {
        self.running.values().filter_map(|line| line.bar.as_ref()).for_each(ProgressBar::finish_and_clear);
        self.running.clear();
    }

    fn say(&self, text: &str) {
        self.print(&printable(text));
    }

    /// Says something behind a mark in colour; of the text nothing is left that a terminal would obey.
    fn say_marked(&self, colour: &str, mark: &str, text: &str) {
        self.print(&format!("{} {}", self.paint(colour, mark), printable(text)));
    }

    fn print(&self, text: &str) {
        match &self.bars {
            // Where the terminal is gone there is nobody to tell.
            Some(bars) => drop(bars.println(text)),
            None => say!("{text}"),
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        let plain = self.bars.is_none() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if plain { text.to_owned() } else { format!("\x1b[{colour}m{text}\x1b[0m") }
    }

    fn start(&mut self, stage: &str, attempt: u32, log: &str, reason: &str) {
        let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed} {wide_msg:.dim}");
            bar.set_style(style.expect("the template is right"));
            bar.set_prefix(stage.to_owned());
            bar.set_message(printable(reason).into_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.say(&format!("> {stage}  started{again}: {reason}"));
        }
        let now = Instant::now();
        let line = Line { bar, log: log.to_owned(), began: now, said: now, started_at: None, metrics: String::new() };
        self.running.insert(stage.to_owned(), line);
    }

    fn report(&mut self, stage: &str, report: &Report) {
        let Some(line) = self.running.get_mut(stage) else { return };
        let text = match report {
            Report::Progress { done, total, unit } => line.progress(stage, *done, *total, unit),
            Report::Metrics { values, .. } => {
                line.metrics = metrics(values);
                line.bar.as_ref().inspect(|bar| bar.set_message(line.metrics.clone()));
                None
            }
            Report::Note { text } => Some(format!("  {stage}: {text}")),
            Report::Warning { text } => return self.say_marked("33", "!", &format!("{stage}: {text}")),
        };
        if let Some(text) = text {
            self.say(&text);
        }
    }

    fn fail(&mut self, stage: &str, error: &str, retry: bool, seconds: f64) {
        let line = self.remove(stage);
        let again = if retry { ", and is tried again" } else { "" };
        let mut text = format!("{stage}  failed after {}{again}: {error}", duration(seconds));
        if let Some(line) = line {
            for last in tail(Path::new(&line.log), SHOWN).unwrap_or_default() {
                text.push_str(&format!("\n    {last}"));
            }
            text.push_str(&format!("\n    (all of it: {})", line.log));
        }
        self.say_marked("31", "✗", &text);
    }

    fn remove(&mut self, stage: &str) -> Option<Line> {
        let line = self.running.remove(stage);
        line.as_ref().and_then(|line| line.bar.as_ref()).inspect(|bar| bar.finish_and_clear());
        line
    }
}

impl Line {
    /// Moves the bar; without one, says a line now and then.
    fn progress(&mut self, stage: &str, done: u64, total: u64, unit: &str) -> Option<String> {
        // A stage may count one thing after the other.
        let first = self.started_at.as_ref().is_none_or(|(counted, _)| counted != unit);
        if first {
            self.started_at = Some((unit.to_owned(), done));
            self.began = Instant::now();
        }
        let start = self.started_at.as_ref().map_or(done, |(_, start)| *start);
        if let Some(bar) = &self.bar {
            if first {
                let template = "{spinner} {prefix}  {bar:24} {human_pos}/{human_len} UNIT  {per_sec:.dim}  {eta} left  {wide_msg:.dim}";
                let style = ProgressStyle::with_template(&template.replace("UNIT", &unit.replace(['{', '}'], "")));
                bar.set_style(style.expect("the template is right"));
                bar.set_message(self.metrics.clone());
                bar.set_position(done);
                bar.reset_eta();
            }
            bar.set_length(total);
            bar.set_position(done);
            return None;
        }
        if self.said.elapsed() < PAUSE {
            return None;
        }
        self.said = Instant::now();
        let rate = (done - start.min(done)) as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        let left = if rate > 0.0 { duration(total.saturating_sub(done) as f64 / rate) } else { "?".to_owned() };
        let metrics = &self.metrics;
        Some(format!("  {stage}: {done}/{total} {unit}, {rate:.1} {unit}/s, {left} left  {metrics}"))
    }
}

/// The loss first, then a few others.
fn metrics(values: &[(String, f64)]) -> String {
    let loss = values.iter().filter(|(name, _)| name == "loss");
    let others = values.iter().filter(|(name, _)| name != "loss").take(3);
    loss.chain(others).map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
}
