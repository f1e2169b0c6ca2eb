//! State of each requested stage of a run, in one map.

use std::{collections::BTreeSet, mem, time::Instant};

use indexmap::IndexMap;
use petgraph::{Direction, graph::NodeIndex};

use super::{
    examiner::needs,
    outcome::{Ending, StageOutcome},
    slots::Grant,
};
use crate::{
    digest::Digest,
    plan::{Fingerprint, Plan},
};

/// Where a requested stage stands. What a run may start next, and whether it is over, follows from
/// these states alone.
#[derive(Debug)]
pub(super) enum StageState {
    /// This many of its inputs do not exist yet.
    Waiting(usize),
    /// All inputs exist; it was not looked up in the store yet.
    Due,
    /// Its artifact is to be made once resources are free.
    Ready(Ready),
    /// An attempt runs.
    Running(Running),
    /// It succeeded, failed or was skipped.
    Done(Done),
}

/// A stage to be made.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) fingerprint: Box<Fingerprint>,
    pub(super) key: Digest,
    /// Number of the next attempt, from 1.
    pub(super) attempt: u32,
    /// Why it runs, if known already.
    pub(super) reason: Option<String>,
    /// Earliest next start after a process could not be started.
    pub(super) not_before: Option<Instant>,
    /// Whether the existing artifact is remade.
    pub(super) forced: bool,
    /// Whether it is made a second time and compared.
    pub(super) check: bool,
    /// Whether another store has it, from where it is copied.
    pub(super) copied: bool,
    /// What a comparison found, once it is done: the first difference.
    pub(super) difference: Option<String>,
}

/// A stage with an attempt.
#[derive(Debug)]
pub(super) struct Running {
    ready: Ready,
    grant: Grant,
    began: Instant,
}

/// A stage that ended.
#[derive(Debug)]
pub(super) struct Done {
    outcome: StageOutcome,
}

/// States of all requested stages, in plan order.
///
/// What is asked at each event of a run is kept in sets, since a plan has up to 250,000 stages.
/// Members of the sets are places in plan order.
#[derive(Debug)]
pub(super) struct Stages {
    states: IndexMap<NodeIndex, StageState>,
    due: BTreeSet<usize>,
    ready: BTreeSet<usize>,
    /// The same by key.
    ready_by_key: BTreeSet<(Digest, usize)>,
    running: usize,
    /// Keys of running attempts.
    made: BTreeSet<Digest>,
    /// The stage that failed first.
    first_failure: Option<usize>,
}

impl Ready {
    /// A stage before its first attempt, whose artifact is absent or damaged.
    pub(super) fn new(fingerprint: Box<Fingerprint>, key: Digest, reason: Option<String>) -> Self {
        Self {
            fingerprint,
            key,
            attempt: 1,
            reason,
            not_before: None,
            forced: false,
            check: false,
            copied: false,
            difference: None,
        }
    }
}

impl Stages {
    /// Stages without requested inputs are due, all others wait; inputs that were not requested are
    /// not waited for.
    pub(super) fn new(plan: &Plan, wanted: &BTreeSet<NodeIndex>) -> Self {
        let requested = plan.order.iter().copied().filter(|node| wanted.contains(node));
        let states: IndexMap<NodeIndex, StageState> = requested
            .map(|node| match needs(plan, node).filter(|need| wanted.contains(need)).count() {
                0 => (node, StageState::Due),
                missing => (node, StageState::Waiting(missing)),
            })
            .collect();
        let due = states.values().enumerate();
        let due = due.filter(|(_, state)| matches!(state, StageState::Due));
        Self {
            due: due.map(|(place, _)| place).collect(),
            states,
            ready: BTreeSet::new(),
            ready_by_key: BTreeSet::new(),
            running: 0,
            made: BTreeSet::new(),
            first_failure: None,
        }
    }

