//! The run itself: stages become due, are looked up, wait for their slots, are attempted, and end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use petgraph::graph::NodeIndex;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{
    attempt::{Job, Message},
    child::{self, GRACE, Note, Start, Urgency},
    event::{Event, StageOutline, Timed},
    execute::{Ending, Options, Outcome, StageOutcome, dependants},
    journal::{self, Journal},
    slots::{Grant, Slots},
    survey::{Examined, Examiner, needs},
};
use crate::{
    digest::Digest,
    plan::{Fingerprint, Plan, PlannedStage, Source},
    stage::{InputPath, Report},
    store::{Artifact, Lookup, Store, StoreError},
};

/// The memo is saved at least so often.
const SAVING: Duration = Duration::from_secs(5);

pub(super) struct Run<'a> {
    plan: &'a Plan,
    store: &'a Store,
    options: &'a Options,
    listener: &'a mut dyn FnMut(&Timed),
    journal: Journal,
    examiner: Examiner<'a>,
    slots: Slots,
    /// Where each stage stands in the plan's order.
    positions: Vec<usize>,
    /// How many needs of each stage have no artifact yet; only of stages that are wanted.
    missing: BTreeMap<NodeIndex, usize>,
    /// Positions of stages that have all that they need and were not looked up yet.
    due: BTreeSet<usize>,
    /// By position: stages that wait for their slots.
    ready: BTreeMap<usize, Ready>,
    running: BTreeMap<NodeIndex, Running>,
    results: BTreeMap<NodeIndex, StageOutcome>,
    forced: BTreeSet<NodeIndex>,
    /// The first failed stage, after which nothing new is started.
    stopped_by: Option<String>,
    urgency: Urgency,
    interrupted_at: Option<Instant>,
    sender: Sender<Note>,
    notes: Receiver<Note>,
}

struct Ready {
    fingerprint: Box<Fingerprint>,
    key: Digest,
    attempt: u32,
    /// Why it runs, where that is known already.
    reason: Option<String>,
}

