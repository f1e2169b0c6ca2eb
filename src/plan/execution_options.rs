//! Execution options of every stage: resources, retries, timeout and device. Only the backend is
//! part of the key.

use std::{ops::RangeInclusive, time::Duration};

use jiff::SignedDuration;

use super::{graph::Resources, unit::FilledFields};
use crate::{
    device::DeviceNames,
    diagnostic::{Problem, Problems, Span, suggestion},
    recipe::{Data, Node, check, schema::Shape},
};

/// Upper bounds against typing errors and overflow.
const MOST_RETRIES: u32 = 1000;
const MOST_CPUS: u32 = 1_000_000;
const MOST_GPUS: u32 = 10_000;
/// Bytes.
const MOST_MEMORY: f64 = 1e18;
/// Seconds.
const SHORTEST_TIMEOUT: f64 = 0.001;
/// A hundred years; larger values overflow clocks.
const LONGEST_TIMEOUT: f64 = 36_500.0 * 86_400.0;

/// Execution options of a stage.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) resources: Resources,
    pub(super) retries: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) device: DeviceNames,
}

impl Common {
    /// Reads the options [defaults: no retry, no timeout, the CPU].
    pub(super) fn read(fields: &FilledFields<'_>, problems: &mut Problems) -> Self {
        let resources = Resources { cpus: 0, memory: 0, gpus: 0 };
        let device = DeviceNames::default();
        let mut common = Self { resources, retries: 0, timeout: None, device };
        if let Some(node) = fields.get("resources") {
            common.resources = read_resources(node, resources, problems);
        }
        if let Some(node) = fields.get("retries") {
            common.retries = whole(node, "retries", 0..=MOST_RETRIES, problems).unwrap_or(0);
        }
        if let Some(node) = fields.get("timeout") {
            common.timeout = read_timeout(node, problems);
        }
        if let Some(node) = fields.get("device") {
            match node.as_text() {
                Some(text) => {
                    common.device = read_device(text, &node.span, problems).unwrap_or_default();
                    common.check_gpus(&node.span, problems);
                }
                None => drop(check(node, &Shape::Text, "device", problems)),
            }
        }
        common
    }

    /// `resources.gpus` replaces the numbers of the devices, but not how many they are.
    fn check_gpus(&self, span: &Span, problems: &mut Problems) {
        let (devices, gpus) = (self.device.count(), self.resources.gpus as usize);
        if devices > 1 && (1..devices).contains(&gpus) {
            let problem = format!("`device` names {devices} devices, and `resources.gpus` {gpus}");
            let right = format!("set `resources.gpus` to {devices}, or remove it");
            problems.push(Problem::error(problem).at(span, right));
        }
    }
}

/// Devices by their name.
pub(super) fn read_device(text: &str, span: &Span, problems: &mut Problems) -> Option<DeviceNames> {
    let read = text.parse().ok();
    if read.is_none() {
        let problem = Problem::error(format!("there is no device `{text}`"));
        let problem =
            problem.at(span, "\"cpu\", \"cuda:N\" or \"wgpu:N\" is expected, N being a GPU from 0");
        problems.push(match text {
            "cuda" | "gpu" => problem.help("did you mean `cuda:0`?"),
            "wgpu" | "vulkan" | "metal" => problem.help("did you mean `wgpu:0`?"),
            _ if text.contains(',') => {
                problem.help("several GPUs are named by different numbers: \"cuda:0,1\"")
            }
            _ => problem,
        });
    }
    read
}

fn whole(
    node: &Node,
    name: &str,
    range: RangeInclusive<u32>,
    problems: &mut Problems,
) -> Option<u32> {
    let (least, most) = (i64::from(*range.start()), i64::from(*range.end()));
    let value = check(node, &Shape::Integer { least, most }, name, problems)?;
    value.as_u64().and_then(|value| u32::try_from(value).ok())
}

fn read_resources(node: &Node, mut resources: Resources, problems: &mut Problems) -> Resources {
    let example = "a table is expected, e.g. { cpus = 2, memory = \"4 GB\", gpus = 1 }";
    let Some(table) = node.as_table() else {
        problems.push(
            Problem::error(format!("`resources` is {}", node.what())).at(&node.span, example),
        );
        return resources;
    };
    for entry in &table.0 {
        match &*entry.key {
            "cpus" => {
                resources.cpus = whole(&entry.value, "resources.cpus", 1..=MOST_CPUS, problems)
                    .unwrap_or(resources.cpus);
            }
            "gpus" => {
                resources.gpus = whole(&entry.value, "resources.gpus", 0..=MOST_GPUS, problems)
                    .unwrap_or(resources.gpus)
            }
            "memory" => resources.memory = read_memory(&entry.value, problems),
            key => {
                let problem = Problem::error(format!("`resources` has no `{key}`"))
                    .at(&entry.key_span, "unknown key");
                problems.push(problem.help(suggestion(
                    key,
                    "resources",
                    &["cpus", "memory", "gpus"],
                )));
            }
        }
    }
    resources
}

