//! Decides what a run starts, and what the end of an attempt means for the other stages.

use std::{collections::BTreeMap, time::Instant};

use petgraph::graph::NodeIndex;
use rustix::process::Pid;

use super::{
    child::{self, AttemptStart},
    earlier::Earlier,
    event::{INTERRUPTION, RunEvent, StageOutline, Timed, skipped},
    examiner::{AT_ONCE, Examiner, LookedUp, needs},
    executor::{ExecutorEvent, Finished},
    input_checks::InputChecks,
    job::{AttemptJob, WorkerMessage},
    journal::{self, Journal},
    outcome::{Ending, RunOptions, RunOutcome, StageOutcome},
    slots::{Grant, Slots},
    state::{Ready, Stages},
};
use crate::{
    context::{InputPath, StageEvent},
    diagnostic::limit,
    plan::{InputSource, Plan},
    store::{Artifact, Lookup, Store, StoreError},
};

/// The truth about a run: the state of each stage, free resources, artifacts and the journal. It
/// starts no process.
pub(super) struct Dispatcher<'a> {
    plan: &'a Plan,
    store: &'a Store,
    options: &'a RunOptions,
    listener: &'a mut dyn FnMut(&Timed),
    journal: Journal,
    examiner: Examiner<'a>,
    slots: Slots,
    stages: Stages,
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
            slots: Slots::new(options.machine.clone(), options.jobs.max(1)),
            stages: Stages::new(plan, &options.wanted),
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
        let event = RunEvent::RunStarted {
            run: self.journal.run.clone(),
            recipe: self.plan.recipe.clone(),
            command: self.options.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stages: outlines.collect(),
        };
        self.tell(event);
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
            if self.stages.is_open(node)
                && let Some(problem) = self.options.machine.lacks(&self.plan.graph[node])
            {
                self.fail(node, problem);
            }
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
        let mut found = BTreeMap::new();
        // The first one each time: a stage that is found may make others due, which come before
        // the rest in plan order.
        while let Some(node) = self.stages.due(1).first() {
            if !found.contains_key(node) {
                found.extend(self.examiner.examine_all(&self.stages.due(AT_ONCE)));
            }
            let looked_up = found.remove(node).expect("it was just looked up");
            self.looked_up(*node, looked_up?)?;
        }
        Ok(())
    }

    fn looked_up(&mut self, node: NodeIndex, found: LookedUp) -> Result<(), StoreError> {
        let is_forced = self.options.forced.contains(&node);
        match found {
            // An unreadable artifact can still be remade.
            LookedUp::Cached(_) | LookedUp::Unreadable(_) if is_forced => self.make_again(node),
            LookedUp::Cached(artifact) => self.found(node, artifact),
            LookedUp::Ready { fingerprint, key, damaged: None } => {
                self.stages.set_ready(node, Ready::new(fingerprint, key, None));
            }
            LookedUp::Ready { fingerprint, key, damaged: Some((problem, moved_to)) } => {
                let reason = format!("its artifact was damaged: {problem}");
                self.stages.set_ready(node, Ready::new(fingerprint, key, Some(reason)));
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

    /// Remakes an existing artifact, which stays until it is replaced.
    fn make_again(&mut self, node: NodeIndex) {
        match self.examiner.identify(node) {
            Ok(fingerprint) => {
                let (key, reason) = (fingerprint.key(), "requested by --force".to_owned());
                let ready = Ready { forced: true, ..Ready::new(fingerprint, key, Some(reason)) };
                self.stages.set_ready(node, ready);
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
            let (node, grant) = self
                .stages
                .startable()
                .find_map(|node| Some((node, self.slots.grant(&graph[node])?)))?;
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
            cell: input.cell.clone(),
        });
        tracing::debug!(stage = stage.name, node = node.index(), "starting");
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
        };
        AttemptStart {
            node,
            job,
            log: self.journal.log(&stage.name, ready.attempt),
            visible: grant.visible.clone(),
            timeout: stage.timeout,
        }
    }

    /// An attempt was started, or could not be.
    pub(super) fn started(&mut self, start: &AttemptStart, started: std::io::Result<Pid>) {
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
            pid: started.as_ref().map_or(0, |group| group.as_raw_pid() as u32),
            log: start.log.display().to_string(),
            reason: ready.reason.take().unwrap_or_default(),
        };
        self.tell(event);
        if let Err(error) = started
            && let Some(seconds) = self.end(start.node)
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
            ExecutorEvent::Ended(node, result) => {
                let Some(seconds) = self.end(node) else { return Ok(()) };
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
                self.tell(RunEvent::StageReported { stage, report: StageEvent::Note { text } });
            }
            WorkerMessage::Damaged { problem, moved_to } => {
                let Some(ready) = self.stages.ready(node) else { return };
                let (key, moved_to) = (ready.key.to_string(), moved_to.display().to_string());
                self.tell(RunEvent::ArtifactDamaged { key, problem, moved_to });
            }
            // The executor keeps these to itself.
            WorkerMessage::Began
            | WorkerMessage::Finished { .. }
            | WorkerMessage::Failed { .. } => {}
        }
    }

    /// Returns the resources of a stage's attempt, if one ran, and its seconds.
    fn end(&mut self, node: NodeIndex) -> Option<f64> {
        let (grant, seconds) = self.stages.end(node)?;
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
                if finished.cached {
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

    /// A stage failed without an attempt.
    fn fail(&mut self, node: NodeIndex, error: String) {
        let (stage, failure) = (self.name(node), error.clone());
        self.tell(RunEvent::StageFailed { stage, attempt: 0, error, retry: false, seconds: 0.0 });
        self.give_up(node, 0.0, failure);
    }

    fn give_up(&mut self, node: NodeIndex, seconds: f64, error: String) {
        let mut outcome = self.outcome(node, Ending::Failed);
        (outcome.seconds, outcome.reason) = (seconds, Some(error));
        self.stages.finish(self.plan, node, outcome);
        let because = self.name(node);
        // At once, while stages that could still run are skipped at the end.
        for dependant in self.stages.open_dependants(self.plan, node) {
            self.skip(dependant, &because, true);
        }
    }

    fn skip(&mut self, node: NodeIndex, because: &str, needs_it: bool) {
        let (stage, because) = (self.name(node), because.to_owned());
        let reason = skipped(&because, needs_it);
        self.tell(RunEvent::StageSkipped { stage, because, needs_it: Some(needs_it) });
        let outcome = StageOutcome { reason: Some(reason), ..self.outcome(node, Ending::Skipped) };
        self.stages.finish(self.plan, node, outcome);
    }

    /// The artifact is in the store.
    fn found(&mut self, node: NodeIndex, artifact: Artifact) {
        self.tell(RunEvent::StageCached {
            stage: self.name(node),
            key: artifact.key.to_string(),
            artifact: artifact.files().display().to_string(),
            seconds: self.examiner.earlier.seconds(&artifact.key),
            files: few_files(&artifact),
        });
        let outcome = self.outcome(node, Ending::Cached);
        self.succeed(node, artifact, outcome);
    }

    /// An attempt made the artifact.
    fn made(&mut self, node: NodeIndex, artifact: Artifact, seconds: f64) {
        self.tell(RunEvent::StageFinished {
            stage: self.name(node),
            key: artifact.key.to_string(),
            artifact: artifact.files().display().to_string(),
            seconds,
            files: few_files(&artifact),
        });
        let outcome = StageOutcome { seconds, ..self.outcome(node, Ending::Ran) };
        self.succeed(node, artifact, outcome);
    }

    fn succeed(&mut self, node: NodeIndex, artifact: Artifact, mut outcome: StageOutcome) {
        (outcome.key, outcome.artifact) = (Some(artifact.key), Some(artifact.files()));
        self.examiner.artifacts.insert(node, artifact);
        self.stages.finish(self.plan, node, outcome);
    }

    fn outcome(&self, node: NodeIndex, ending: Ending) -> StageOutcome {
        StageOutcome {
            name: self.name(node),
            kind: self.plan.graph[node].kind.name.to_owned(),
            key: self.stages.ready(node).map(|ready| ready.key),
            outcome: ending,
            seconds: 0.0,
            artifact: None,
            reason: None,
        }
    }

    /// Ends the run: stages that were not started are skipped.
    pub(super) fn conclude(mut self, seconds: f64) -> RunOutcome {
        // With `--keep-going` only a signal leaves stages that were not started.
        let failure = self.stages.first_failure().filter(|_| !self.options.keep_going);
        let because = failure.unwrap_or(INTERRUPTION).to_owned();
        for node in self.plan.order.iter().copied() {
            if self.stages.is_open(node) {
                self.skip(node, &because, false);
            }
        }
        let [executed, cached, failed, skipped] =
            [Ending::Ran, Ending::Cached, Ending::Failed, Ending::Skipped]
                .map(|ending| self.stages.count(ending));
        let ok = failed + skipped == 0;
        self.tell(RunEvent::RunFinished { ok, executed, cached, failed, skipped, seconds });
        RunOutcome {
            run: self.journal.run,
            recipe: self.plan.recipe.clone(),
            ok,
            executed,
            cached,
            failed,
            skipped,
            stages: self.stages.into_outcomes(),
            folder: self.journal.folder,
            interrupted: self.is_interrupted,
            seconds,
        }
    }
}

/// Names of an artifact's files for the journal, so that a report need not look for them; none if
/// they are many.
fn few_files(artifact: &Artifact) -> Option<Vec<String>> {
    const FEW: usize = 16;
    let names: Vec<String> =
        artifact.names().take(FEW + 1).map(|(name, _)| name.to_owned()).collect();
    (names.len() <= FEW).then_some(names)
}
