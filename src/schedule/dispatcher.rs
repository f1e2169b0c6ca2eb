//! Decides what a run starts, and what the end of an attempt means for the other stages.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use petgraph::graph::NodeIndex;
use rustix::process::Pid;

use super::{
    child::{self, AttemptStart},
    earlier::Earlier,
    elsewhere::Elsewhere,
    event::{Provenance, RunEvent, StageOutline, Timed},
    examiner::{AT_ONCE, Examiner, LookedUp, needs},
    executor_event::{ExecutorEvent, Finished},
    input_checks::InputChecks,
    job::{AttemptJob, WorkerMessage},
    journal::{self, Journal},
    outcome::RunOptions,
    slots::{Grant, Slots},
    state::{Ready, Stages},
};
use crate::{
    context::{self, InputPath, StageEvent},
    diagnostic::limit,
    digest::Digest,
    plan::{InputSource, Plan, Resources},
    store::{Lookup, Store, StoreError},
};

mod results;

/// The truth about a run: the state of each stage, free resources, artifacts and the journal. It
/// starts no process.
pub(super) struct Dispatcher<'a> {
    plan: &'a Plan,
    store: &'a Store,
    options: &'a RunOptions,
    listener: &'a mut dyn FnMut(&Timed),
    journal: Journal,
    examiner: Examiner<'a>,
    elsewhere: Elsewhere,
    slots: Slots,
    stages: Stages,
    /// Keys that have been checked, of which few artifacts are.
    checked: BTreeSet<Digest>,
    is_interrupted: bool,
}

impl<'a> Dispatcher<'a> {
    /// A dispatcher with a new journal.
    pub(super) fn new(
        plan: &'a Plan,
        store: &'a Store,
        options: &'a RunOptions,
        listener: &'a mut dyn FnMut(&Timed),
    ) -> Self {
        let journal = Journal::create(&options.experiments, &plan.recipe, &plan.resolved);
        let earlier = Earlier::read(&journal);
        Self {
            plan,
            store,
            options,
            listener,
            journal,
            examiner: Examiner::new(plan, store, earlier),
            elsewhere: Elsewhere::new(options.remote.clone()),
            slots: Slots::new(options.machine.clone(), options.jobs.max(1)),
            stages: Stages::new(plan, &options.wanted),
            checked: store.checked(),
            is_interrupted: false,
        }
    }

    /// Looks up what exists, and fails stages that cannot succeed, before anything runs.
    pub(super) fn prepare(&mut self) -> Result<(), StoreError> {
        self.announce();
        self.look_up_unrequested()?;
        self.look_up_due()?;
        self.refuse_impossible();
        self.refuse_wrong_inputs();
        Ok(())
    }

    fn announce(&mut self) {
        let graph = &self.plan.graph;
        let outlines = self.plan.order.iter().map(|node| StageOutline {
            name: graph[*node].name.clone(),
            kind: graph[*node].kind.name.to_owned(),
            needs: needs(self.plan, *node).map(|need| graph[need].name.clone()).collect(),
        });
        self.tell(RunEvent::RunStarted {
            run: self.journal.run.clone(),
            recipe: self.plan.recipe.clone(),
            command: self.options.command.clone(),
            version: env!("APEFT_VERSION").to_owned(),
            store: self.store.root().display().to_string(),
            provenance: Some(Provenance {
                description: self.plan.description.clone(),
                host: context::host(),
                processor: self.options.machine.processor(),
            }),
            stages: outlines.collect(),
        });
        let label = self.options.label.clone().into_iter();
        label.for_each(|label| self.tell(RunEvent::RunLabelled { label }));
    }

    fn tell(&mut self, event: RunEvent) {
        let timed = Timed { at: journal::now().as_millis() as u64, event };
        // Recorded before it is shown: a screen may be slow.
        self.journal.record(&timed);
        (self.listener)(&timed);
    }

    fn name(&self, node: NodeIndex) -> String {
        self.plan.graph[node].name.clone()
    }

    /// Inputs that were not requested are looked up, and never made.
    fn look_up_unrequested(&mut self) -> Result<(), StoreError> {
        let wanted = &self.options.wanted;
        let looked_up = self.plan.with_needs(wanted);
        for node in self.plan.order.iter().copied() {
            if looked_up.contains(&node)
                && !wanted.contains(&node)
                && let LookedUp::Cached(artifact) = self.examiner.examine(node)?
            {
                self.examiner.artifacts.insert(node, artifact);
            }
        }
        Ok(())
    }

