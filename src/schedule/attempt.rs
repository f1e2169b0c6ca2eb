//! The child process of one attempt: makes the artifact of its job.

use std::{
    collections::BTreeMap,
    io::Write,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::Value;
use signal_hook::{
    consts::{SIGHUP, SIGTERM, SIGUSR1},
    iterator::Signals,
};

use super::{
    card, elsewhere,
    inputs::Watch,
    job::{AttemptJob, WorkerMessage},
    progress_log::ProgressLog,
};
use crate::{
    context::{Context, EventSink, StageEvent, backend, ending, guard},
    diagnostic::limit,
    preflight::Wanted,
    recipe::schema::{Chosen, Kind},
    seed::Seed,
    stage::registry::{self, Registered},
    store::{Artifact, Draft, Lookup, Store, StoreError},
};

/// Minimum interval between progress messages.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time between the signal of Slurm that ends a program of a job and the one that ends this
/// process.
const SIGNALLING: Duration = Duration::from_secs(5);

type MessageSink = Arc<Mutex<Box<dyn Write + Send>>>;

/// How an attempt is carried out where it runs.
pub struct Conduct {
    /// Receives messages.
    pub output: Box<dyn Write + Send>,
    /// Longest time for a checkpoint after SIGTERM or SIGUSR1.
    pub patience: Duration,
    /// Called when such a signal ends the attempt; gives its last message, if it has one.
    pub at_signal: Box<dyn Fn() -> Option<WorkerMessage> + Send>,
}

/// Makes the artifact of a job. Returns whether the artifact is in the store.
///
/// # Errors
/// If signals or the end of the parent cannot be noticed.
pub fn carry_out(job: &AttemptJob, conduct: Conduct) -> std::io::Result<bool> {
    guard::call_this_process("apeft");
    let sink: MessageSink = Arc::new(Mutex::new(conduct.output));
    let watched = end_at_signal(sink.clone(), conduct.patience, conduct.at_signal);
    watched.and_then(|()| end_with_parent(job.parent)).map_err(|error| {
        let problem = format!("signals cannot be watched: {error}{}", limit(&error));
        std::io::Error::new(error.kind(), problem)
    })?;
    let began = Instant::now();
    let result = same_backend(job).and_then(|()| make(job, &sink));
    let is_done = result.is_ok();
    if !is_done && is_ending(job) {
        // A stage that stopped for a signal has not failed; the signal's thread ends the process.
        loop {
            thread::park();
        }
    }
    say(&sink, &WorkerMessage::Took { seconds: began.elapsed().as_secs_f64() });
    say(&sink, &result.unwrap_or_else(|error| WorkerMessage::Failed { error }));
    Ok(is_done)
}

/// Whether a signal ends this process. Slurm sends it to one process of a job after the other: the
/// end of a stage's program may be noticed before it arrives here, and is no failure.
fn is_ending(job: &AttemptJob) -> bool {
    let (is_job, began) = (job.parent == 0, Instant::now());
    while is_job && !ending::is_requested() && began.elapsed() < SIGNALLING {
        thread::sleep(Duration::from_millis(10));
    }
    ending::is_requested()
}

/// A key of a CPU names what its numbers depend on; on another kind of node they would be others.
fn same_backend(job: &AttemptJob) -> Result<(), String> {
    let Some(named) = job.record.get("backend").and_then(Value::as_str) else { return Ok(()) };
    let there = backend(job.device.first());
    if named.split('*').next() == Some(&there) {
        return Ok(());
    }
    Err(format!(
        "this machine computes as `{there}`, and the run was planned for `{named}`: submit from \
        and to one kind of node, with `constraint` or `partition` in [executor]"
    ))
}

/// Lets a stage write a checkpoint and ends this process when a signal asks for it.
fn end_at_signal(
    sink: MessageSink,
    patience: Duration,
    at_signal: Box<dyn Fn() -> Option<WorkerMessage> + Send>,
) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGUSR1])?;
    let end = move || {
        let Some(signal) = signals.forever().next() else { return };
        ending::request();
        let began = Instant::now();
        while ending::is_awaited() && began.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        at_signal().inspect(|message| say(&sink, message));
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    };
    thread::Builder::new().spawn(end).map(drop)
}

