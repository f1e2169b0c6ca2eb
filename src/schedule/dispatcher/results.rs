//! What becomes of stages: results and failures, and the outcome of the run.

use petgraph::graph::NodeIndex;

use super::Dispatcher;
use crate::{
    schedule::{
        event::{INTERRUPTION, RunEvent, StageCost, skipped},
        journal,
        outcome::{Ending, RunOutcome, StageOutcome},
    },
    store::{Artifact, CheckRecord, StoreError},
};

impl Dispatcher<'_> {
    /// A stage failed without an attempt.
    pub(super) fn fail(&mut self, node: NodeIndex, error: String) {
        let (stage, failure) = (self.name(node), error.clone());
        self.tell(RunEvent::StageFailed { stage, attempt: 0, error, retry: false, seconds: 0.0 });
        self.give_up(node, 0.0, failure);
    }

    pub(super) fn give_up(&mut self, node: NodeIndex, seconds: f64, error: String) {
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
    pub(super) fn found(&mut self, node: NodeIndex, artifact: Artifact) {
        let is_checked = self.checked.contains(&artifact.key);
        let check = is_checked.then(|| self.store.check_of(&artifact.key)).flatten();
        let mut outcome = self.outcome(node, Ending::Cached);
        outcome.checked = check.as_ref().map(|check| check.difference.is_none());
        self.tell(RunEvent::StageCached {
            stage: self.name(node),
            key: artifact.key.to_string(),
            artifact: artifact.files().display().to_string(),
            made: self.examiner.earlier.made(&artifact.key),
            files: few_files(&artifact),
            check,
        });
        self.succeed(node, artifact, outcome);
    }

    /// The stage was made a second time, and compared with its artifact.
    pub(super) fn compared(
        &mut self,
        node: NodeIndex,
        artifact: Artifact,
        seconds: f64,
    ) -> Result<(), StoreError> {
        let difference = self.stages.ready_mut(node).and_then(|ready| ready.difference.take());
        let at = journal::now().as_millis() as u64;
        self.store
            .note_check(&artifact.key, &CheckRecord { at, difference: difference.clone() })?;
        self.checked.insert(artifact.key);
        self.tell(RunEvent::StageChecked {
            stage: self.name(node),
            key: artifact.key.to_string(),
            difference: difference.clone(),
            seconds,
        });
        match difference {
            None => self.found(node, artifact),
            Some(difference) => {
                let problem = "made again, it differs from its artifact, which stays";
                self.fail(node, format!("{problem}: {difference}"));
            }
        }
        Ok(())
    }

    /// An attempt made the artifact.
    pub(super) fn made(&mut self, node: NodeIndex, artifact: Artifact, seconds: f64) {
        self.tell(RunEvent::StageFinished {
            stage: self.name(node),
            key: artifact.key.to_string(),
            artifact: artifact.files().display().to_string(),
            seconds,
            files: few_files(&artifact),
            cost: Some(self.cost(node, &artifact)),
        });
        let outcome = StageOutcome { seconds, ..self.outcome(node, Ending::Ran) };
        self.succeed(node, artifact, outcome);
    }

    fn cost(&self, node: NodeIndex, artifact: &Artifact) -> StageCost {
        StageCost {
            machine: self.options.machine.label(&self.plan.graph[node]),
            inputs: self.examiner.sizes(node),
            bytes: artifact.names().map(|(_, bytes)| bytes).sum(),
        }
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
            checked: None,
            reason: None,
        }
    }

    /// Ends the run before its jobs on a cluster: a later run finds them, and starts the rest.
    pub(in crate::schedule) fn detach(mut self, seconds: f64) -> RunOutcome {
        let jobs = self.stages.running();
        self.tell(RunEvent::RunDetached { jobs });
        RunOutcome { ok: false, detached: jobs, ..self.into_outcome(seconds) }
    }

    /// Ends the run: stages that were not started are skipped.
    pub(in crate::schedule) fn conclude(mut self, seconds: f64) -> RunOutcome {
        // With `--keep-going` only a signal leaves stages that were not started.
        let failure = self.stages.first_failure().filter(|_| !self.options.keep_going);
        let because = failure.unwrap_or(INTERRUPTION).to_owned();
        for node in self.plan.order.iter().copied() {
            if self.stages.is_open(node) {
                self.skip(node, &because, false);
            }
        }
        let [executed, cached, failed, skipped] = self.counts();
        let ok = failed + skipped == 0;
        self.tell(RunEvent::RunFinished { ok, executed, cached, failed, skipped, seconds });
        self.into_outcome(seconds)
    }

    fn counts(&self) -> [usize; 4] {
        [Ending::Ran, Ending::Cached, Ending::Failed, Ending::Skipped]
            .map(|ending| self.stages.count(ending))
    }

    fn into_outcome(self, seconds: f64) -> RunOutcome {
        let [executed, cached, failed, skipped] = self.counts();
        RunOutcome {
            run: self.journal.run,
            recipe: self.plan.recipe.clone(),
            ok: failed + skipped == 0,
            executed,
            cached,
            failed,
            skipped,
            stages: self.stages.into_outcomes(),
            folder: self.journal.folder,
            detached: 0,
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
