//! One attempt, as seen by the child process that makes it: what it is told, what it does, what it says.

use std::{
    fs::File,
    io::{Seek, Write},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inputs::Watch;
use crate::{
    digest::Digest,
    recipe::schema::{Chosen, Kind},
    seed::Seed,
    stage::{
        Context, InputPath, Report, guard,
        registry::{self, Registered},
    },
    store::{Draft, Lookup, Store},
};

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The process that waits for it; without it there is nothing to do.
    pub parent: u32,
    /// The store's folder.
    pub store: PathBuf,
    /// The kind's name.
    pub kind: String,
    /// The key.
    pub key: Digest,
    /// The struct whose hash is the key.
    pub record: Value,
    /// The kind's parameters.
    pub parameters: Value,
    /// What it reads.
    pub inputs: Vec<InputPath>,
    /// The seed, or 0.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Whether the artifact is made although it is there; it stays until the new one is in its place.
    #[serde(default)]
    pub forced: bool,
}

/// What a child says, a JSON object a line; the last one is `Finished` or `Failed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// Another run makes the same artifact.
    Waiting {
        /// Who.
        holder: String,
    },
    /// The work began.
    Began,
    /// An artifact was there but damaged.
    Damaged {
        /// What did not match.
        problem: String,
        /// Where it lies now.
        moved_to: PathBuf,
    },
    /// The stage speaks.
    Said {
        /// What it says.
        report: Report,
    },
    /// The artifact is in place.
    Finished {
        /// Whether another run had made it.
        cached: bool,
        /// What was hashed, for the store's memo.
        learnt: Vec<String>,
    },
    /// There is no artifact.
    Failed {
        /// Why, in words.
        error: String,
    },
}

/// Progress is said at most so often.
const PAUSE: Duration = Duration::from_millis(100);

type Voice = Arc<Mutex<Box<dyn Write + Send>>>;

/// Makes an artifact as a job says, and tells `output` how it goes. Returns whether it is in place.
///
/// # Errors
/// Where it could not even begin to listen for the end of its parent.
pub fn carry_out(job: &Job, output: Box<dyn Write + Send>) -> std::io::Result<bool> {
    end_with_parent(job.parent)?;
    let voice: Voice = Arc::new(Mutex::new(output));
    let result = make(job, &voice);
    let message = match &result {
        Ok(message) => message.clone(),
        Err(error) => Message::Failed { error: error.clone() },
    };
    say(&voice, &message);
    Ok(result.is_ok())
}

fn make(job: &Job, voice: &Voice) -> Result<Message, String> {
    let registered = registry::find(&job.kind).ok_or_else(|| format!("there is no kind `{}`", job.kind))?;
    let words = |error: crate::store::StoreError| error.to_string();
    let store = Store::open(&job.store).map_err(words)?;
    let waiting = |holder: &str| say(voice, &Message::Waiting { holder: holder.to_owned() });
    let lock = store.lock(&job.key, waiting).map_err(words)?;
    let found = if job.forced { Lookup::Absent } else { store.find_locked(&lock).map_err(words)? };
    match found {
        Lookup::Found(_) => return Ok(Message::Finished { cached: true, learnt: store.learnt() }),
        Lookup::Damaged { problem, moved_to } => say(voice, &Message::Damaged { problem, moved_to }),
        Lookup::Absent => {}
    }
    let watch = Watch::begin(&store, job, registered.kind)?;
    let draft = store.draft(lock).map_err(words)?;
    if watch.admit(&draft).map_err(words)? {
        let text = "what an earlier attempt left was made from inputs that were written since, and is not gone on from";
        say(voice, &Message::Said { report: Report::Warning { text: text.to_owned() } });
    }
    say(voice, &Message::Began);
    let context = Context {
        parameters: job.parameters.clone(),
        inputs: job.inputs.clone(),
        output: draft.files(),
        checkpoint: draft.checkpoint(),
        seed: Seed::root(job.seed),
        device: job.device.clone(),
        report: listener(voice),
    };
    let done = carry_out_kind(registered, &context);
    if let Err(changed) = watch.end(&store) {
        // Whatever was left on the way may be of contents that no key says.
        draft.forget_checkpoint().map_err(words)?;
        return Err(done.err().map_or(changed.clone(), |error| format!("{error}; {changed}")));
    }
    done?;
    check_left(job, registered.kind, &draft)?;
    store.commit(draft, &job.record).map_err(words)?;
    Ok(Message::Finished { cached: false, learnt: store.learnt() })
}