fn read_memory(node: &Node, problems: &mut Problems) -> u64 {
    const UNITS: [(&str, f64); 9] = [
        ("", 1.0),
        ("b", 1.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("tb", 1e12),
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
    ];
    let right = match quantity(node, &UNITS) {
        Some(bytes) if (0.0..=MOST_MEMORY).contains(&bytes) => return bytes as u64,
        Some(bytes) if bytes > 0.0 => "at most 1000 PB is expected",
        _ => "a number of bytes or a text like \"4 GB\" is expected",
    };
    let problem = Problem::error(format!("`resources.memory` cannot be {}", shown(node)));
    problems.push(problem.at(&node.span, right));
    0
}

fn read_timeout(node: &Node, problems: &mut Problems) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("", 1.0),
        ("s", 1.0),
        ("sec", 1.0),
        ("m", 60.0),
        ("min", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
        ("ms", 0.001),
    ];
    // Days, bare numbers and capital letters are ours; jiff adds compounds and long words.
    let seconds = quantity(node, &UNITS).or_else(|| compound(node)).filter(|time| *time > 0.0);
    let duration = seconds.filter(|seconds| (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(seconds));
    let duration = duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if duration.is_none() {
        let problem = Problem::error(format!("`timeout` cannot be {}", shown(node)));
        if seconds.is_some() {
            let label = "1 ms to 36500 d is expected";
            problems.push(
                problem
                    .at(&node.span, label)
                    .help("without `timeout` an attempt may take as long as it likes"),
            );
            return None;
        }
        let label =
            "a number of seconds or a text like \"90 s\", \"10 min\" or \"2 h\" is expected";
        problems.push(problem.at(&node.span, label));
    }
    duration
}

/// Seconds of a text such as "1 h 30 min" or "2 hours".
fn compound(node: &Node) -> Option<f64> {
    let duration: SignedDuration = node.as_text()?.parse().ok()?;
    Some(duration.as_secs_f64())
}

fn shown(node: &Node) -> String {
    node.as_word().map_or_else(|| node.what().to_owned(), |word| format!("`{word}`"))
}

/// A number with a unit, e.g. "4 GB"; without a unit, "".
fn quantity(node: &Node, units: &[(&str, f64)]) -> Option<f64> {
    match &node.data {
        Data::Integer(integer) => Some(*integer as f64),
        Data::Number(number) => number.is_finite().then_some(*number),
        Data::Text(text) => {
            let text = text.trim();
            let digits = text
                .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .unwrap_or(text.len());
            let unit = text[digits..].trim().to_lowercase();
            let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
            Some(text[..digits].parse::<f64>().ok()? * factor)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn text(text: &str) -> Node {
        Node::new(Data::Text(text.into()), Span::whole(&Source::new("x", text)))
    }

    #[test]
    fn quantities_are_read_with_their_units() {
        let mut problems = Problems::default();
        let memory: Vec<u64> =
            ["4 GB", "1.5 KiB", "7"].map(|size| read_memory(&text(size), &mut problems)).to_vec();
        assert_eq!(memory, [4_000_000_000, 1536, 7]);
        for (time, seconds) in [
            ("90 s", 90.0),
            ("10min", 600.0),
            ("2 h", 7200.0),
            ("2 H", 7200.0),
            ("7", 7.0),
            ("1.5 d", 129_600.0),
            (".5 s", 0.5),
            ("250 ms", 0.25),
            ("1 h 30 min", 5400.0),
            ("1h30m", 5400.0),
            ("2 hours", 7200.0),
        ] {
            let found = read_timeout(&text(time), &mut problems);
            assert_eq!(found, Some(Duration::from_secs_f64(seconds)), "{time}");
        }
        assert!(problems.is_empty());
        for wrong in ["", "-1 s", "1 h ago", "ten", "0", "1 year", "1e400"] {
            assert_eq!(read_timeout(&text(wrong), &mut problems), None);
        }
        assert!(problems.errors() > 0);
    }

    #[test]
    fn devices_are_the_cpu_and_numbered_gpus() {
        for (device, errors) in [
            ("cpu", 0),
            ("cuda:0", 0),
            ("cuda:12", 0),
            ("cuda:0,1", 0),
            ("cuda:0,cuda:1", 1),
            ("cuda:1,1", 1),
            ("cuda", 1),
            ("cuda:x", 1),
            ("tpu", 1),
        ] {
            let mut problems = Problems::default();
            read_device(device, &text(device).span, &mut problems);
            assert_eq!(problems.errors(), errors, "{device}");
        }
    }
}
