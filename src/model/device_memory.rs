//! Memory of a device: of the host for the CPU, of the card for an NVIDIA GPU.

use std::process::{Command, Stdio};

use super::{gpus::gpus, host_memory::host_memory};
use crate::device::DeviceName;

/// Bytes of memory of a device, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceMemory {
    /// All of it that this process may use.
    pub total: Option<u64>,
    /// What no program uses.
    pub free: Option<u64>,
}

/// One line of `nvidia-smi`.
#[derive(Debug, PartialEq)]
struct Card {
    index: String,
    uuid: String,
    memory: DeviceMemory,
}

/// Memory of a device; unknown on GPUs of other vendors, whose drivers name no common figure.
pub fn device_memory(name: DeviceName) -> DeviceMemory {
    match name {
        DeviceName::Cpu => {
            let memory = host_memory();
            DeviceMemory { total: memory.limit, free: memory.free }
        }
        DeviceName::Cuda(number) => {
            let visible = gpus();
            let Some(gpu) = visible.get(usize::from(number)) else {
                return DeviceMemory::default();
            };
            of_gpu(gpu, &cards(&nvidia_smi()))
        }
        DeviceName::Wgpu(_) => DeviceMemory::default(),
    }
}

/// What the driver's own program says of all cards; nothing where it is missing, as under Jetson.
fn nvidia_smi() -> String {
    let mut command = Command::new("nvidia-smi");
    command
        .args(["--query-gpu=index,uuid,memory.total,memory.free", "--format=csv,noheader,nounits"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn cards(text: &str) -> Vec<Card> {
    let lines = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [index, uuid, total, free] = fields[..] else { return None };
        let bytes = |mebibytes: &str| mebibytes.parse::<u64>().ok().map(|count| count << 20);
        let memory = DeviceMemory { total: bytes(total), free: bytes(free) };
        Some(Card { index: index.to_owned(), uuid: uuid.to_owned(), memory })
    });
    lines.collect()
}

/// The memory of a GPU by its name in `CUDA_VISIBLE_DEVICES`.
fn of_gpu(name: &str, cards: &[Card]) -> DeviceMemory {
    if let Some(card) = cards.iter().find(|card| card.uuid.starts_with(name)) {
        return card.memory;
    }
    // CUDA may count cards in another order than `nvidia-smi`, which matters if they differ.
    let Some(first) = cards.first() else { return DeviceMemory::default() };
    if cards.iter().any(|card| card.memory.total != first.memory.total) {
        return DeviceMemory::default();
    }
    let same = cards.iter().find(|card| card.index == name).filter(|_| cards.len() == 1);
    DeviceMemory { total: first.memory.total, free: same.and_then(|card| card.memory.free) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "0, GPU-11aa, 81559, 80995\n1, GPU-22bb, 81559, 1000\n";

    #[test]
    fn memory_of_a_card_is_what_the_driver_says() {
        let memory = |name: &str, text: &str| of_gpu(name, &cards(text));
        let mebibytes = |count: u64| Some(count << 20);
        assert_eq!(
            memory("GPU-22", TWO),
            DeviceMemory { total: mebibytes(81_559), free: mebibytes(1000) }
        );
        // By number, either of them is meant.
        assert_eq!(memory("1", TWO), DeviceMemory { total: mebibytes(81_559), free: None });
        let alone = "0, GPU-11aa, 24564, 24000\n";
        assert_eq!(
            memory("0", alone),
            DeviceMemory { total: mebibytes(24_564), free: mebibytes(24_000) }
        );
        let unlike = TWO.replace("81559, 1000", "24564, 1000");
        assert_eq!(memory("0", &unlike), DeviceMemory::default());
        let shared = "0, GPU-33cc, [N/A], [N/A]\n";
        assert_eq!(memory("0", shared), DeviceMemory::default());
        assert_eq!(memory("0", "No devices were found\n"), DeviceMemory::default());
    }

    #[test]
    fn the_cpu_has_the_memory_of_the_host() {
        assert_eq!(device_memory(DeviceName::Cpu).total, host_memory().limit);
    }
}
