//! `convert`: rewrites a model directory with another dtype, other shards, or a merged adapter, or
//! writes a GGUF file as a model directory.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{
    run_name::{self, FoundStage},
    shared_args::ExperimentsArguments,
};
use crate::{
    device::DeviceName,
    model::{
        Adapter, DTYPES, Encoder, GgufModel, LARGEST_FILE, Placement, Transformer, copy_companions,
    },
    report::model_card,
    schedule::CARD,
};

/// Arguments of `convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft convert models/llama merged --adapter tuned
  apeft convert models/llama models/llama-bf16 --dtype bfloat16 --shard-mb 2000
  apeft convert llama-q4_k_m.gguf models/llama
  apeft convert quickstart:tuned@seed=0 published

From RUN:STAGE it also writes a model card with parameters, data, recipe and scores.")]
pub(super) struct ConvertArguments {
    /// Hugging Face model directory, RUN:STAGE, or GGUF file.
    pub(super) model: PathBuf,
    /// Output directory; must be new or empty.
    pub(super) output: PathBuf,
    /// PEFT directory of a LoRA adapter to merge into the weights, or RUN:STAGE.
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// Number format of the weights; `auto` keeps the stored one, and float32 for quantised ones.
    #[arg(long, default_value = "auto", value_name = "FORMAT", value_parser = DTYPES.to_vec())]
    pub(super) dtype: String,
    /// Maximum size of a weights file in MB.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) shard_mb: Option<u32>,
    #[command(flatten)]
    pub(super) experiments: ExperimentsArguments,
}

/// Reads and writes.
///
/// # Errors
/// If the model or its adapter cannot be read, or the output exists.
pub(super) fn run(arguments: &ConvertArguments) -> anyhow::Result<()> {
    let ConvertArguments { output, experiments, .. } = arguments;
    let stage = run_name::stage(experiments, &arguments.model)?;
    let from = stage.as_ref().map_or(&arguments.model, |stage| &stage.folder);
    // Old shards beside new ones would be read as one model.
    let is_taken = fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        bail!("{} is not empty; name a new directory", output.display());
    }
    let largest =
        arguments.shard_mb.map_or(LARGEST_FILE, |megabytes| megabytes as usize * 1_000_000);
    if from.is_file() {
        return convert_file(arguments, largest);
    }
    if let Some(stage) = stage.as_ref().filter(|stage| !stage.folder.join("config.json").exists()) {
        return convert_adapter(stage, output);
    }
    let format = match arguments.dtype.as_str() {
        "auto" => Transformer::stored_format(from)?.name(),
        named => named,
    };
    // On the CPU: weights are only rewritten, and may not fit into a GPU.
    let mut model = Transformer::load(from, &Placement::named(DeviceName::Cpu, format)?)?;
    let encoder = Encoder::load(from, &model.config)?;
    let mut remarks = Transformer::remarks(from)?;
    remarks.extend_from_slice(encoder.remarks());
    if let Some(adapter) = &arguments.adapter {
        let adapter = run_name::folder(experiments, adapter)?;
        Adapter::load(&adapter, &mut model)?;
        remarks.extend(Adapter::remarks(&adapter, from)?);
    }
    remarks.iter().for_each(|remark| say!("warning: {remark}"));
    let draft = draft_of(output)?;
    model.merge().save(draft.path(), largest)?;
    copy_companions(from, draft.path())?;
    write_card(stage.as_ref(), from, draft.path())?;
    finish(draft, output)
}

/// Writes the model card: of a stage with what its run tells, else the directory's own.
fn write_card(stage: Option<&FoundStage>, from: &Path, output: &Path) -> anyhow::Result<()> {
    let written = match stage {
        Some(FoundStage { run, history, folder }) => model_card(history, &run.folder, folder),
        None => fs::read_to_string(from.join(CARD)).ok(),
    };
    let Some(text) = written else { return Ok(()) };
    fs::write(output.join(CARD), text).context("cannot write the model card")
}

/// Copies the adapter of a stage that wrote no model, with the path of its base model, by which
/// PEFT finds it.
fn convert_adapter(stage: &FoundStage, output: &Path) -> anyhow::Result<()> {
    let [config, weights] = Adapter::files(&stage.folder);
    // Copied as it is: what was read and written again could lose a field.
    let draft = draft_of(output)?;
    let reading = || format!("cannot read {}", config.display());
    let mut fields: serde_json::Value =
        serde_json::from_slice(&fs::read(&config).with_context(reading)?).with_context(reading)?;
    let base = stage.history.base_of(&stage.folder);
    if fields["base_model_name_or_path"] == ""
        && let Some(base) = base
    {
        fields["base_model_name_or_path"] = base.display().to_string().into();
    }
    let writing = || format!("cannot write the adapter to {}", output.display());
    fs::write(draft.path().join("adapter_config.json"), format!("{fields:#}\n"))
        .with_context(writing)?;
    let copy = draft.path().join("adapter_model.safetensors");
    // Not `fs::copy`: the store's file is read-only, and the copy has the mode of any new file.
    let mut stored = File::open(&weights).with_context(writing)?;
    io::copy(&mut stored, &mut File::create(&copy).with_context(writing)?).with_context(writing)?;
    write_card(Some(stage), &stage.folder, draft.path())?;
    finish(draft, output)
}

/// A directory beside the output, which is removed unless it is finished: a failure or kill leaves
/// no half of a model under the output's name.
fn draft_of(output: &Path) -> anyhow::Result<TempDir> {
    let making = || format!("cannot make {}", output.display());
    let name = output.file_name().with_context(|| {
        format!("{} is no name of a directory; name a new one", output.display())
    })?;
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(making)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    // The mode of any new directory, as the umask leaves it; drafts are private by default.
    let mode = Permissions::from_mode(0o777);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(mode).tempdir_in(parent).with_context(making)
}

/// Gives a draft its name.
fn finish(draft: TempDir, output: &Path) -> anyhow::Result<()> {
    fs::rename(draft.path(), output)
        .with_context(|| format!("cannot move the model to {}", output.display()))?;
    // It is no draft any more.
    let _ = draft.keep();
    Ok(())
}

/// Writes a GGUF file as a directory.
fn convert_file(arguments: &ConvertArguments, largest: usize) -> anyhow::Result<()> {
    let ConvertArguments { model: from, output, .. } = arguments;
    if arguments.adapter.is_some() {
        bail!(
            "an adapter cannot be merged into {}; convert the GGUF file first, then merge the \
            adapter into the directory",
            from.display()
        );
    }
    let model = GgufModel::open(from)?;
    // Before anything is written: a directory without a usable tokenizer or template is no model.
    let (_, encoder) = model.check_whole().map_err(anyhow::Error::msg)?;
    let draft = draft_of(output)?;
    let mut remarks = model.write(draft.path(), &arguments.dtype, largest)?;
    remarks.extend_from_slice(encoder.remarks());
    remarks.iter().for_each(|remark| say!("warning: {remark}"));
    finish(draft, output)
}
