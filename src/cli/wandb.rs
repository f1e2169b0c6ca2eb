//! `--wandb`: metrics of training stages as offline runs of Weights & Biases, in the run's folder.
//! `wandb sync` uploads them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;

use super::protobuf::{add_bytes, add_integer};
use crate::{
    plan::{Plan, PlannedStage},
    rows::json_lines,
    schedule::{RunLabel, RunOutcome},
};

/// Begins a file of records: a name, a magic number and the version of the format.
const HEADER: [u8; 7] = *b":W&B\xe1\xbe\0";
/// Fragments of records do not cross blocks of this length; a block begins with the file.
const BLOCK: usize = 32 * 1024;
/// Checksum, length and kind of a fragment.
const FRAGMENT_HEADER: usize = 7;
/// The oldest version of `wandb` that reads these records.
const OLDEST_READER: &str = "0.70.0";

/// Writes an offline run for each stage that has metrics, cached ones included. One that cannot be
/// written is warned of, and fails nothing.
pub(super) fn write_offline_runs(plan: &Plan, label: Option<&RunLabel>, outcome: &RunOutcome) {
    let stages: BTreeMap<&str, &PlannedStage> =
        plan.graph.node_weights().map(|stage| (&*stage.name, stage)).collect();
    for made in &outcome.stages {
        let (Some(stage), Some(key)) = (stages.get(&*made.name), made.key) else { continue };
        let metrics = made.artifact.as_ref().map(|artifact| artifact.join("metrics.jsonl"));
        let Some(metrics) = metrics.filter(|metrics| metrics.is_file()) else { continue };
        // The same artifact is the same run, so that a second upload replaces the first one.
        let id = key.to_string()[..16].to_owned();
        let run = OfflineRun { plan, label, outcome, stage, id, seconds: made.seconds };
        if let Err(error) = run.write(&metrics) {
            say!("warning: cannot write the W&B run of {}: {error}", made.name);
        }
    }
}

/// The offline run of a stage.
struct OfflineRun<'a> {
    plan: &'a Plan,
    label: Option<&'a RunLabel>,
    outcome: &'a RunOutcome,
    stage: &'a PlannedStage,
    id: String,
    seconds: f64,
}

impl OfflineRun<'_> {
    fn write(&self, metrics: &Path) -> io::Result<()> {
        let now = Timestamp::now();
        let rows: Vec<BTreeMap<String, Value>> =
            json_lines::read(metrics).map_err(|error| io::Error::other(error.to_string()))?;
        let mut records = Records::new();
        records.add(Records::HEADER, &header());
        records.add(Records::RUN, &self.run(now));
        for row in &rows {
            let step = row.get("step").and_then(Value::as_u64).unwrap_or_default();
            let values = row.iter().filter(|(name, value)| *name != "step" && value.is_number());
            let mut items: Vec<(&str, String)> =
                values.map(|(name, value)| (&**name, value.to_string())).collect();
            items.push(("_step", step.to_string()));
            records.add(Records::HISTORY, &history(&items, step));
        }
        records.add(Records::SUMMARY, &summary(&rows));
        records.add(Records::EXIT, &exit(self.seconds));
        let folder = self.folder(now);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("run-{}.wandb", self.id)), records.bytes)
    }

    /// A folder by whose name `wandb sync` finds it.
    fn folder(&self, now: Timestamp) -> PathBuf {
        let time = now.strftime("%Y%m%d_%H%M%S");
        self.outcome.folder.join("wandb").join(format!("offline-run-{time}-{}", self.id))
    }

    /// The message `RunRecord`.
    fn run(&self, now: Timestamp) -> Vec<u8> {
        let mut run = Vec::new();
        add_bytes(&mut run, 1, self.id.as_bytes());
        add_bytes(&mut run, 3, self.plan.recipe.as_bytes());
        add_bytes(&mut run, 4, &self.config());
        add_bytes(&mut run, 6, self.outcome.run.as_bytes());
        add_bytes(&mut run, 7, self.stage.kind.name.as_bytes());
        add_bytes(&mut run, 8, self.stage.name.as_bytes());
        if let Some(note) = self.label.and_then(|label| label.note.as_ref()) {
            add_bytes(&mut run, 9, note.as_bytes());
        }
        for tag in self.label.iter().flat_map(|label| &label.tags) {
            add_bytes(&mut run, 10, tag.as_bytes());
        }
        let mut start = Vec::new();
        add_integer(&mut start, 1, now.as_second().unsigned_abs());
        add_bytes(&mut run, 17, &start);
        run
    }

    /// The message `ConfigRecord`: matrix variables, parameters and the seed.
    fn config(&self) -> Vec<u8> {
        let values = self.stage.cell.values.iter();
        let mut fields: BTreeMap<&str, Value> =
            values.map(|(variable, value)| (&**variable, value.as_str().into())).collect();
        let parameters = self.stage.parameters.iter();
        fields.extend(parameters.map(|(name, value)| (&**name, value.clone())));
        fields.extend(self.stage.seed.map(|seed| ("seed", seed.into())));
        let mut config = Vec::new();
        for (name, value) in fields {
            add_bytes(&mut config, 1, &item(1, name, &value.to_string()));
        }
        config
    }
}