    /// Fails stages whose resources exceed this machine.
    fn refuse_impossible(&mut self) {
        for node in self.plan.order.iter().copied() {
            // Where another store is looked in, this is decided once a stage is looked up.
            if self.elsewhere.address.is_none()
                && self.stages.is_open(node)
                && let Some(problem) = self.options.machine.lacks(&self.plan.graph[node])
            {
                self.fail(node, problem);
            }
        }
    }

    /// The same for one stage that no other store has.
    fn refuse_if_impossible(&mut self, node: NodeIndex) {
        if self.elsewhere.address.is_some()
            && let Some(problem) = self.options.machine.lacks(&self.plan.graph[node])
        {
            self.fail(node, problem);
        }
    }

    /// Fails stages with malformed input rows.
    fn refuse_wrong_inputs(&mut self) {
        let (mut checks, mut is_stopped) = (InputChecks::default(), self.is_stopped());
        for node in self.plan.order.iter().copied() {
            // Reading the inputs of stages that will not start would only delay the message.
            if is_stopped {
                return;
            }
            let is_open = self.stages.is_open(node);
            let mut problems =
                is_open.then(|| checks.of_stage(self.plan, node)).into_iter().flatten();
            if let Some(found) = problems.find(|found| found.is_error) {
                self.fail(node, found.text());
                is_stopped = self.is_stopped();
            }
        }
    }

    /// Looks up stages whose inputs exist.
    pub(super) fn look_up_due(&mut self) -> Result<(), StoreError> {
        // A write for each of 100,000 stages would take longer than their lookups.
        self.journal.gather(true);
        let done = self.look_up_each_due();
        self.journal.gather(false);
        done
    }

    fn look_up_each_due(&mut self) -> Result<(), StoreError> {
        let mut found = BTreeMap::new();
        // The first one each time: a stage that is found may make others due, which come before
        // the rest in plan order.
        while let Some(node) = self.stages.due(1).first() {
            if !found.contains_key(node) {
                let mut due = self.stages.due(AT_ONCE);
                // Once each: a second lookup would not know that the first one met damage.
                due.retain(|node| !found.contains_key(node));
                found.extend(self.examiner.examine_all(&due));
            }
            let looked_up = found.remove(node).expect("it was just looked up");
            self.looked_up(*node, looked_up?)?;
        }
        Ok(())
    }

    fn looked_up(&mut self, node: NodeIndex, found: LookedUp) -> Result<(), StoreError> {
        let is_forced = self.options.forced.contains(&node);
        let is_checked = self.options.checked.contains(&node);
        match found {
            // An unreadable artifact can still be remade.
            LookedUp::Cached(_) | LookedUp::Unreadable(_) if is_forced => {
                self.make_again(node, "requested by --force");
            }
            LookedUp::Cached(_) if is_checked => self.make_again(node, "requested by --check"),
            LookedUp::Cached(artifact) => self.found(node, artifact),
            LookedUp::Ready { fingerprint, key, damaged: None } => {
                self.set_ready(node, Ready::new(fingerprint, key, None));
            }
            LookedUp::Ready { fingerprint, key, damaged: Some((problem, moved_to)) } => {
                let reason = format!("its artifact was damaged: {problem}");
                self.set_ready(node, Ready::new(fingerprint, key, Some(reason)));
                self.tell(RunEvent::ArtifactDamaged {
                    key: key.to_string(),
                    problem,
                    moved_to: moved_to.display().to_string(),
                });
            }
            LookedUp::Waiting(needs) => {
                let problem = format!("it {needs}, which --only excludes; use --until instead");
                self.fail(node, problem);
            }
            LookedUp::Unreadable(problem) => self.fail(node, problem),
        }
        Ok(())
    }

    /// A stage without an artifact is made, or copied from another store that has it.
    fn set_ready(&mut self, node: NodeIndex, ready: Ready) {
        let copied = self.elsewhere.has(&ready.key);
        let reason = copied.then(|| "the remote store has it".to_owned()).or(ready.reason);
        self.stages.set_ready(node, Ready { copied, reason, ..ready });
        if !copied {
            self.refuse_if_impossible(node);
        }
    }

    /// Makes a stage with an artifact, which stays until it is replaced, or for good if the new one
    /// is only compared with it.
    fn make_again(&mut self, node: NodeIndex, reason: &str) {
        match self.examiner.identify(node) {
            Ok(fingerprint) => {
                let (key, reason) = (fingerprint.key(), Some(reason.to_owned()));
                let forced = self.options.forced.contains(&node);
                let ready = Ready::new(fingerprint, key, reason);
                self.stages.set_ready(node, Ready { forced, check: !forced, ..ready });
            }
            Err(problem) => self.fail(node, problem.words()),
        }
    }

    /// Whether a failure prevents further starts.
    fn is_stopped(&self) -> bool {
        !self.options.keep_going && self.stages.first_failure().is_some()
    }

