//! What the machine has to give: places, cores, memory and GPUs, each handed to one attempt at a time.

use std::{collections::BTreeSet, num::NonZero};

use crate::{
    plan::{Plan, PlannedStage},
    stage,
};

/// What is free.
#[derive(Debug)]
pub(super) struct Slots {
    places: usize,
    cpus: u32,
    memory: u64,
    gpus: BTreeSet<usize>,
    machine: Machine,
}

/// What there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Processor cores.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// The names of GPUs as `CUDA_VISIBLE_DEVICES` lists them.
    pub gpus: Vec<String>,
    /// Whether this program can use them.
    pub built_for_gpus: bool,
}

/// What one attempt occupies.
#[derive(Debug, Default)]
pub(super) struct Grant {
    cpus: u32,
    memory: u64,
    gpus: Vec<usize>,
    /// What `CUDA_VISIBLE_DEVICES` is for the child, where it has GPUs of its own.
    pub(super) visible: Option<String>,
    /// The device that the child sees.
    pub(super) device: String,
}

impl Machine {
    /// Asks the machine.
    pub fn detect() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, NonZero::get) as u32,
            memory: stage::host_memory().limit.unwrap_or(u64::MAX),
            gpus: stage::gpus(),
            built_for_gpus: stage::is_built_for_gpus(),
        }
    }

    /// Why a stage can never run here, if so.
    pub fn lacks(&self, stage: &PlannedStage) -> Option<String> {
        let there = self.gpus.len();
        let wanted = stage.resources.gpus as usize;
        let device = stage.device.as_deref().unwrap_or("cpu");
        if on_gpu(stage) && !self.built_for_gpus {
            return Some(not_built(device));
        }
        match particular(stage) {
            // With GPUs of its own it sees them under numbers of their own.
            Some(number) if wanted == 0 && number >= there => {
                Some(format!("its device is `{device}`, and this machine offers {}", gpus(there)))
            }
            _ if wanted > there => Some(format!("it needs {}, and this machine offers {}", gpus(wanted), gpus(there))),
            _ => None,
        }
    }
}

/// What of a plan this very program can do on no machine at all: stages on GPUs that it was not built for, a sentence each.
pub fn not_built_for(plan: &Plan) -> Vec<String> {
    let stages = plan.order.iter().map(|node| &plan.graph[*node]);
    let lacking = stages.filter(|stage| on_gpu(stage) && !stage::is_built_for_gpus());
    lacking
        .map(|stage| format!("`{}`: {}", stage.name, not_built(stage.device.as_deref().unwrap_or_default())))
        .collect()
}

fn not_built(device: &str) -> String {
    format!(
        "its device is `{device}`, and this program was built without CUDA: `cargo build --release --features cuda`"
    )
}

fn gpus(count: usize) -> String {
    match count {
        0 => "no GPU".to_owned(),
        1 => "1 GPU".to_owned(),
        count => format!("{count} GPUs"),
    }
}

impl Slots {
    /// All of a machine, for at most so many attempts at once.
    pub(super) fn new(machine: Machine, places: usize) -> Self {
        Self { places, cpus: machine.cpus, memory: machine.memory, gpus: (0..machine.gpus.len()).collect(), machine }
    }

    /// Whether anything at all could be granted.
    pub(super) fn any(&self) -> bool {
        self.places > 0 && self.cpus > 0
    }

    /// Why a stage can never run here, if so.
    pub(super) fn never(&self, stage: &PlannedStage) -> Option<String> {
        self.machine.lacks(stage)
    }

    /// What a stage needs, if it is free. More cores or memory than there are means: all of them.
    pub(super) fn grant(&mut self, stage: &PlannedStage) -> Option<Grant> {
        let cpus = match stage.resources.cpus {
            0 if stage.kind.on_device && !on_gpu(stage) => self.machine.cpus,
            said => said.clamp(1, self.machine.cpus),
        };
        let memory = stage.resources.memory.min(self.machine.memory);
        let device = stage.device.clone().unwrap_or_else(|| "cpu".to_owned());
        let gpus: Vec<usize> = match (stage.resources.gpus as usize, particular(stage)) {
            (0, Some(number)) => vec![number],
            (0, None) => Vec::new(),
            (count, _) => self.gpus.iter().copied().take(count).collect(),
        };
        let enough = gpus.len() >= stage.resources.gpus as usize && gpus.iter().all(|gpu| self.gpus.contains(gpu));
        if self.places == 0 || cpus > self.cpus || memory > self.memory || !enough {
            return None;
        }
        self.places -= 1;
        self.cpus -= cpus;
        self.memory -= memory;
        self.gpus.retain(|gpu| !gpus.contains(gpu));
        let names: Vec<&str> = gpus.iter().map(|gpu| self.machine.gpus[*gpu].as_str()).collect();
        let visible = (!gpus.is_empty()).then(|| names.join(","));
        let device = if visible.is_some() && on_gpu(stage) { "cuda:0".to_owned() } else { device };
        Some(Grant { cpus, memory, gpus, visible, device })
    }