/// Each type that the stage provides must have a file, or whoever reads it would read nothing.
fn check_left(job: &Job, kind: &Kind, draft: &Draft) -> Result<(), String> {
    let parameters = serde_json::from_value(job.parameters.clone()).map_err(|error| error.to_string())?;
    let inputs = job.inputs.iter().map(|input| (input.name.as_str(), 1)).collect();
    let chosen = Chosen { kind, parameters: &parameters, inputs };
    for provided in kind.provides.iter().filter(|provided| chosen.lack(provided).is_none()) {
        if !draft.holds(provided.files).map_err(|error| error.to_string())? {
            let (kind, name, files) = (kind.name, provided.name, provided.files.join(", "));
            return Err(format!("`{kind}` left nothing that is `{name}`: no file is named {files}"));
        }
    }
    Ok(())
}

/// Carries out the kind; a panic is an error too.
fn carry_out_kind(registered: &Registered, context: &Context) -> Result<(), String> {
    let panicked = remember_panics();
    match panic::catch_unwind(AssertUnwindSafe(|| (registered.run)(context))) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => {
            let words = panicked.lock().map_or_else(|_| None, |mut words| words.take());
            Err(format!("a defect in `{}`: {}", registered.kind.name, words.unwrap_or_default()))
        }
    }
}

fn say(voice: &Voice, message: &Message) {
    let line = serde_json::to_string(message).expect("plain data can be written") + "\n";
    if let Ok(mut output) = voice.lock() {
        // Nobody listens any more where this fails, and then the end of the parent ends this process too.
        let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    }
}

fn listener(voice: &Voice) -> Arc<dyn Fn(Report) + Send + Sync> {
    let voice = voice.clone();
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    Arc::new(move |report| {
        if let Report::Progress { done, total, .. } = &report
            && let Ok(mut last) = last.lock()
        {
            if done < total && last.is_some_and(|last| last.elapsed() < PAUSE) {
                return;
            }
            *last = Some(Instant::now());
        }
        match &report {
            Report::Progress { .. } => {}
            Report::Metrics { step, values } => tracing::debug!(step, ?values),
            Report::Note { text } => tracing::info!("{text}"),
            Report::Warning { text } => tracing::warn!("{text}"),
        }
        say(&voice, &Message::Said { report });
    })
}

/// Keeps what the last panic said, with its place, and logs it.
fn remember_panics() -> Arc<Mutex<Option<String>>> {
    let remembered = Arc::new(Mutex::new(None));
    let words = remembered.clone();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        let text = format!("{}{place}", text.unwrap_or("a panic without words"));
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!("panic: {text}\n{backtrace}");
        if let Ok(mut words) = words.lock() {
            *words = Some(text);
        }
    }));
    remembered
}

/// Ends this process and all that it started when its parent ends, however that comes about.
///
/// The kernel's signal reaches this process only; so it is one that can be caught, and the whole group is killed from here.
/// It is not the signal with which a parent that lives asks for an end, since a dying parent may still look alive.
fn end_with_parent(parent: u32) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP])?;
    guard::call_this_process("apeft");
    std::thread::Builder::new().spawn(move || {
        for _ in &mut signals {
            let _ = rustix::process::kill_current_process_group(Signal::KILL);
        }
    })?;
    rustix::process::set_parent_process_death_signal(Some(Signal::HUP))?;
    if rustix::process::getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(std::io::Error::other("the process that wanted this attempt is gone"));
    }
    Ok(())
}

impl Job {
    /// The job as a file without a name, for the child's standard input: nothing is left of it, whoever is killed.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn write(&self) -> std::io::Result<File> {
        let mut file = tempfile::tempfile().map_err(|error| {
            let folder = std::env::temp_dir();
            let problem = format!("no file can be made in {} (TMPDIR): {error}", folder.display());
            std::io::Error::new(error.kind(), problem)
        })?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        Ok(file)
    }

    /// Reads the job.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn read(from: impl std::io::Read) -> std::io::Result<Self> {
        Ok(serde_json::from_reader(from)?)
    }
}