/// The message `HeaderRecord`.
fn header() -> Vec<u8> {
    let mut versions = Vec::new();
    add_bytes(&mut versions, 1, concat!("apeft ", env!("CARGO_PKG_VERSION")).as_bytes());
    add_bytes(&mut versions, 2, OLDEST_READER.as_bytes());
    let mut header = Vec::new();
    add_bytes(&mut header, 1, &versions);
    header
}

/// The message `HistoryRecord`: values of a step as JSON.
fn history(items: &[(&str, String)], step: u64) -> Vec<u8> {
    let mut history = Vec::new();
    for (name, value) in items {
        add_bytes(&mut history, 1, &item(2, name, value));
    }
    let mut number = Vec::new();
    add_integer(&mut number, 1, step);
    add_bytes(&mut history, 2, &number);
    history
}

/// The message `SummaryRecord`: the last value of each metric.
fn summary(rows: &[BTreeMap<String, Value>]) -> Vec<u8> {
    let values = rows.iter().flatten().filter(|(_, value)| value.is_number());
    let last: BTreeMap<&str, &Value> = values.map(|(name, value)| (&**name, value)).collect();
    let mut summary = Vec::new();
    for (name, value) in last {
        let name = if name == "step" { "_step" } else { name };
        add_bytes(&mut summary, 1, &item(2, name, &value.to_string()));
    }
    summary
}

/// The message `RunExitRecord` of a run that succeeded.
fn exit(seconds: f64) -> Vec<u8> {
    let mut exit = Vec::new();
    add_integer(&mut exit, 2, seconds as u64);
    exit
}

/// A named value in JSON; the name is field 1 of a configuration's item, 2 where names may nest.
fn item(name_field: u64, name: &str, value: &str) -> Vec<u8> {
    let mut item = Vec::new();
    add_bytes(&mut item, name_field, name.as_bytes());
    add_bytes(&mut item, 16, value.as_bytes());
    item
}

/// A file of records, in the format of LevelDB's logs behind W&B's header.
struct Records {
    bytes: Vec<u8>,
    written: u64,
}

impl Records {
    /// Fields of the message `Record`.
    const HISTORY: u64 = 2;
    const SUMMARY: u64 = 3;
    const RUN: u64 = 17;
    const EXIT: u64 = 18;
    const HEADER: u64 = 21;

    fn new() -> Self {
        Self { bytes: HEADER.to_vec(), written: 0 }
    }

