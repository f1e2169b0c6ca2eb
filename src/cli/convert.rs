//! `convert`: a model directory is read and written again, in another format, in other files, or with its adapter in it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};

use crate::model::{Adapter, Encoder, LARGEST_FILE, Place, Transformer, copy_companions};

/// What `convert` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft convert models/llama merged --adapter tuned
  apeft convert models/llama models/llama-bf16 --dtype bfloat16 --shard-mb 2000")]
pub(super) struct ConvertArguments {
    /// A Hugging Face model directory.
    pub(super) model: PathBuf,
    /// The directory to write; it must not be there yet, or be empty.
    pub(super) output: PathBuf,
    /// A PEFT directory with a LoRA adapter, which is merged into the weights.
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// The format of the weights; `auto` is that in which they are stored.
    #[arg(long, default_value = "auto", value_name = "FORMAT", value_parser = ["auto", "float32", "bfloat16", "float16"])]
    pub(super) dtype: String,
    /// The largest file of weights, in megabytes of a million bytes.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) shard_mb: Option<u32>,
}

/// Reads and writes.
///
/// # Errors
/// Where the model or its adapter cannot be read, or the output is there already.
pub(super) fn run(arguments: &ConvertArguments) -> anyhow::Result<()> {
    let ConvertArguments { model: from, output, .. } = arguments;
    let is_taken = fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        bail!("{} is not empty; name a directory that is not there yet", output.display());
    }
    let format = match arguments.dtype.as_str() {
        "auto" => Transformer::stored_format(from)?.name(),
        named => named,
    };
    let mut model = Transformer::load(from, &Place::named("cpu", format)?)?;
    let encoder = Encoder::load(from, &model.config)?;
    let mut remarks = Transformer::remarks(from)?;
    remarks.extend_from_slice(encoder.remarks());
    if let Some(adapter) = &arguments.adapter {
        Adapter::load(adapter, &mut model)?;
        remarks.extend(Adapter::remarks(adapter, from)?);
    }
    remarks.iter().for_each(|remark| say!("warning: {remark}"));
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    let largest = arguments.shard_mb.map_or(LARGEST_FILE, |megabytes| megabytes as usize * 1_000_000);
    model.merge().save(output, largest)?;
    copy_companions(from, output)?;
    Ok(())
}
