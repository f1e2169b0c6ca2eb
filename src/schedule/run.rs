//! The run itself: stages become due, are looked up, wait for their slots, and are attempted.

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
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{
    attempt::{Job, Message},
    child::{self, Family, GRACE, Note, Start, Urgency},
    earlier::Earlier,
    event::{Event, StageOutline, Timed},
    execute::{Options, Outcome, StageOutcome},
    journal::{self, Journal},
    reading::Reading,
    slots::{Grant, Slots},
    survey::{Examined, Examiner, needs},
};
use crate::{
    diagnostic::limit,
    digest::Digest,
    plan::{Fingerprint, Plan, PlannedStage, Source},
    stage::InputPath,
    store::{Store, StoreError},
};

/// The memo is saved at least so often.
const SAVING: Duration = Duration::from_secs(5);

pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
    pub(super) listener: &'a mut dyn FnMut(&Timed),
    pub(super) journal: Journal,
    pub(super) examiner: Examiner<'a>,
    pub(super) slots: Slots,
    /// Where each stage stands in the plan's order.
    pub(super) positions: Vec<usize>,
    /// How many needs of each stage have no artifact yet; only of stages that are wanted.
    pub(super) missing: BTreeMap<NodeIndex, usize>,
    /// Positions of stages that have all that they need and were not looked up yet.
    pub(super) due: BTreeSet<usize>,
    /// By position: stages that wait for their slots.
    pub(super) ready: BTreeMap<usize, Ready>,
    pub(super) running: BTreeMap<NodeIndex, Running>,
    pub(super) results: BTreeMap<NodeIndex, StageOutcome>,
    pub(super) forced: BTreeSet<NodeIndex>,
    /// The first failed stage, after which nothing new is started.
    pub(super) stopped_by: Option<String>,
    pub(super) urgency: Urgency,
    pub(super) family: Family,
    pub(super) interrupted_at: Option<Instant>,
    pub(super) sender: Sender<Note>,
    pub(super) notes: Receiver<Note>,
}

pub(super) struct Ready {
    pub(super) fingerprint: Box<Fingerprint>,
    pub(super) key: Digest,
    pub(super) attempt: u32,
    /// Why it runs, where that is known already.
    pub(super) reason: Option<String>,
    /// What a process could not be started for may be there a little later.
    pub(super) not_before: Option<Instant>,
    /// Whether it is made although its artifact is there.
    pub(super) forced: bool,
}