    /// Adds a numbered message.
    fn add(&mut self, field: u64, message: &[u8]) {
        self.written += 1;
        let mut record = Vec::new();
        add_integer(&mut record, 1, self.written);
        add_bytes(&mut record, field, message);
        let mut rest = &record[..];
        let mut is_first = true;
        while is_first || !rest.is_empty() {
            let left = self.left_in_block();
            let (fragment, after) = rest.split_at(rest.len().min(left - FRAGMENT_HEADER));
            let kind = match (is_first, after.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.add_fragment(kind, fragment);
            (rest, is_first) = (after, false);
        }
    }

    /// Bytes left in a block that has room for the header of a fragment.
    fn left_in_block(&mut self) -> usize {
        let left = BLOCK - self.bytes.len() % BLOCK;
        if left >= FRAGMENT_HEADER {
            return left;
        }
        self.bytes.resize(self.bytes.len() + left, 0);
        BLOCK
    }

    fn add_fragment(&mut self, kind: u8, fragment: &[u8]) {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&[kind]);
        checksum.update(fragment);
        self.bytes.extend(checksum.finalize().to_le_bytes());
        self.bytes.extend((fragment.len() as u16).to_le_bytes());
        self.bytes.push(kind);
        self.bytes.extend(fragment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The eleventh record that wandb 0.31.0 wrote for `log({"loss": 1.4, ...}, step=10)`.
    const WRITTEN_BY_WANDB: &str = "57d677197d0001080b12790a0c12046c6f7373820103312e340a17120f7265\
        77617264732f6d617267696e73820103302e320a25120a5f74696d657374616d70820116312e373935383831343\
        63339323435373931652b30390a1712085f72756e74696d6582010a332e37343730383633340a0c12055f737465\
        7082010231301202080a";

    #[test]
    fn a_record_has_the_bytes_of_wandb() {
        let items = [
            ("loss", "1.4"),
            ("rewards/margins", "0.2"),
            ("_timestamp", "1.7958814639245791e+09"),
            ("_runtime", "3.74708634"),
            ("_step", "10"),
        ];
        let items = items.map(|(name, value)| (name, value.to_owned()));
        let mut records = Records { bytes: Vec::new(), written: 10 };
        records.add(Records::HISTORY, &history(&items, 10));
        let hex: String = records.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, WRITTEN_BY_WANDB);
    }

    /// A block is filled to its last seven bytes; fewer stay zero.
    #[test]
    fn records_are_cut_at_blocks() {
        for spare in 0..2 * FRAGMENT_HEADER {
            let mut records = Records::new();
            records.bytes.resize(BLOCK - spare, 0);
            records.add(Records::SUMMARY, &[7; 2 * BLOCK]);
            assert_eq!(message(&records.bytes[BLOCK - spare..], spare), {
                let mut record = vec![8, 1];
                add_bytes(&mut record, Records::SUMMARY, &[7; 2 * BLOCK]);
                record
            });
        }
    }

    /// Joins the fragments of a record, the first of which begins `left` bytes before a block ends.
    fn message(mut bytes: &[u8], mut left: usize) -> Vec<u8> {
        let mut message = Vec::new();
        let mut kinds = Vec::new();
        while !bytes.is_empty() {
            if left < FRAGMENT_HEADER {
                assert!(bytes[..left].iter().all(|byte| *byte == 0));
                (bytes, left) = (&bytes[left..], BLOCK);
            }
            let length = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            assert!(FRAGMENT_HEADER + length <= left, "{length} in {left}");
            let checksum = crc32fast::hash(&bytes[6..FRAGMENT_HEADER + length]);
            assert_eq!(bytes[..4], checksum.to_le_bytes());
            kinds.push(bytes[6]);
            message.extend(&bytes[FRAGMENT_HEADER..FRAGMENT_HEADER + length]);
            bytes = &bytes[FRAGMENT_HEADER + length..];
            left -= FRAGMENT_HEADER + length;
        }
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), (2, 4), "{kinds:?}");
        assert!(kinds[1..kinds.len() - 1].iter().all(|kind| *kind == 3), "{kinds:?}");
        message
    }
}