struct Running {
    ready: Ready,
    group: Option<Pid>,
    grant: Grant,
    began: Instant,
    deadline: Option<Instant>,
    timed_out: bool,
    last_word: Option<Message>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        store: &'a Store,
        options: &'a Options,
        listener: &'a mut dyn FnMut(&Timed),
    ) -> Self {
        let (sender, notes) = mpsc::channel();
        let mut positions = vec![0; plan.graph.node_count()];
        plan.order.iter().enumerate().for_each(|(position, node)| positions[node.index()] = position);
        Self {
            plan,
            store,
            options,
            listener,
            journal: Journal::create(&options.experiments, &plan.recipe, &plan.resolved),
            examiner: Examiner::new(plan, store),
            slots: Slots::new(options.machine.clone(), options.jobs.max(1)),
            positions,
            missing: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: BTreeMap::new(),
            running: BTreeMap::new(),
            results: BTreeMap::new(),
            forced: BTreeSet::new(),
            stopped_by: None,
            urgency: Arc::new(AtomicU8::new(0)),
            interrupted_at: None,
            sender,
            notes,
        }
    }

    /// Carries out the wanted stages.
    pub(super) fn carry_out(
        mut self,
        wanted: &BTreeSet<NodeIndex>,
        forced: &BTreeSet<NodeIndex>,
    ) -> Result<Outcome, StoreError> {
        let began = Instant::now();
        self.announce();
        self.forced.clone_from(forced);
        self.enlist(wanted)?;
        self.look_up_due()?;
        self.store.save_memo();
        let signals = self.listen_for_signals();
        let looped = self.until_nothing_runs();
        if let Some(signals) = signals {
            signals.close();
        }
        // A store that cannot be used any more ends the run; its children go first.
        if looped.is_err() {
            self.urgency.store(2, Ordering::Relaxed);
            self.signal_all(Signal::KILL);
        }
        self.store.save_memo();
        looped?;
        Ok(self.conclude(wanted, began.elapsed().as_secs_f64()))
    }

    fn announce(&mut self) {
        let outline = |node: &NodeIndex| StageOutline {
            name: self.plan.graph[*node].name.clone(),
            kind: self.plan.graph[*node].kind.name.to_owned(),
            needs: needs(self.plan, *node).map(|need| self.plan.graph[need].name.clone()).collect(),
        };
        let event = Event::RunStarted {
            run: self.journal.run.clone(),
            recipe: self.plan.recipe.clone(),
            command: self.options.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stages: self.plan.order.iter().map(outline).collect(),
        };
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        let timed = Timed { at: journal::now().as_millis() as u64, event };
        self.journal.record(&timed);
        (self.listener)(&timed);
    }

    fn name(&self, node: NodeIndex) -> String {
        self.plan.graph[node].name.clone()
    }

    /// Counts what each wanted stage needs; what is needed but not wanted is only looked up.
    fn enlist(&mut self, wanted: &BTreeSet<NodeIndex>) -> Result<(), StoreError> {
        for (position, node) in self.plan.order.iter().copied().enumerate() {
            if wanted.contains(&node) {
                let missing = needs(self.plan, node).filter(|need| wanted.contains(need)).count();
                self.missing.insert(node, missing);
                if missing == 0 {
                    self.due.insert(position);
                }
            } else if !self.options.only.is_empty()
                && let Examined::Cached(artifact) = self.examiner.examine(node)?
            {
                self.examiner.artifacts.insert(node, artifact);
            }
        }
        Ok(())
    }

    fn listen_for_signals(&self) -> Option<signal_hook::iterator::Handle> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
            .inspect_err(|error| tracing::warn!("Ctrl-C ends children at once: {error}"))
            .ok()?;
        let handle = signals.handle();
        let sender = self.sender.clone();
        std::thread::spawn(move || signals.forever().all(|_| sender.send(Note::Signal).is_ok()));
        Some(handle)
    }

    fn until_nothing_runs(&mut self) -> Result<(), StoreError> {
        let mut saved = Instant::now();
        loop {
            self.look_up_due()?;
            self.start_ready()?;
            if self.running.is_empty() {
                if self.due.is_empty() {
                    return Ok(());
                }
                continue;
            }
            match self.notes.recv_timeout(Duration::from_millis(100)) {
                Ok(note) => self.heed(note)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("this run holds a sender itself"),
            }
            self.end_overdue();
            if saved.elapsed() > SAVING {
                self.store.save_memo();
                saved = Instant::now();
            }
        }
    }

    fn look_up_due(&mut self) -> Result<(), StoreError> {
        while let Some(position) = self.due.pop_first() {
            let node = self.plan.order[position];
            match self.examiner.examine(node)? {
                Examined::Cached(artifact) if self.forced.remove(&node) => self.make_again(position, &artifact)?,
                Examined::Cached(artifact) => self.found(node, artifact),
                Examined::Ready { fingerprint, key, damaged } => {
                    let reason = damaged.as_ref().map(|(problem, _)| format!("its artifact was damaged: {problem}"));
                    if let Some((problem, moved_to)) = damaged {
                        let moved_to = moved_to.display().to_string();
                        self.tell(Event::ArtifactDamaged { key: key.to_string(), problem, moved_to });
                    }
                    self.ready.insert(position, Ready { fingerprint, key, attempt: 1, reason });
                }
                Examined::Waiting(needs) => {
                    self.fail(node, None, format!("it {needs}, which --only leaves out; use --until instead"));
                }
                Examined::Unreadable(problem) => self.fail(node, None, problem),
            }
        }
        Ok(())
    }

    fn make_again(&mut self, position: usize, artifact: &Artifact) -> Result<(), StoreError> {
        let lock = self.store.lock(&artifact.key, |_| {})?;
        if let Lookup::Found(_) = self.store.find_locked(&lock)? {
            self.store.set_aside(&lock)?;
        }
        drop(lock);
        if let Examined::Ready { fingerprint, key, .. } = self.examiner.examine(self.plan.order[position])? {
            let reason = Some("it was asked for with --force".to_owned());
            self.ready.insert(position, Ready { fingerprint, key, attempt: 1, reason });
        }
        Ok(())
    }

    fn start_ready(&mut self) -> Result<(), StoreError> {
        if self.stopped_by.is_some() || self.interrupted_at.is_some() {
            return Ok(());
        }
        let positions: Vec<usize> = if self.slots.any() { self.ready.keys().copied().collect() } else { Vec::new() };
        for position in positions {
            if !self.slots.any() || self.stopped_by.is_some() {
                break;
            }
            let node = self.plan.order[position];
            let key = self.ready[&position].key;
            if self.running.values().any(|running| running.ready.key == key) {
                continue;
            }
            let stage = &self.plan.graph[node];
            if let Some(problem) = self.slots.never(stage) {
                self.ready.remove(&position);
                self.fail(node, Some(key), problem);
            } else if let Some(grant) = self.slots.grant(stage) {
                let ready = self.ready.remove(&position).expect("its position was just read");
                self.start(node, ready, grant);
            }
        }
        Ok(())
    }

    fn start(&mut self, node: NodeIndex, mut ready: Ready, grant: Grant) {
        let stage = &self.plan.graph[node];
        let reason = match ready.reason.take() {
            Some(reason) => reason,
            None => self.examiner.reason(&ready.fingerprint),
        };
        let log = self.journal.log(&stage.name, ready.attempt);
        let job = self.job(node, stage, &ready, &grant);
        let start = Start { node, job: &job, log: &log, visible: grant.visible.as_deref(), urgency: &self.urgency };
        let started = child::start(&start, &self.sender);
        let event = Event::StageStarted {
            stage: stage.name.clone(),
            key: ready.key.to_string(),
            attempt: ready.attempt,
            pid: started.as_ref().map_or(0, |group| group.as_raw_pid() as u32),
            log: log.display().to_string(),
            reason,
        };
        self.tell(event);
        let mut running = Running {
            ready,
            group: None,
            grant,
            began: Instant::now(),
            deadline: None,
            timed_out: false,
            last_word: None,
        };
        match started {
            Ok(group) => {
                running.group = Some(group);
                self.running.insert(node, running);
            }
            Err(error) => self.attempt_failed(node, running, format!("its process could not be started: {error}")),
        }
    }

    fn job(&self, node: NodeIndex, stage: &PlannedStage, ready: &Ready, grant: &Grant) -> Job {
        let inputs = stage.inputs.iter().map(|input| InputPath {
            name: input.name.to_owned(),
            path: match &input.source {
                Source::Stage(need) => self.examiner.artifacts[need].files(),
                Source::Path(path) => path.clone(),
            },
            label: input.label.clone(),
        });
        tracing::debug!(stage = stage.name, node = node.index(), "starting");
        Job {
            parent: std::process::id(),
            store: self.store.root().to_owned(),
            kind: stage.kind.name.to_owned(),
            key: ready.key,
            record: serde_json::to_value(&ready.fingerprint).expect("plain data can be written"),
            parameters: serde_json::to_value(&stage.parameters).expect("plain data can be written"),
            inputs: inputs.collect(),
            seed: stage.seed.unwrap_or(0),
            device: grant.device.clone(),
        }
    }

    fn heed(&mut self, note: Note) -> Result<(), StoreError> {
        match note {
            Note::Said(node, message) => self.heed_message(node, message),
            Note::Ended(node, status) => {
                let Some(running) = self.running.remove(&node) else { return Ok(()) };
                match &running.last_word {
                    Some(Message::Finished { cached, learnt }) => {
                        self.store.accept(learnt);
                        let cached = *cached;
                        return self.attempt_finished(node, running, cached);
                    }
                    _ if running.timed_out => {
                        let limit = self.plan.graph[node].timeout.unwrap_or_default().as_secs_f64();
                        self.attempt_failed(node, running, format!("it took longer than its timeout of {limit} s"));
                    }
                    Some(Message::Failed { error }) => {
                        let error = error.clone();
                        self.attempt_failed(node, running, error);
                    }
                    _ => self.attempt_failed(node, running, child::words(status)),
                }
            }
            Note::Signal => self.interrupt(),
        }
        Ok(())
    }

    fn heed_message(&mut self, node: NodeIndex, message: Message) {
        let stage = self.name(node);
        let timeout = self.plan.graph[node].timeout;
        let Some(running) = self.running.get_mut(&node) else { return };
        match message {
            Message::Began => running.deadline = timeout.map(|timeout| Instant::now() + timeout),
            Message::Said { report } => self.tell(Event::StageReported { stage, report }),
            Message::Waiting { holder } => {
                let text = format!("waiting for another run, which makes the same artifact ({holder})");
                self.tell(Event::StageReported { stage, report: Report::Note { text } });
            }
            Message::Damaged { problem, moved_to } => {
                let (key, moved_to) = (running.ready.key.to_string(), moved_to.display().to_string());
                self.tell(Event::ArtifactDamaged { key, problem, moved_to });
            }
            last @ (Message::Finished { .. } | Message::Failed { .. }) => running.last_word = Some(last),
        }
    }

    fn attempt_finished(&mut self, node: NodeIndex, running: Running, cached: bool) -> Result<(), StoreError> {
        let key = running.ready.key;
        let Lookup::Found(artifact) = self.store.find(&key)? else {
            self.attempt_failed(node, running, "its artifact was damaged or removed as soon as it was there".to_owned());
            return Ok(());
        };
        self.slots.give_back(running.grant);
        // Others of the same key wait for this one.
        let plan = self.plan;
        let twins: Vec<usize> = self.ready.iter().filter(|(_, ready)| ready.key == key).map(|(at, _)| *at).collect();
        for twin in twins {
            self.ready.remove(&twin);
            self.found(plan.order[twin], artifact.clone());
        }
        if cached {
            self.found(node, artifact);
            return Ok(());
        }
        let (seconds, folder) = (running.began.elapsed().as_secs_f64(), artifact.files());
        let stage = self.name(node);
        let artifact_path = folder.display().to_string();
        self.tell(Event::StageFinished { stage, key: key.to_string(), artifact: artifact_path, seconds });
        self.succeed(node, artifact, Ending::Ran, seconds);
        Ok(())
    }

    /// The artifact was there.
    fn found(&mut self, node: NodeIndex, artifact: Artifact) {
        let stage = self.name(node);
        let folder = artifact.files().display().to_string();
        self.tell(Event::StageCached { stage, key: artifact.key.to_string(), artifact: folder });
        self.succeed(node, artifact, Ending::Cached, 0.0);
    }

    fn succeed(&mut self, node: NodeIndex, artifact: Artifact, outcome: Ending, seconds: f64) {
        let mut result = self.result(node, Some(artifact.key), outcome, seconds);
        result.artifact = Some(artifact.files());
        self.results.insert(node, result);
        self.examiner.artifacts.insert(node, artifact);
        for dependant in dependants(self.plan, node) {
            if let Some(missing) = self.missing.get_mut(&dependant) {
                *missing -= 1;
                if *missing == 0 && !self.results.contains_key(&dependant) {
                    self.due.insert(self.positions[dependant.index()]);
                }
            }
        }
    }

    fn attempt_failed(&mut self, node: NodeIndex, running: Running, error: String) {
        let Running { ready, grant, began, .. } = running;
        self.slots.give_back(grant);
        if self.interrupted_at.is_some() {
            return;
        }
        let retry = ready.attempt <= self.plan.graph[node].retries && self.stopped_by.is_none();
        let (stage, seconds) = (self.name(node), began.elapsed().as_secs_f64());
        self.tell(Event::StageFailed { stage, attempt: ready.attempt, error, retry, seconds });
        if retry {
            let reason = Some(format!("attempt {} of {}", ready.attempt + 1, self.plan.graph[node].retries + 1));
            let next = Ready { attempt: ready.attempt + 1, reason, ..ready };
            self.ready.insert(self.positions[node.index()], next);
        } else {
            let result = self.result(node, Some(ready.key), Ending::Failed, seconds);
            self.give_up(node, result);
        }
    }

    /// A stage failed without an attempt.
    fn fail(&mut self, node: NodeIndex, key: Option<Digest>, error: String) {
        let stage = self.name(node);
        self.tell(Event::StageFailed { stage, attempt: 0, error, retry: false, seconds: 0.0 });
        let result = self.result(node, key, Ending::Failed, 0.0);
        self.give_up(node, result);
    }

    fn give_up(&mut self, node: NodeIndex, result: StageOutcome) {
        let because = result.name.clone();
        self.results.insert(node, result);
        let mut left = vec![node];
        while let Some(next) = left.pop() {
            for dependant in dependants(self.plan, next) {
                if self.missing.contains_key(&dependant) && !self.results.contains_key(&dependant) {
                    self.skip(dependant, &because);
                    left.push(dependant);
                }
            }
        }
        if !self.options.keep_going {
            self.stopped_by.get_or_insert(because);
        }
    }

    fn skip(&mut self, node: NodeIndex, because: &str) {
        let stage = self.name(node);
        self.tell(Event::StageSkipped { stage, because: because.to_owned() });
        let key = self.ready.get(&self.positions[node.index()]).map(|ready| ready.key);
        let result = self.result(node, key, Ending::Skipped, 0.0);
        self.results.insert(node, result);
    }

    fn result(&self, node: NodeIndex, key: Option<Digest>, outcome: Ending, seconds: f64) -> StageOutcome {
        let kind = self.plan.graph[node].kind.name.to_owned();
        StageOutcome { name: self.name(node), kind, key, outcome, seconds, artifact: None }
    }

    fn interrupt(&mut self) {
        if self.interrupted_at.is_none() {
            self.interrupted_at = Some(Instant::now());
            self.urgency.store(1, Ordering::Relaxed);
            self.tell(Event::Interrupted);
            self.signal_all(Signal::TERM);
        } else {
            self.urgency.store(2, Ordering::Relaxed);
            self.signal_all(Signal::KILL);
        }
    }

    fn end_overdue(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if running.deadline.is_some_and(|deadline| now >= deadline) {
                running.deadline = None;
                running.timed_out = true;
                if let Some(group) = running.group {
                    let _ = rustix::process::kill_process_group(group, Signal::KILL);
                }
            }
        }
        if self.interrupted_at.is_some_and(|at| now.duration_since(at) > GRACE) {
            self.signal_all(Signal::KILL);
        }
    }

    /// A group that is gone already needs no signal.
    fn signal_all(&self, signal: Signal) {
        for group in self.running.values().filter_map(|running| running.group) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    fn conclude(mut self, wanted: &BTreeSet<NodeIndex>, seconds: f64) -> Outcome {
        let plan = self.plan;
        let because = self.stopped_by.clone().unwrap_or_else(|| "the run was interrupted".to_owned());
        for node in plan.order.iter().copied().filter(|node| wanted.contains(node)) {
            if !self.results.contains_key(&node) {
                self.skip(node, &because);
            }
        }
        let count = |ending| self.results.values().filter(|result| result.outcome == ending).count();
        let (executed, cached) = (count(Ending::Ran), count(Ending::Cached));
        let (failed, skipped) = (count(Ending::Failed), count(Ending::Skipped));
        let ok = failed + skipped == 0;
        self.tell(Event::RunFinished { ok, executed, cached, failed, skipped, seconds });
        let stages = plan.order.iter().filter_map(|node| self.results.remove(node)).collect();
        Outcome {
            run: self.journal.run.clone(),
            recipe: plan.recipe.clone(),
            ok,
            executed,
            cached,
            failed,
            skipped,
            stages,
            folder: self.journal.folder.clone(),
            interrupted: self.interrupted_at.is_some(),
            seconds,
        }
    }
}