    /// Whether nothing runs and nothing may be started.
    pub(super) fn is_over(&self) -> bool {
        let may_start = !self.is_stopped() && !self.is_interrupted;
        !(self.stages.is_any_busy() || may_start && self.stages.is_any_ready())
    }

    /// The next attempt to start, to which its resources are granted.
    pub(super) fn next_start(&mut self) -> Option<AttemptStart> {
        while self.slots.any() && !self.is_stopped() && !self.is_interrupted {
            let graph = &self.plan.graph;
            let (node, grant) = self.stages.startable().find_map(|node| {
                let is_copied = self.stages.ready(node).is_some_and(|ready| ready.copied);
                let grant = match is_copied {
                    true => self.slots.grant_place(),
                    false => self.slots.grant(&graph[node]),
                };
                Some((node, grant?))
            })?;
            match self.examiner.written(node) {
                None => return Some(self.begin(node, grant)),
                Some(problem) => {
                    self.slots.give_back(grant);
                    self.fail(node, problem);
                }
            }
        }
        None
    }

    fn begin(&mut self, node: NodeIndex, grant: Grant) -> AttemptStart {
        let ready = self.stages.ready_mut(node).expect("it was just found startable");
        // Only stages that run pay for their reason, which may read many key files.
        if ready.reason.is_none() {
            ready.reason = Some(self.examiner.reason(node, &ready.fingerprint));
        }
        let start = self.attempt_start(node, &grant);
        self.stages.begin(node, grant);
        start
    }

    fn attempt_start(&self, node: NodeIndex, grant: &Grant) -> AttemptStart {
        let (stage, ready) = (&self.plan.graph[node], self.stages.ready(node));
        let ready = ready.expect("only ready stages are started");
        let inputs = stage.inputs.iter().map(|input| InputPath {
            name: input.name.to_owned(),
            path: match &input.source {
                InputSource::Stage(need) => self.examiner.artifacts[need].files(),
                InputSource::Path(path) => path.clone(),
            },
            cell: input.cell.as_deref().cloned(),
        });
        let job = AttemptJob {
            // Compared by the child, in case this process ends before it listens.
            parent: std::process::id(),
            store: self.store.root().to_owned(),
            kind: stage.kind.name.to_owned(),
            key: ready.key,
            record: serde_json::to_value(&ready.fingerprint).expect("plain data can be written"),
            parameters: serde_json::to_value(&*stage.parameters)
                .expect("plain data can be written"),
            inputs: inputs.collect(),
            // Kinds without a seed draw nothing.
            seed: stage.seed.unwrap_or(0),
            device: grant.device,
            forced: ready.forced,
            check: ready.check,
            remote: self.elsewhere.address.clone().filter(|_| ready.copied),
        };
        AttemptStart {
            node,
            job,
            log: self.journal.log(&stage.name, ready.attempt),
            artifact: self.store.folder_of(&ready.key),
            // Copying needs neither the memory nor the GPUs of the stage.
            resources: match ready.copied {
                true => Resources { cpus: 1, memory: 0, gpus: 0 },
                false => stage.resources_with_gpus(),
            },
            retries: stage.retries.saturating_sub(ready.attempt - 1),
            visible: grant.visible.clone(),
            timeout: stage.timeout,
        }
    }

    /// An attempt was started, or could not be.
    pub(super) fn started(&mut self, start: &AttemptStart, started: std::io::Result<Option<Pid>>) {
        let Some(ready) = self.stages.ready_mut(start.node) else { return };
        let attempt = ready.attempt;
        // What prevents a start, such as too many processes, may pass.
        if started.is_err() {
            ready.not_before = Some(Instant::now() + child::PAUSE * attempt);
        }
        let event = RunEvent::StageStarted {
            stage: self.plan.graph[start.node].name.clone(),
            key: ready.key.to_string(),
            attempt,
            // Jobs of a cluster have none here.
            pid: match &started {
                Ok(Some(group)) => group.as_raw_pid() as u32,
                _ => 0,
            },
            log: start.log.display().to_string(),
            reason: ready.reason.take().unwrap_or_default(),
        };
        self.tell(event);
        if let Err(error) = started
            && let Some(seconds) = self.end(start.node, 0)
        {
            let why = format!("its process could not be started: {error}{}", limit(&error));
            self.attempt_failed(start.node, seconds, why);
        }
    }