    /// Replaces a state, and returns the old one.
    fn put(&mut self, place: usize, state: StageState) -> StageState {
        let old = mem::replace(&mut self.states[place], state);
        match &old {
            StageState::Due => drop(self.due.remove(&place)),
            StageState::Ready(ready) => {
                self.ready.remove(&place);
                self.ready_by_key.remove(&(ready.key, place));
            }
            StageState::Running(Running { ready, .. }) => {
                self.running -= 1;
                self.made.remove(&ready.key);
            }
            StageState::Waiting(_) | StageState::Done(_) => {}
        }
        match &self.states[place] {
            StageState::Due => drop(self.due.insert(place)),
            StageState::Ready(ready) => {
                self.ready.insert(place);
                self.ready_by_key.insert((ready.key, place));
            }
            StageState::Running(Running { ready, .. }) => {
                self.running += 1;
                self.made.insert(ready.key);
            }
            StageState::Done(done) if done.outcome.outcome == Ending::Failed => {
                self.first_failure.get_or_insert(place);
            }
            StageState::Waiting(_) | StageState::Done(_) => {}
        }
        old
    }

    fn place(&self, node: NodeIndex) -> Option<usize> {
        self.states.get_index_of(&node)
    }

    fn node(&self, place: &usize) -> NodeIndex {
        *self.states.get_index(*place).expect("a place in a set is that of a state").0
    }

    /// Whether a stage was requested and has not ended.
    pub(super) fn is_open(&self, node: NodeIndex) -> bool {
        self.states.get(&node).is_some_and(|state| !matches!(state, StageState::Done(_)))
    }

    /// Stages to be looked up, at most `most`, in plan order.
    pub(super) fn due(&self, most: usize) -> Vec<NodeIndex> {
        self.due.iter().take(most).map(|place| self.node(place)).collect()
    }

    /// Whether an attempt runs or a stage is to be looked up.
    pub(super) fn is_any_busy(&self) -> bool {
        self.running > 0 || !self.due.is_empty()
    }

    /// Number of attempts that run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether a stage waits for its start, also for a later one.
    pub(super) fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is to be made of a stage, also while an attempt makes it.
    pub(super) fn ready(&self, node: NodeIndex) -> Option<&Ready> {
        match self.states.get(&node)? {
            StageState::Ready(ready) | StageState::Running(Running { ready, .. }) => Some(ready),
            _ => None,
        }
    }

    /// As [`Stages::ready`]; its key must stay.
    pub(super) fn ready_mut(&mut self, node: NodeIndex) -> Option<&mut Ready> {
        match self.states.get_mut(&node)? {
            StageState::Ready(ready) | StageState::Running(Running { ready, .. }) => Some(ready),
            _ => None,
        }
    }

    /// Stages that may start now, in plan order. Of stages with the same key one runs at a time:
    /// the others find its artifact.
    pub(super) fn startable(&self) -> impl Iterator<Item = NodeIndex> {
        let now = Instant::now();
        self.ready.iter().map(|place| self.node(place)).filter(move |node| {
            self.ready(*node).is_some_and(|ready| {
                !self.made.contains(&ready.key) && ready.not_before.is_none_or(|time| now >= time)
            })
        })
    }

    /// Stages that wait for their start with a certain key.
    pub(super) fn ready_with(&self, key: Digest) -> Vec<NodeIndex> {
        let same = self.ready_by_key.range((key, 0)..=(key, usize::MAX));
        same.map(|(_, place)| self.node(place)).collect()
    }

    /// A stage that was looked up is to be made.
    pub(super) fn set_ready(&mut self, node: NodeIndex, ready: Ready) {
        let place = self.place(node).expect("only requested stages are made");
        self.put(place, StageState::Ready(ready));
    }

    /// An attempt of a ready stage begins.
    pub(super) fn begin(&mut self, node: NodeIndex, grant: Grant) {
        let place = self.place(node).expect("only requested stages are made");
        // `Due` only stands in while the old state is moved into the new one.
        let state = match self.put(place, StageState::Due) {
            StageState::Ready(ready) => {
                StageState::Running(Running { ready, grant, began: Instant::now() })
            }
            _ => unreachable!("only ready stages are started"),
        };
        self.put(place, state);
    }

