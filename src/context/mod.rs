//! What a kind of stage works with: its context, artifact types, events, devices, and the guard of
//! programs.

pub mod artifact;
mod attempt;
mod backend;
pub mod ending;
mod files;
pub mod guard;
#[cfg(test)]
pub(crate) mod test_memory;
#[cfg(test)]
pub(crate) mod test_support;

pub use attempt::{Context, EventSink, InputPath, StageError, StageEvent, file_of};
pub use backend::{
    DeviceError, HostMemory, backend, count_of_kind, gpus, host, host_memory, is_built_for,
    processor,
};
pub use files::{CsvWriter, is_file_of, read_json, write_csv, write_json};
