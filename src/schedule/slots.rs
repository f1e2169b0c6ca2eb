//! Resources of the machine: slots, cores, memory and GPUs, assigned to attempts.

use std::{collections::BTreeSet, num::NonZero};

use crate::{
    context::{self, DeviceError},
    device::{DeviceName, DeviceNames},
    endpoint,
    plan::{Plan, PlannedStage},
    stage,
};

/// Free resources.
#[derive(Debug)]
pub(super) struct Slots {
    places: usize,
    cpus: u32,
    memory: u64,
    /// GPUs of running attempts.
    taken: BTreeSet<DeviceName>,
    machine: Machine,
}

/// Resources of the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// CPU cores.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// GPU names as in `CUDA_VISIBLE_DEVICES`.
    pub gpus: Vec<String>,
    /// Whether this executable supports a device.
    pub is_built_for: fn(DeviceName) -> bool,
    /// Whether it is a cluster, whose scheduler shares out cores, memory and GPUs.
    pub is_cluster: bool,
}

/// Resources of one attempt.
#[derive(Debug, Default)]
pub(super) struct Grant {
    cpus: u32,
    memory: u64,
    gpus: Vec<DeviceName>,
    /// `CUDA_VISIBLE_DEVICES` of the child, if it has GPUs of its own.
    pub(super) visible: Option<String>,
    /// Devices in the child's numbering.
    pub(super) device: DeviceNames,
}

impl Machine {
    /// Detects the machine's resources.
    pub fn detect() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, NonZero::get) as u32,
            memory: context::host_memory().limit.unwrap_or(u64::MAX),
            gpus: context::gpus(),
            is_built_for: context::is_built_for,
            is_cluster: false,
        }
    }

    /// A cluster.
    pub fn cluster() -> Self {
        Self {
            cpus: u32::MAX,
            memory: u64::MAX,
            gpus: Vec::new(),
            is_built_for: context::is_built_for,
            is_cluster: true,
        }
    }

    /// Processor and device of a stage, in words.
    pub fn label(&self, stage: &PlannedStage) -> String {
        let processor = self.processor();
        match stage.device {
            Some(devices) if devices.first() != DeviceName::Cpu => {
                let (count, kind) = (devices.count(), devices.first().feature().unwrap_or("gpu"));
                format!("{processor}, {count} \u{d7} {kind}")
            }
            _ => processor,
        }
    }

    /// Processor and number of cores; a cluster may have many kinds.
    pub(super) fn processor(&self) -> String {
        if self.is_cluster {
            return "nodes of Slurm".to_owned();
        }
        format!("{}, {} cores", context::processor(), self.cpus)
    }

    /// Why a stage can never run on this machine.
    pub fn lacks(&self, stage: &PlannedStage) -> Option<String> {
        let there = self.gpus.len();
        let wanted = stage.resources.gpus as usize;
        let devices = stage.device.unwrap_or_default();
        let device = devices.first();
        if !(self.is_built_for)(device) {
            return Some(not_built(device));
        }
        let has_half = |(name, value): (&String, &serde_json::Value)| {
            name.ends_with("dtype") && value == "bfloat16"
        };
        if device.wgpu().is_some() && stage.parameters.iter().any(has_half) {
            return Some(DeviceError::NoBFloat16(device).to_string());
        }
        // Known before anything runs, where the kernel would end the stage after hours.
        let least = stage::least_memory(stage.kind.name, &stage.parameters).unwrap_or(0);
        if !on_gpu(stage) && least > self.memory {
            let [least, there] = [least, self.memory].map(|bytes| bytes as f64 / 1e9);
            let problem = "its parameters, gradients and optimizer states take";
            return Some(format!(
                "{problem} {least:.1} GB of memory, and this machine offers {there:.1} GB"
            ));
        }
        // A stage may name an endpoint that its other parameters leave without effect.
        let asks = stage::asks_endpoint(stage.kind.name, &stage.parameters);
        if let Some(problem) = endpoint::missing_key(&stage.parameters).filter(|_| asks) {
            return Some(problem);
        }
        if self.is_cluster {
            return None;
        }
        if wanted > there {
            let [wanted, there] = [wanted, there].map(gpus);
            return Some(format!("it needs {wanted}, and this machine offers {there}"));
        }
        let there = match device {
            // With GPUs of its own, a child sees them under its own numbers.
            DeviceName::Cuda(_) if wanted == 0 => there,
            DeviceName::Wgpu(_) => context::count_of_kind(device),
            DeviceName::Cuda(_) | DeviceName::Cpu => return None,
        };
        let missing = |name: DeviceName| name.cuda().or(name.wgpu()) >= Some(there);
        devices
            .all()
            .any(missing)
            .then(|| format!("its device is `{devices}`, and this machine offers {}", gpus(there)))
    }
}