fn make(job: &AttemptJob, sink: &MessageSink) -> Result<WorkerMessage, String> {
    let registered =
        registry::find(&job.kind).ok_or_else(|| format!("unknown kind `{}`", job.kind))?;
    let store = Store::open(&job.store).map_err(words)?;
    let lock = store
        .lock(&job.key, |holder| say(sink, &WorkerMessage::Waiting { holder: holder.to_owned() }))
        .map_err(words)?;
    // Looked up under the lock: another run may have made it while this one waited.
    let found =
        if job.forced { Lookup::Absent } else { store.find_locked(&lock).map_err(words)? };
    let original = match found {
        Lookup::Found(original) if job.check => Some(original),
        Lookup::Found(_) => return Ok(finished(&store, true)),
        Lookup::Damaged { problem, moved_to } => {
            say(sink, &WorkerMessage::Damaged { problem, moved_to });
            None
        }
        Lookup::Absent => None,
    };
    if let Some(address) = &job.remote {
        let text = elsewhere::pull(address, &store, &lock)?;
        say(sink, &WorkerMessage::Reported { report: StageEvent::Note { text } });
        return Ok(finished(&store, true));
    }
    // Inputs are compared before the draft is opened: its checkpoints must be theirs.
    let watch = Watch::begin(&store, job, registered.kind)?;
    let draft = store.draft(lock).map_err(words)?;
    if watch.admit(&draft).map_err(words)? {
        let text = "checkpoints of an earlier attempt are discarded: its inputs changed since";
        let report = StageEvent::Warning { text: text.to_owned() };
        say(sink, &WorkerMessage::Reported { report });
    }
    if original.is_some() {
        // From its beginning: a checkpoint would be compared with itself.
        draft.forget_checkpoint().map_err(words)?;
    }
    say(sink, &WorkerMessage::Began);
    let context = context(job, &draft, sink);
    // A program does its own work, so that thousands of short ones need no threads here.
    if registered.kind.name != "command" {
        store.ready_threads().map_err(words)?;
    }
    let done = carry_out_kind(registered, &context);
    if let Err(changed) = watch.end(&store) {
        // Checkpoints may stem from contents that no key names.
        draft.forget_checkpoint().map_err(words)?;
        return Err(match done {
            Ok(()) => changed,
            Err(error) => format!("{error}; {changed}"),
        });
    }
    done?;
    check_left(job, registered.kind, &draft)?;
    card::write(&draft.files(), &job.record)
        .map_err(|error| format!("cannot write the model card: {error}"))?;
    match original {
        Some(original) => compare(&store, &original, &draft, sink),
        None => {
            store.commit(draft, &job.record).map_err(words)?;
            Ok(finished(&store, false))
        }
    }
}

/// Compares what was made again with its artifact, which stays.
fn compare(
    store: &Store,
    original: &Artifact,
    draft: &Draft,
    sink: &MessageSink,
) -> Result<WorkerMessage, String> {
    draft.forget_checkpoint().map_err(words)?;
    let difference = original.difference(&draft.files()).map_err(words)?;
    say(sink, &WorkerMessage::Checked { difference });
    Ok(finished(store, true))
}

fn context(job: &AttemptJob, draft: &Draft, sink: &MessageSink) -> Context {
    Context {
        parameters: job.parameters.clone(),
        inputs: job.inputs.clone(),
        output: draft.files(),
        checkpoint: draft.checkpoint(),
        store: job.store.clone(),
        seed: Seed::root(job.seed),
        device: job.device,
        report: event_sink(sink),
    }
}

/// The last message; `cached` if this attempt did not make the artifact.
fn finished(store: &Store, cached: bool) -> WorkerMessage {
    WorkerMessage::Finished { cached, learnt: store.learnt() }
}

/// Each provided type must have a file, or its consumers would read nothing.
fn check_left(job: &AttemptJob, kind: &'static Kind, draft: &Draft) -> Result<(), String> {
    let parameters = BTreeMap::deserialize(&job.parameters).map_err(|error| error.to_string())?;
    // The number of inputs with a name does not change what is provided.
    let inputs = job.inputs.iter().map(|input| (input.name.as_str(), 1)).collect();
    let chosen = Chosen { kind, values: &parameters, inputs };
    for provided in kind.provides.iter().filter(|provided| chosen.lack(provided).is_none()) {
        if !draft.holds(provided.files).map_err(|error| error.to_string())? {
            let (kind, name, files) = (kind.name, provided.name, provided.files.join(", "));
            return Err(format!("`{kind}` wrote no `{name}`: no file matches {files}"));
        }
    }
    check_rows(kind, &parameters, &draft.files())
}