    /// The attempt of a stage ended, which was repeated as often where it ran: the stage is ready
    /// again until its end is decided. Returns the attempt's resources and seconds; none if no
    /// attempt ran.
    pub(super) fn end(&mut self, node: NodeIndex, retried: u32) -> Option<(Grant, f64)> {
        let place = self.place(node)?;
        match self.put(place, StageState::Due) {
            StageState::Running(Running { mut ready, grant, began }) => {
                ready.attempt += retried;
                self.put(place, StageState::Ready(ready));
                Some((grant, began.elapsed().as_secs_f64()))
            }
            other => {
                self.put(place, other);
                None
            }
        }
    }

    /// A stage ended with an outcome; if it succeeded, stages that waited for nothing else are due.
    pub(super) fn finish(&mut self, plan: &Plan, node: NodeIndex, outcome: StageOutcome) {
        let Some(place) = self.place(node) else { return };
        let succeeded = matches!(outcome.outcome, Ending::Ran | Ending::Cached);
        self.put(place, StageState::Done(Done { outcome }));
        if !succeeded {
            return;
        }
        for dependant in dependants(plan, node) {
            if let Some((place, _, StageState::Waiting(missing))) = self.states.get_full(&dependant)
            {
                let state = match *missing {
                    0 | 1 => StageState::Due,
                    missing => StageState::Waiting(missing - 1),
                };
                self.put(place, state);
            }
        }
    }

    /// Requested stages that depend on a stage, directly or not, and have not ended.
    pub(super) fn open_dependants(&self, plan: &Plan, node: NodeIndex) -> Vec<NodeIndex> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut left = vec![node];
        while let Some(next) = left.pop() {
            for dependant in dependants(plan, next) {
                if self.is_open(dependant) && seen.insert(dependant) {
                    found.push(dependant);
                    left.push(dependant);
                }
            }
        }
        found
    }

    /// The stage that failed first.
    pub(super) fn first_failure(&self) -> Option<&str> {
        match &self.states[self.first_failure?] {
            StageState::Done(done) => Some(&done.outcome.name),
            _ => None,
        }
    }

    /// Number of stages with an ending.
    pub(super) fn count(&self, ending: Ending) -> usize {
        let endings = self.states.values().filter_map(|state| match state {
            StageState::Done(done) => Some(done.outcome.outcome),
            _ => None,
        });
        endings.filter(|found| *found == ending).count()
    }

    /// Outcomes of the stages that ended, in plan order.
    pub(super) fn into_outcomes(self) -> Vec<StageOutcome> {
        self.states
            .into_values()
            .filter_map(|state| match state {
                StageState::Done(done) => Some(done.outcome),
                _ => None,
            })
            .collect()
    }
}

