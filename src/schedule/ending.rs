//! How attempts, stages and runs end, and what follows from it for the stages that need them.

use std::time::Instant;

use petgraph::graph::NodeIndex;

use super::{
    attempt::Message,
    child::{self, Note},
    event::Event,
    execute::{Ending, Outcome, StageOutcome, dependants},
    run::{Ready, Run, Running},
};
use crate::{
    digest::Digest,
    stage::Report,
    store::{Artifact, Lookup, StoreError},
};

/// What a stage is skipped because of where a signal ended the run.
pub const INTERRUPTION: &str = "the interruption";

impl Run<'_> {
    pub(super) fn heed(&mut self, note: Note) -> Result<(), StoreError> {
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
            Message::Began => running.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
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
        let artifact = match self.store.find(&key) {
            Ok(Lookup::Found(artifact)) => artifact,
            Err(error) if !error.is_unreadable() => return Err(error),
            lost => {
                let why = match lost {
                    Err(error) => format!("its artifact was made, but {error}"),
                    Ok(_) => "its artifact was damaged or removed as soon as it was there".to_owned(),
                };
                self.attempt_failed(node, running, why);
                return Ok(());
            }
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
    pub(super) fn found(&mut self, node: NodeIndex, artifact: Artifact) {
        let stage = self.name(node);
        let folder = artifact.files().display().to_string();
        let seconds = self.examiner.earlier.seconds(&artifact.key);
        self.tell(Event::StageCached { stage, key: artifact.key.to_string(), artifact: folder, seconds });
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

    pub(super) fn attempt_failed(&mut self, node: NodeIndex, running: Running, error: String) {
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
    pub(super) fn fail(&mut self, node: NodeIndex, key: Option<Digest>, error: String) {
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

    pub(super) fn conclude(mut self, seconds: f64) -> Outcome {
        let plan = self.plan;
        let because = self.stopped_by.clone().unwrap_or_else(|| INTERRUPTION.to_owned());
        for node in plan.order.iter().copied().filter(|node| self.options.wanted.contains(node)) {
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