pub(super) struct Running {
    pub(super) ready: Ready,
    pub(super) group: Option<Pid>,
    pub(super) grant: Grant,
    pub(super) began: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) timed_out: bool,
    pub(super) last_word: Option<Message>,
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
        let journal = Journal::create(&options.experiments, &plan.recipe, &plan.resolved);
        let earlier = Earlier::read(&journal);
        Self {
            plan,
            store,
            options,
            listener,
            journal,
            examiner: Examiner::new(plan, store, earlier),
            slots: Slots::new(options.machine.clone(), options.jobs.max(1)),
            positions,
            missing: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: BTreeMap::new(),
            running: BTreeMap::new(),
            results: BTreeMap::new(),
            forced: options.forced.clone(),
            stopped_by: None,
            urgency: Arc::new(AtomicU8::new(0)),
            family: Family::new(),
            interrupted_at: None,
            sender,
            notes,
        }
    }

    /// Carries out the wanted stages.
    pub(super) fn carry_out(mut self) -> Result<Outcome, StoreError> {
        let began = Instant::now();
        self.announce();
        self.enlist()?;
        self.look_up_due()?;
        self.refuse_impossible();
        self.refuse_wrong_inputs();
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
        Ok(self.conclude(began.elapsed().as_secs_f64()))
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

    pub(super) fn tell(&mut self, event: Event) {
        let timed = Timed { at: journal::now().as_millis() as u64, event };
        self.journal.record(&timed);
        (self.listener)(&timed);
    }

    pub(super) fn name(&self, node: NodeIndex) -> String {
        self.plan.graph[node].name.clone()
    }

    /// Counts what each wanted stage needs; what is needed but not wanted is only looked up.
    fn enlist(&mut self) -> Result<(), StoreError> {
        let wanted = &self.options.wanted;
        let looked_up = self.plan.with_needs(wanted);
        for (position, node) in self.plan.order.iter().copied().enumerate() {
            if wanted.contains(&node) {
                let missing = needs(self.plan, node).filter(|need| wanted.contains(need)).count();
                self.missing.insert(node, missing);
                if missing == 0 {
                    self.due.insert(position);
                }
            } else if looked_up.contains(&node)
                && let Examined::Cached(artifact) = self.examiner.examine(node)?
            {
                self.examiner.artifacts.insert(node, artifact);
            }
        }
        Ok(())
    }

    fn listen_for_signals(&self) -> Option<signal_hook::iterator::Handle> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
            .inspect_err(|error| tracing::warn!("Ctrl-C ends children at once: {error}"))
            .ok()?;
        let handle = signals.handle();
        let sender = self.sender.clone();
        let listen = move || {
            signals.forever().all(|_| sender.send(Note::Signal).is_ok());
        };
        match std::thread::Builder::new().spawn(listen) {
            Ok(_) => Some(handle),
            Err(error) => {
                tracing::warn!("Ctrl-C ends children at once: {error}");
                handle.close();
                None
            }
        }
    }

    fn until_nothing_runs(&mut self) -> Result<(), StoreError> {
        let mut saved = Instant::now();
        loop {
            self.look_up_due()?;
            self.start_ready()?;
            if self.running.is_empty() && self.due.is_empty() && !self.is_anything_to_start() {
                return Ok(());
            }
            if !self.due.is_empty() {
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

    /// Whether a stage waits to be started, as one does whose process could not be started a moment ago.
    fn is_anything_to_start(&self) -> bool {
        !self.ready.is_empty() && self.stopped_by.is_none() && self.interrupted_at.is_none()
    }

    /// Fails what this machine can never run, before anything runs.
    fn refuse_impossible(&mut self) {
        for node in self.plan.order.iter().copied() {
            let is_open = self.options.wanted.contains(&node) && !self.results.contains_key(&node);
            if is_open && let Some(problem) = self.slots.never(&self.plan.graph[node]) {
                let position = self.positions[node.index()];
                let key = self.ready.remove(&position).map(|ready| ready.key);
                self.fail(node, key, problem);
            }
        }
    }

    /// Fails what would read rows of a wrong form, before anything runs.
    fn refuse_wrong_inputs(&mut self) {
        let mut reading = Reading::default();
        for node in self.plan.order.iter().copied() {
            let is_open = self.options.wanted.contains(&node) && !self.results.contains_key(&node);
            if self.stopped_by.is_some() || !is_open {
                continue;
            }
            if let Some((input, problem)) = reading.of_stage(&self.plan.graph[node]).into_iter().next() {
                let problem = format!("the input `{}`: {problem}", input.name);
                let position = self.positions[node.index()];
                let key = self.ready.remove(&position).map(|ready| ready.key);
                self.fail(node, key, problem);
            }
        }
    }

    fn look_up_due(&mut self) -> Result<(), StoreError> {
        while let Some(position) = self.due.pop_first() {
            let node = self.plan.order[position];
            match self.examiner.examine(node)? {
                Examined::Cached(_) if self.forced.remove(&node) => self.make_again(position),
                Examined::Cached(artifact) => self.found(node, artifact),
                Examined::Ready { fingerprint, key, damaged } => {
                    let reason = damaged.as_ref().map(|(problem, _)| format!("its artifact was damaged: {problem}"));
                    if let Some((problem, moved_to)) = damaged {
                        let moved_to = moved_to.display().to_string();
                        self.tell(Event::ArtifactDamaged { key: key.to_string(), problem, moved_to });
                    }
                    self.ready.insert(
                        position,
                        Ready { fingerprint, key, attempt: 1, reason, not_before: None, forced: false },
                    );
                }
                Examined::Waiting(needs) => {
                    self.fail(node, None, format!("it {needs}, which --only leaves out; use --until instead"));
                }
                // An artifact that cannot be read can be made anew all the same.
                Examined::Unreadable(_) if self.forced.remove(&node) => self.make_again(position),
                Examined::Unreadable(problem) => self.fail(node, None, problem),
            }
        }
        Ok(())
    }

    /// Has a stage attempted whose artifact is there; that stays in its place until the new one is.
    fn make_again(&mut self, position: usize) {
        let node = self.plan.order[position];
        match self.examiner.identify(node) {
            Ok(fingerprint) => {
                let (key, reason) = (fingerprint.key(), Some("it was asked for with --force".to_owned()));
                self.ready
                    .insert(position, Ready { fingerprint, key, attempt: 1, reason, not_before: None, forced: true });
            }
            Err(problem) => self.fail(node, None, problem.words()),
        }
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
            if self.ready[&position].not_before.is_some_and(|time| Instant::now() < time) {
                continue;
            }
            let stage = &self.plan.graph[node];
            if let Some(grant) = self.slots.grant(stage) {
                let ready = self.ready.remove(&position).expect("its position was just read");
                match self.examiner.written(node) {
                    None => self.start(node, ready, grant),
                    Some(problem) => {
                        self.slots.give_back(grant);
                        self.fail(node, Some(key), problem);
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, node: NodeIndex, mut ready: Ready, grant: Grant) {
        let stage = &self.plan.graph[node];
        let reason = match ready.reason.take() {
            Some(reason) => reason,
            None => self.examiner.reason(node, &ready.fingerprint),
        };
        let log = self.journal.log(&stage.name, ready.attempt);
        let job = self.job(node, stage, &ready, &grant);
        let start = Start {
            node,
            job: &job,
            log: &log,
            visible: grant.visible.as_deref(),
            urgency: &self.urgency,
            family: &self.family,
        };
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
            Err(error) => {
                running.ready.not_before = Some(Instant::now() + child::PAUSE * running.ready.attempt);
                self.attempt_failed(
                    node,
                    running,
                    format!("its process could not be started: {error}{}", limit(&error)),
                );
            }
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
            forced: ready.forced,
        }
    }

    pub(super) fn interrupt(&mut self) {
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
}