    /// Takes back what an attempt occupied.
    pub(super) fn give_back(&mut self, grant: Grant) {
        self.places += 1;
        self.cpus += grant.cpus;
        self.memory += grant.memory;
        self.gpus.extend(grant.gpus);
    }
}

fn on_gpu(stage: &PlannedStage) -> bool {
    stage.device.as_deref().is_some_and(|device| device.starts_with("cuda"))
}

/// The GPU that a stage's device names.
fn particular(stage: &PlannedStage) -> Option<usize> {
    stage.device.as_deref()?.strip_prefix("cuda")?.strip_prefix(':').map_or(Some(0), |number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{plan::Resources, stage::registry};

    fn stage(cpus: u32, memory: u64, gpus: u32, device: Option<&str>) -> PlannedStage {
        PlannedStage {
            name: "a".to_owned(),
            stage: "a".to_owned(),
            cell: BTreeMap::new(),
            kind: registry::find("command").unwrap().kind,
            parameters: BTreeMap::new(),
            inputs: Vec::new(),
            seed: None,
            device: device.map(str::to_owned),
            resources: Resources { cpus, memory, gpus },
            retries: 0,
            timeout: None,
        }
    }

    fn slots(gpus: &[&str]) -> Slots {
        let gpus = gpus.iter().map(|name| (*name).to_owned()).collect();
        Slots::new(Machine { cpus: 4, memory: 1000, gpus, built_for_gpus: true }, 8)
    }

    #[test]
    fn what_is_taken_is_not_given_twice_and_comes_back() {
        let mut slots = slots(&[]);
        let first = slots.grant(&stage(3, 600, 0, None)).unwrap();
        assert!(slots.grant(&stage(2, 0, 0, None)).is_none(), "cores");
        assert!(slots.grant(&stage(1, 500, 0, None)).is_none(), "memory");
        let second = slots.grant(&stage(0, 400, 0, None)).unwrap();
        assert!(!slots.any());
        slots.give_back(first);
        slots.give_back(second);
        let all = slots.grant(&stage(100, 10_000, 0, None)).expect("more than there is means all");
        assert!(slots.grant(&stage(1, 0, 0, None)).is_none());
        slots.give_back(all);
    }

    #[test]
    fn gpus_have_numbers_and_a_stage_sees_only_its_own() {
        let mut slots = slots(&["2", "5", "7"]);
        let named = slots.grant(&stage(1, 0, 0, Some("cuda:1"))).unwrap();
        assert_eq!((named.visible.as_deref(), named.device.as_str()), (Some("5"), "cuda:0"));
        assert!(slots.grant(&stage(1, 0, 0, Some("cuda:1"))).is_none(), "it is taken");
        let two = slots.grant(&stage(1, 0, 2, Some("cuda:0"))).unwrap();
        assert_eq!((two.visible.as_deref(), two.device.as_str()), (Some("2,7"), "cuda:0"));
        assert!(slots.grant(&stage(1, 0, 1, None)).is_none());
        let cpu = slots.grant(&stage(1, 0, 0, Some("cpu"))).unwrap();
        assert_eq!((cpu.visible, cpu.device.as_str()), (None, "cpu"));
        slots.give_back(named);
        assert_eq!(slots.grant(&stage(1, 0, 1, None)).unwrap().visible.as_deref(), Some("5"));
        assert!(slots.never(&stage(1, 0, 4, None)).unwrap().contains("needs 4 GPUs, and this machine offers 3"));
        assert!(slots.never(&stage(1, 0, 0, Some("cuda:2"))).is_none());
        let missing = slots.never(&stage(1, 0, 0, Some("cuda:7"))).unwrap();
        assert_eq!(missing, "its device is `cuda:7`, and this machine offers 3 GPUs");
        assert!(slots.never(&stage(1, 0, 1, Some("cuda:7"))).is_none(), "it is given any one of them");
    }

    #[test]
    fn a_program_without_cuda_says_so() {
        let mut slots = slots(&["0"]);
        slots.machine.built_for_gpus = false;
        assert!(slots.never(&stage(1, 0, 0, Some("cuda:0"))).unwrap().contains("--features cuda"));
        assert!(slots.never(&stage(1, 0, 0, Some("cpu"))).is_none());
    }
}