    /// Draws the consequences of an event.
    pub(super) fn handle(&mut self, event: ExecutorEvent) -> Result<(), StoreError> {
        match event {
            ExecutorEvent::Said(node, message) => self.handle_message(node, message),
            ExecutorEvent::Interrupted => {
                self.is_interrupted = true;
                self.tell(RunEvent::Interrupted);
            }
            ExecutorEvent::Left => self.is_interrupted = true,
            ExecutorEvent::Ended { node, result, seconds: ran, retried } => {
                let Some(seconds) = self.end(node, retried) else { return Ok(()) };
                let seconds = ran.unwrap_or(seconds);
                match result {
                    Ok(finished) => self.attempt_finished(node, seconds, &finished)?,
                    Err(error) => self.attempt_failed(node, seconds, error),
                }
            }
        }
        Ok(())
    }

    fn handle_message(&mut self, node: NodeIndex, message: WorkerMessage) {
        let stage = self.name(node);
        match message {
            WorkerMessage::Reported { report } => {
                self.tell(RunEvent::StageReported { stage, report });
            }
            WorkerMessage::Waiting { holder } => {
                let text =
                    format!("waiting for another run that makes the same artifact ({holder})");
                self.tell(RunEvent::StagePlaced { stage, text });
            }
            WorkerMessage::Placed { text } => self.tell(RunEvent::StagePlaced { stage, text }),
            WorkerMessage::Damaged { problem, moved_to } => {
                let Some(ready) = self.stages.ready(node) else { return };
                let (key, moved_to) = (ready.key.to_string(), moved_to.display().to_string());
                self.tell(RunEvent::ArtifactDamaged { key, problem, moved_to });
            }
            WorkerMessage::Checked { difference } => {
                if let Some(ready) = self.stages.ready_mut(node) {
                    ready.difference = difference;
                }
            }
            // The executor keeps these to itself.
            WorkerMessage::Began
            | WorkerMessage::Took { .. }
            | WorkerMessage::Finished { .. }
            | WorkerMessage::Failed { .. } => {}
        }
    }

    /// Returns the resources of a stage's attempt, if one ran, and its seconds.
    fn end(&mut self, node: NodeIndex, retried: u32) -> Option<f64> {
        let (grant, seconds) = self.stages.end(node, retried)?;
        self.slots.give_back(grant);
        Some(seconds)
    }

    fn attempt_finished(
        &mut self,
        node: NodeIndex,
        seconds: f64,
        finished: &Finished,
    ) -> Result<(), StoreError> {
        // What the child has hashed need not be hashed here again.
        self.store.accept(&finished.learnt);
        let Some(key) = self.stages.ready(node).map(|ready| ready.key) else { return Ok(()) };
        // Not taken on trust: since the commit it may have been removed or damaged.
        let lost = match self.store.find(&key) {
            Ok(Lookup::Found(artifact)) => {
                // Stages with the same key waited for this one instead of making it again.
                let twins = self.stages.ready_with(key);
                for twin in twins.into_iter().filter(|twin| *twin != node) {
                    self.found(twin, artifact.clone());
                }
                let is_checked = self.stages.ready(node).is_some_and(|ready| ready.check);
                if is_checked && finished.cached {
                    self.compared(node, artifact, seconds)?;
                } else if finished.cached {
                    self.found(node, artifact);
                } else {
                    self.made(node, artifact, seconds);
                }
                return Ok(());
            }
            // An unreadable artifact fails its stage; other errors concern the whole store.
            Err(error) if !error.is_unreadable() => return Err(error),
            Err(error) => format!("its artifact was committed, but {error}"),
            Ok(_) => "its artifact was damaged or removed right after the commit".to_owned(),
        };
        self.attempt_failed(node, seconds, lost);
        Ok(())
    }

    fn attempt_failed(&mut self, node: NodeIndex, seconds: f64, error: String) {
        // What a signal ended has not failed; `conclude` reports it as not started.
        if self.is_interrupted {
            return;
        }
        if self.stages.ready_mut(node).is_some_and(|ready| std::mem::take(&mut ready.copied)) {
            let stage = self.name(node);
            let report = StageEvent::Warning { text: format!("{error}; it is made here") };
            self.tell(RunEvent::StageReported { stage, report });
            self.refuse_if_impossible(node);
            return;
        }
        let attempts = self.plan.graph[node].retries + 1;
        let is_stopped = self.is_stopped();
        let Some(ready) = self.stages.ready_mut(node) else { return };
        let attempt = ready.attempt;
        let retry = attempt < attempts && !is_stopped;
        if retry {
            ready.attempt += 1;
            ready.reason = Some(format!("attempt {} of {attempts}", ready.attempt));
        }
        let failure = if retry { String::new() } else { error.clone() };
        let stage = self.name(node);
        self.tell(RunEvent::StageFailed { stage, attempt, error, retry, seconds });
        if !retry {
            self.give_up(node, seconds, failure);
        }
    }
}