/// Reads what a user's program wrote as the stages after it will.
fn check_rows(
    kind: &'static Kind,
    parameters: &BTreeMap<String, Value>,
    files: &Path,
) -> Result<(), String> {
    let provided = parameters.get("provides").and_then(Value::as_str);
    let provided = kind.provides.iter().find(|known| Some(known.name) == provided);
    let Some(provided) = provided else { return Ok(()) };
    let checked = Wanted::of(kind.name, provided.name, parameters).check(files);
    checked.map_err(|problem| {
        // The folder is a draft, whose path tells nobody anything.
        let problem = problem.replace(&format!("{}/", files.display()), "");
        format!("its {} cannot be read: {problem}", provided.name)
    })
}

/// Runs the kind; a panic becomes an error.
fn carry_out_kind(registered: &Registered, context: &Context) -> Result<(), String> {
    let panicked = remember_panics();
    match panic::catch_unwind(AssertUnwindSafe(|| (registered.run)(context))) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => {
            let words = panicked.lock().map_or_else(|_| None, |mut words| words.take());
            Err(format!(
                "internal error in stage `{}` (please report): {}",
                registered.kind.name,
                words.unwrap_or_default()
            ))
        }
    }
}

fn words(error: StoreError) -> String {
    error.to_string()
}

fn say(sink: &MessageSink, message: &WorkerMessage) {
    let line = serde_json::to_string(message).expect("plain data can be written") + "\n";
    if let Ok(mut output) = sink.lock() {
        // Fails only if the parent is gone, which ends this process too.
        let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    }
}

fn event_sink(sink: &MessageSink) -> EventSink {
    let sink = sink.clone();
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    let log = Mutex::new(ProgressLog::new());
    Arc::new(move |report| {
        if let Some(line) = log.lock().ok().and_then(|mut log| log.line(&report)) {
            tracing::info!("{line}");
        }
        if let StageEvent::Progress { done, total, .. } = &report
            && let Ok(mut last) = last.lock()
        {
            // The last one always passes, so that a bar ends full.
            if done < total && last.is_some_and(|last| last.elapsed() < PAUSE) {
                return;
            }
            *last = Some(Instant::now());
        }
        // The log has what the terminal shows, for whoever reads it alone.
        match &report {
            StageEvent::Progress { .. } => {}
            StageEvent::Metrics { step, values } => tracing::debug!(step, ?values),
            StageEvent::Note { text } => tracing::info!("{text}"),
            StageEvent::Warning { text } => tracing::warn!("{text}"),
        }
        say(&sink, &WorkerMessage::Reported { report });
    })
}

/// Stores and logs the message and location of the last panic.
fn remember_panics() -> Arc<Mutex<Option<String>>> {
    let remembered = Arc::new(Mutex::new(None));
    let words = remembered.clone();
    // `catch_unwind` knows the message, but only the hook knows the place.
    panic::set_hook(Box::new(move |info| {
        let place = info
            .location()
            .map(|place| format!(" ({}:{})", place.file(), place.line()))
            .unwrap_or_default();
        let text = format!("{}{place}", info.payload_as_str().unwrap_or("a panic without words"));
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!("panic: {text}\n{backtrace}");
        if let Ok(mut words) = words.lock() {
            *words = Some(text);
        }
    }));
    remembered
}

/// Ends this process and its whole group when its parent ends, for whatever reason; a job of a
/// cluster has none.
///
/// The kernel signals only this process, so the signal must be catchable; the group is killed from
/// its handler. It differs from the signal by which a living parent requests the end, since a dying
/// parent may still look alive.
fn end_with_parent(parent: u32) -> std::io::Result<()> {
    if parent == 0 {
        return Ok(());
    }
    let mut signals = Signals::new([SIGHUP])?;
    thread::Builder::new().spawn(move || {
        for _ in &mut signals {
            let _ = rustix::process::kill_current_process_group(Signal::KILL);
        }
    })?;
    rustix::process::set_parent_process_death_signal(Some(Signal::HUP))?;
    // A parent that ended before the signal was requested sends none.
    if rustix::process::getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(std::io::Error::other("the parent process has ended"));
    }
    Ok(())
}
