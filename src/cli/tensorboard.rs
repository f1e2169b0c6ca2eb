//! `--tensorboard`: metrics of training stages as TensorBoard's event files, in the run's folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::protobuf::{EIGHT_BYTES, FOUR_BYTES, add_bytes, add_integer, add_tag};
use crate::{
    context::StageEvent,
    rows::json_lines,
    schedule::{
        RunOutcome,
        event::{RunEvent, Timed},
        journal::safe_name,
    },
};

/// Writes event files as metrics come, and those of whole stages when they are done.
pub(super) struct EventFiles {
    /// Log of each running stage, which is in the run's folder.
    logs: BTreeMap<String, PathBuf>,
    files: BTreeMap<String, EventFile>,
    /// Time of the last event in seconds.
    now: f64,
}

/// An event file of one stage: records of a length, its checksum, an event, and its checksum.
struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFiles {
    pub(super) fn new() -> Self {
        Self { logs: BTreeMap::new(), files: BTreeMap::new(), now: 0.0 }
    }

    /// Notes an event of the run. A file that cannot be written is warned of, and fails nothing.
    pub(super) fn handle(&mut self, timed: &Timed) {
        self.now = timed.at as f64 / 1000.0;
        let done = match &timed.event {
            RunEvent::StageStarted { stage, log, .. } => {
                // Another attempt may begin at an earlier step.
                self.files.remove(stage);
                self.logs.insert(stage.clone(), PathBuf::from(log));
                Ok(())
            }
            RunEvent::StageReported { stage, report: StageEvent::Metrics { step, values } } => {
                self.add(stage, *step, values)
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            say!("warning: cannot write TensorBoard's events: {error}");
        }
    }

    fn add(&mut self, stage: &str, step: u64, values: &[(String, f64)]) -> io::Result<()> {
        if !self.files.contains_key(stage) {
            let run = self.logs.get(stage).and_then(|log| log.parent()?.parent());
            let Some(run) = run else { return Ok(()) };
            self.files.insert(stage.to_owned(), EventFile::create(run, stage, self.now)?);
        }
        let values = values.iter().map(|(name, value)| (name.as_str(), *value));
        self.files.get_mut(stage).map_or(Ok(()), |file| file.write(self.now, step, values))
    }

    /// Writes the metrics of all artifacts: also of cached stages and steps before a resumption.
    pub(super) fn conclude(mut self, outcome: &RunOutcome) {
        for stage in &outcome.stages {
            let metrics = stage.artifact.as_ref().map(|artifact| artifact.join("metrics.jsonl"));
            let Some(metrics) = metrics.filter(|metrics| metrics.is_file()) else { continue };
            // The same steps twice would be drawn twice.
            if let Some(begun) = self.files.remove(&stage.name) {
                let _ = fs::remove_file(begun.path);
            }
            if let Err(error) = write_whole(&outcome.folder, &stage.name, &metrics, self.now) {
                say!("warning: cannot write TensorBoard's events of {}: {error}", stage.name);
            }
        }
    }
}

/// Writes the rows of a file of metrics.
fn write_whole(run: &Path, stage: &str, metrics: &Path, now: f64) -> io::Result<()> {
    let rows: Vec<BTreeMap<String, Value>> =
        json_lines::read(metrics).map_err(|error| io::Error::other(error.to_string()))?;
    let mut file = EventFile::create(run, stage, now)?;
    for row in rows {
        let step = row.get("step").and_then(Value::as_u64).unwrap_or_default();
        let values = row.iter().filter(|(name, _)| *name != "step");
        file.write(now, step, values.filter_map(|(name, value)| Some((&**name, value.as_f64()?))))?;
    }
    Ok(())
}

impl EventFile {
    fn create(run: &Path, stage: &str, now: f64) -> io::Result<Self> {
        let folder = run.join("tensorboard").join(safe_name(stage));
        fs::create_dir_all(&folder)?;
        // TensorBoard finds files by this part of their name, and reads them in its order.
        let path = folder.join(format!("events.out.tfevents.{:.0}.apeft", now * 1000.0));
        let mut file = Self { file: File::create(&path)?, path };
        let mut event = time_and_step(now, 0);
        add_bytes(&mut event, 3, b"brain.Event:2");
        file.record(&event)?;
        Ok(file)
    }

    /// Writes an event with scalars.
    fn write<'a>(
        &mut self,
        now: f64,
        step: u64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let mut summary = Vec::new();
        for (name, value) in values {
            let mut scalar = Vec::new();
            add_bytes(&mut scalar, 1, name.as_bytes());
            add_tag(&mut scalar, 2, FOUR_BYTES);
            // The format has no more digits.
            scalar.extend((value as f32).to_le_bytes());
            add_bytes(&mut summary, 1, &scalar);
        }
        let mut event = time_and_step(now, step);
        add_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> io::Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(checksum(&length)).to_le_bytes());
        record.extend(event);
        record.extend(masked(checksum(event)).to_le_bytes());
        // In one write, so that a reader meets whole records.
        self.file.write_all(&record)
    }
}

/// An event's first fields in Protocol Buffers: wall time and step.
fn time_and_step(now: f64, step: u64) -> Vec<u8> {
    let mut event = Vec::new();
    add_tag(&mut event, 1, EIGHT_BYTES);
    event.extend(now.to_le_bytes());
    add_integer(&mut event, 2, step);
    event
}

/// CRC-32C (Castagnoli), bit by bit: an event has a few hundred bytes.
fn checksum(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |sum: u32| (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg());
    let sum =
        bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)));
    !sum
}

/// A checksum as TensorFlow's records have it, which may be part of data that is summed again.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C (RFC 3720), and a record that TensorFlow's writer gives.
    #[test]
    fn checksums_are_those_of_tensorflow() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(0), 0xa282_ead8);
    }

    #[test]
    fn an_event_is_the_published_message() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), "tuned@seed=0", 1.5).unwrap();
        file.write(1.5, 300, [("loss", 0.5)].into_iter()).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        let first = 8 + 4 + 26 + 4;
        assert_eq!(bytes[..8], 26_u64.to_le_bytes());
        assert!(bytes[12..first].windows(13).any(|part| part == b"brain.Event:2"));
        let event = &bytes[first + 12..bytes.len() - 4];
        let mut expected = vec![0x09];
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 13, 0x0a, 11, 0x0a, 4]);
        expected.extend(b"loss");
        expected.push(0x15);
        expected.extend(0.5_f32.to_le_bytes());
        assert_eq!(event, expected);
    }
}