/// GPU stages that this executable cannot run on any machine, one sentence each.
pub fn not_built_for(plan: &Plan) -> Vec<String> {
    let stages = plan.order.iter().map(|node| &plan.graph[*node]);
    let devices = stages.map(|stage| (&stage.name, stage.device.unwrap_or_default().first()));
    let lacking = devices.filter(|(_, device)| !context::is_built_for(*device));
    lacking.map(|(name, device)| format!("`{name}`: {}", not_built(device))).collect()
}

fn not_built(device: DeviceName) -> String {
    let feature = device.feature().unwrap_or_default();
    format!(
        "its device is `{device}`, and this program was built without support for it: `cargo \
        build --release --features {feature}`"
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
    /// All resources of a machine, for at most this many attempts at once.
    pub(super) fn new(machine: Machine, places: usize) -> Self {
        Self { places, cpus: machine.cpus, memory: machine.memory, taken: BTreeSet::new(), machine }
    }

    /// Whether any slot is free.
    pub(super) fn any(&self) -> bool {
        self.places > 0 && self.cpus > 0
    }

    /// The resources of a stage, if free; requests above the machine's cores or memory are clamped.
    pub(super) fn grant(&mut self, stage: &PlannedStage) -> Option<Grant> {
        if self.machine.is_cluster {
            self.places = self.places.checked_sub(1)?;
            // A job sees its own GPUs, by its own numbers.
            let device = stage.device.unwrap_or_default().renumbered();
            return Some(Grant { device, ..Grant::default() });
        }
        let cpus = match stage.resources.cpus {
            // A model on the CPU takes all cores, so that two of them do not slow each other.
            0 if stage.device.is_some() && !on_gpu(stage) => self.machine.cpus,
            said => said.clamp(1, self.machine.cpus),
        };
        let memory = stage.resources.memory.min(self.machine.memory);
        let gpus = self.gpus_for(stage);
        let enough =
            gpus.len() >= wanted_gpus(stage) && !gpus.iter().any(|gpu| self.taken.contains(gpu));
        if self.places == 0 || cpus > self.cpus || memory > self.memory || !enough {
            return None;
        }
        self.places -= 1;
        self.cpus -= cpus;
        self.memory -= memory;
        self.taken.extend(&gpus);
        let numbers = gpus.iter().filter_map(|gpu| gpu.cuda());
        let names: Vec<&str> = numbers.map(|number| self.machine.gpus[number].as_str()).collect();
        let visible = (!names.is_empty()).then(|| names.join(","));
        // With GPUs of its own, a child sees them under its own numbers.
        let device = match stage.device.unwrap_or_default() {
            devices if visible.is_some() && devices.first().cuda().is_some() => {
                devices.renumbered()
            }
            devices => devices,
        };
        Some(Grant { cpus, memory, gpus, visible, device })
    }

    /// One place, for an attempt that only copies its artifact.
    pub(super) fn grant_place(&mut self) -> Option<Grant> {
        (self.places > 0).then(|| {
            self.places -= 1;
            Grant::default()
        })
    }

    /// Returns the resources of an attempt.
    pub(super) fn give_back(&mut self, grant: Grant) {
        self.places += 1;
        self.cpus += grant.cpus;
        self.memory += grant.memory;
        self.taken.retain(|gpu| !grant.gpus.contains(gpu));
    }

    /// The GPUs that a stage reserves: any free ones by number of `gpus`, else that of its device.
    fn gpus_for(&self, stage: &PlannedStage) -> Vec<DeviceName> {
        let all = (0..self.machine.gpus.len()).map(|number| DeviceName::Cuda(number as u8));
        let free = all.filter(|gpu| !self.taken.contains(gpu));
        let devices = stage.device.iter().flat_map(|devices| devices.all());
        let named = devices.filter(|device| *device != DeviceName::Cpu);
        match (wanted_gpus(stage), stage.device.and_then(|devices| devices.first().wgpu())) {
            (0, _) => named.collect(),
            (count, Some(_)) => free.take(count).chain(named).collect(),
            (count, None) => free.take(count).collect(),
        }
    }
}

/// Number of GPUs of a stage that any free ones will do for; 0 where its devices say which.
fn wanted_gpus(stage: &PlannedStage) -> usize {
    let devices = stage.device.filter(|devices| devices.first().cuda().is_some());
    match stage.resources.gpus as usize {
        0 => 0,
        // `--device` may name more of them than the recipe reserves.
        wanted => wanted.max(devices.map_or(0, DeviceNames::count)),
    }
}

fn on_gpu(stage: &PlannedStage) -> bool {
    stage.device.unwrap_or_default().first() != DeviceName::Cpu
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{context::test_support, plan::Resources, stage::registry};

    pub(crate) fn stage(cpus: u32, memory: u64, gpus: u32, device: Option<&str>) -> PlannedStage {
        PlannedStage {
            name: "a".to_owned(),
            stage: "a".to_owned(),
            cell: crate::rows::Cell::of_stage("s").into(),
            kind: registry::find("command").unwrap().kind,
            parameters: Default::default(),
            inputs: Vec::new(),
            seed: None,
            device: device.map(|name| name.parse().unwrap()),
            resources: Resources { cpus, memory, gpus },
            retries: 0,
            timeout: None,
            places: Default::default(),
        }
    }

    fn slots(gpus: &[&str]) -> Slots {
        let gpus = gpus.iter().map(|name| (*name).to_owned()).collect();
        Slots::new(
            Machine { cpus: 4, memory: 1000, gpus, is_built_for: |_| true, is_cluster: false },
            8,
        )
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
        assert_eq!(
            (named.visible.as_deref(), named.device),
            (Some("5"), DeviceName::Cuda(0).into())
        );
        assert!(slots.grant(&stage(1, 0, 0, Some("cuda:1"))).is_none(), "it is taken");
        let two = slots.grant(&stage(1, 0, 2, Some("cuda:0"))).unwrap();
        assert_eq!((two.visible.as_deref(), two.device), (Some("2,7"), DeviceName::Cuda(0).into()));
        assert!(slots.grant(&stage(1, 0, 1, None)).is_none());
        let cpu = slots.grant(&stage(1, 0, 0, Some("cpu"))).unwrap();
        assert_eq!((cpu.visible, cpu.device), (None, DeviceName::Cpu.into()));
        slots.give_back(named);
        assert_eq!(slots.grant(&stage(1, 0, 1, None)).unwrap().visible.as_deref(), Some("5"));
        assert!(
            slots
                .machine
                .lacks(&stage(1, 0, 4, None))
                .unwrap()
                .contains("needs 4 GPUs, and this machine offers 3")
        );
        assert!(slots.machine.lacks(&stage(1, 0, 0, Some("cuda:2"))).is_none());
        let missing = slots.machine.lacks(&stage(1, 0, 0, Some("cuda:7"))).unwrap();
        assert_eq!(missing, "its device is `cuda:7`, and this machine offers 3 GPUs");
        assert!(
            slots.machine.lacks(&stage(1, 0, 1, Some("cuda:7"))).is_none(),
            "it is given any one of them"
        );
    }

    #[test]
    fn several_devices_are_reserved_together_and_renumbered_for_the_child() {
        let mut slots = slots(&["2", "5", "7", "9"]);
        let both = slots.grant(&stage(1, 0, 0, Some("cuda:1,3"))).unwrap();
        assert_eq!(
            (both.visible.as_deref(), both.device.to_string()),
            (Some("5,9"), "cuda:0,1".into())
        );
        assert!(slots.grant(&stage(1, 0, 0, Some("cuda:2,3"))).is_none(), "one of them is taken");
        // Any two, also where `--device` names more than are reserved.
        let any = slots.grant(&stage(1, 0, 1, Some("cuda:0,1"))).unwrap();
        assert_eq!((any.visible.as_deref(), any.device.count()), (Some("2,7"), 2));
        slots.give_back(both);
        assert!(slots.grant(&stage(1, 0, 0, Some("cuda:1,3"))).is_some());
        let missing = slots.machine.lacks(&stage(1, 0, 0, Some("cuda:0,4"))).unwrap();
        assert_eq!(missing, "its device is `cuda:0,4`, and this machine offers 4 GPUs");
    }

    #[test]
    fn a_model_that_no_memory_here_holds_is_refused() {
        let mut large = stage(1, 0, 0, Some("cpu"));
        large.kind = registry::find("pretrain").unwrap().kind;
        let sizes = [
            ("hidden_size", 64),
            ("num_hidden_layers", 1),
            ("intermediate_size", 128),
            ("vocab_size", 300),
        ];
        let heads = [("num_attention_heads", 2), ("num_key_value_heads", 1)];
        let sizes = sizes.into_iter().chain(heads);
        let parameters: BTreeMap<String, serde_json::Value> = test_support::defaults(large.kind)
            .into_iter()
            .chain(sizes.map(|(name, size)| (name.to_owned(), size.into())))
            .chain([("batch_composition".to_owned(), serde_json::json!({"document": 1}))])
            .collect();
        large.parameters = parameters.into();
        let said = slots(&[]).machine.lacks(&large).unwrap();
        assert!(said.contains("take 0.0 GB of memory, and this machine offers 0.0 GB"), "{said}");
        let machine = Machine {
            cpus: 1,
            memory: 1 << 30,
            gpus: Vec::new(),
            is_built_for: |_| true,
            is_cluster: false,
        };
        assert_eq!(machine.lacks(&large), None);
    }

    #[test]
    fn a_missing_key_stops_only_stages_that_ask() {
        let mut asking = stage(1, 0, 0, Some("cpu"));
        asking.kind = registry::find("extract").unwrap().kind;
        let table = serde_json::json!({"url": "http://x/v1", "model": "m", "api": "chat",
            "top_logprobs": 5, "api_key_env": "APEFT_UNSET", "concurrency": 2, "timeout": 5.0,
            "max_retries": 1, "backoff": 0.0, "replay": "record"});
        let named = serde_json::json!({"name": "judge", "table": table});
        let mut parameters: BTreeMap<String, serde_json::Value> =
            [("by", "endpoint".into()), ("endpoint", named)]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
        asking.parameters = parameters.clone().into();
        let machine = slots(&[]).machine;
        let said = machine.lacks(&asking).unwrap();
        assert!(said.contains("`APEFT_UNSET` of the endpoint `judge`"), "{said}");
        parameters.insert("by".to_owned(), "sentences".into());
        asking.parameters = parameters.into();
        assert_eq!(machine.lacks(&asking), None);
    }

    #[test]
    fn a_gpu_of_wgpu_is_given_to_one_stage_at_a_time() {
        let mut slots = slots(&["0"]);
        let first = slots.grant(&stage(1, 0, 0, Some("wgpu:0"))).unwrap();
        assert_eq!((first.visible.as_deref(), first.device), (None, DeviceName::Wgpu(0).into()));
        assert!(slots.grant(&stage(1, 0, 0, Some("wgpu:0"))).is_none(), "it is taken");
        assert!(slots.grant(&stage(1, 0, 0, Some("wgpu:1"))).is_some());
        assert!(slots.grant(&stage(1, 0, 0, Some("cuda:0"))).is_some());
        slots.give_back(first);
        assert!(slots.grant(&stage(1, 0, 0, Some("wgpu:0"))).is_some());
    }

    #[test]
    fn bfloat16_is_refused_where_the_device_has_none() {
        let mut half = stage(1, 0, 0, Some("wgpu:0"));
        half.parameters = BTreeMap::from([("verifier_dtype".to_owned(), "bfloat16".into())]).into();
        let machine = slots(&["0"]).machine;
        assert!(machine.lacks(&half).unwrap().contains("`float32` or `float16`"));
        half.device = Some(DeviceName::Cuda(0).into());
        assert_eq!(machine.lacks(&half), None);
    }

    #[test]
    fn a_program_without_support_for_a_device_says_so() {
        let mut slots = slots(&["0"]);
        slots.machine.is_built_for = |device| device == DeviceName::Cpu;
        for (device, feature) in [("cuda:0", "--features cuda`"), ("wgpu:0", "--features wgpu`")] {
            let said = slots.machine.lacks(&stage(1, 0, 0, Some(device))).unwrap();
            assert!(said.contains(feature), "{said}");
        }
        assert!(slots.machine.lacks(&stage(1, 0, 0, Some("cpu"))).is_none());
    }
}