/// The stages that read from a stage, each once.
fn dependants(plan: &Plan, node: NodeIndex) -> BTreeSet<NodeIndex> {
    plan.graph.neighbors_directed(node, Direction::Outgoing).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schedule::slots::{Machine, Slots, tests::stage};

    /// Stages `s0`, `s1`, ... that read from each other.
    fn plan(count: usize, edges: &[(usize, usize)]) -> Plan {
        let mut plan = Plan::default();
        for index in 0..count {
            let planned =
                crate::plan::PlannedStage { name: format!("s{index}"), ..stage(1, 0, 0, None) };
            plan.order.push(plan.graph.add_node(planned));
        }
        for (from, to) in edges {
            plan.graph.add_edge(plan.order[*from], plan.order[*to], ());
        }
        plan
    }

    fn outcome(plan: &Plan, node: NodeIndex, ending: Ending) -> StageOutcome {
        StageOutcome {
            name: plan.graph[node].name.clone(),
            kind: "command".to_owned(),
            key: None,
            outcome: ending,
            seconds: 0.0,
            artifact: None,
            checked: None,
            reason: None,
        }
    }

    fn ready(seed: u64) -> Ready {
        let record = json!({
            "schema": 1, "kind": "command", "version": 1, "seed": seed, "parameters": {},
            "inputs": [],
        });
        let fingerprint: Fingerprint = serde_json::from_value(record).unwrap();
        let key = fingerprint.key();
        Ready::new(Box::new(fingerprint), key, None)
    }

    fn grant() -> Grant {
        let machine = Machine {
            cpus: 9,
            memory: 1,
            gpus: Vec::new(),
            is_built_for: |_| false,
            is_cluster: false,
        };
        Slots::new(machine, 9).grant(&stage(1, 0, 0, None)).unwrap()
    }

    #[test]
    fn a_stage_is_due_when_its_last_requested_input_is_there() {
        // 0 and 1 feed 2; 2 feeds 3, twice.
        let plan = plan(4, &[(0, 2), (1, 2), (2, 3), (2, 3)]);
        let [a, b, c, d] = [0, 1, 2, 3].map(NodeIndex::new);
        let mut stages = Stages::new(&plan, &[b, c, d].into());
        assert!(
            !stages.is_open(a) && stages.due(9) == [b],
            "what was not requested is not waited for"
        );
        assert!(stages.is_open(c));
        stages.finish(&plan, b, outcome(&plan, b, Ending::Cached));
        assert!(stages.due(9) == [c] && stages.is_any_busy());
        stages.finish(&plan, c, outcome(&plan, c, Ending::Ran));
        assert_eq!(stages.due(9), [d]);
        stages.finish(&plan, d, outcome(&plan, d, Ending::Failed));
        assert!(!stages.is_any_busy() && !stages.is_any_ready());
        assert_eq!(stages.first_failure(), Some("s3"));
        assert_eq!(stages.count(Ending::Ran), 1);
        let names: Vec<String> =
            stages.into_outcomes().into_iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["s1", "s2", "s3"]);
    }

    #[test]
    fn a_failure_reaches_all_open_dependants_once_and_no_success() {
        let plan = plan(5, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let nodes: Vec<NodeIndex> = plan.order.clone();
        let mut stages = Stages::new(&plan, &nodes.iter().copied().collect());
        stages.finish(&plan, nodes[0], outcome(&plan, nodes[0], Ending::Failed));
        assert_eq!(stages.open_dependants(&plan, nodes[0]), [nodes[1], nodes[2], nodes[3]]);
        assert_eq!(stages.due(9), [nodes[4]]);
    }

    #[test]
    fn stages_of_one_key_run_one_at_a_time_and_an_ended_attempt_may_run_again() {
        let plan = plan(3, &[]);
        let [a, b, c] = [0, 1, 2].map(NodeIndex::new);
        let mut stages = Stages::new(&plan, &[a, b, c].into());
        stages.set_ready(a, ready(1));
        stages.set_ready(b, ready(1));
        stages.set_ready(c, ready(2));
        assert_eq!(stages.startable().collect::<Vec<_>>(), [a, b, c]);
        stages.begin(a, grant());
        assert_eq!(stages.startable().collect::<Vec<_>>(), [c]);
        assert!(stages.end(b, 1).is_none() && stages.end(a, 2).is_some());
        assert!(stages.end(a, 0).is_none());
        assert_eq!([a, b].map(|node| stages.ready(node).unwrap().attempt), [3, 1]);
        assert_eq!(stages.startable().collect::<Vec<_>>(), [a, b, c]);
        let key = stages.ready(a).unwrap().key;
        assert_eq!(stages.ready_with(key), [a, b]);
        stages.ready_mut(a).unwrap().not_before =
            Some(Instant::now() + std::time::Duration::from_secs(3600));
        assert_eq!(stages.startable().collect::<Vec<_>>(), [b, c]);
        assert!(stages.is_any_ready() && !stages.is_any_busy());
    }
}
