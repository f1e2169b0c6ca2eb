//! `apeft export` and `apeft import-artifact`: an artifact as ordinary files with its provenance.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::{
    named_keys::named_key,
    output::print_json,
    run_name::find_run,
    shared_args::{CacheArguments, ExperimentsArguments},
};
use crate::{
    digest::Digest,
    report::History,
    store::{Arrival, Artifact, Lookup, SealedFile, Store},
};

/// File with the provenance beside the files of an exported artifact.
const PROVENANCE: &str = "provenance.json";
/// Version of its format.
const SCHEMA: u64 = 1;

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft export quickstart:tuned@seed=0 tuned-model
  apeft export compared results
  apeft export 3f2a9c41d07b elsewhere

The folder holds the artifact's files, and provenance.json with the key, all that the key is the
digest of, the digest of each file, and the run, command and recipe. `apeft import-artifact` takes
it into a store again.")]
pub(super) struct ExportArguments {
    /// RUN:STAGE, stage of the newest run, or key.
    #[arg(value_name = "STAGE")]
    stage: String,
    /// New folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    cache: CacheArguments,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft import-artifact tuned-model
  apeft import-artifact elsewhere --cache shared/cache

Each file is compared with its digest in provenance.json; stages with this key are cached then.")]
pub(super) struct ImportArguments {
    /// Folder that `apeft export` wrote.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    cache: CacheArguments,
    /// Print JSON to stdout.
    #[arg(long)]
    json: bool,
}

pub(super) fn export(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let store = arguments.cache.there()?.look(false)?;
    let _lease = store.hold(|| say!("waiting for `cache gc` in the store"))?;
    let known: BTreeSet<Digest> = store.keys()?.into_iter().collect();
    let named = named_key(&arguments.experiments, &arguments.stage, &known)?;
    let artifact = match store.find(&named.key)? {
        Lookup::Found(artifact) => artifact,
        Lookup::Absent => bail!("the artifact {} is not in the store", named.key.short()),
        Lookup::Damaged { problem, .. } => bail!("the artifact is damaged: {problem}"),
    };
    let folder = &arguments.folder;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        bail!("{} exists already; name a new folder", folder.display());
    }
    if artifact.names().any(|(name, _)| name == PROVENANCE) {
        bail!("the artifact has a file {PROVENANCE} of its own, which would be overwritten");
    }
    let provenance = provenance(&artifact, &origin(arguments, &artifact)?)?;
    write_files(&artifact, folder, &provenance)
        .with_context(|| format!("cannot write {}", folder.display()))?;
    let (files, bytes) = (artifact.names().count(), artifact.names().map(|(_, size)| size).sum());
    let bytes = DecimalBytes(bytes);
    print_line!("{files} files ({bytes}) and {PROVENANCE} in {}", folder.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The run that an artifact was named by, or the newest one that used it.
fn origin(arguments: &ExportArguments, artifact: &Artifact) -> anyhow::Result<Value> {
    let run = arguments.stage.split_once(':').map(|(run, _)| run);
    // An artifact named by its key may have no run here.
    let Ok(recorded) = find_run(&arguments.experiments, run) else { return Ok(Value::Null) };
    let history = History::read(&recorded.folder)?;
    let key = artifact.key.to_string();
    let Some(stage) = history.stages.iter().find(|stage| stage.key == key) else {
        return Ok(Value::Null);
    };
    let recipe = fs::read_to_string(recorded.folder.join("recipe.toml")).unwrap_or_default();
    Ok(json!({
        "recipe": recorded.recipe,
        "run": recorded.run,
        "stage": stage.name(),
        "seconds": stage.seconds,
        "command": history.command,
        "version": history.version,
        "resolved_recipe": recipe,
    }))
}

fn provenance(artifact: &Artifact, origin: &Value) -> anyhow::Result<Value> {
    let manifest: Value = serde_json::from_str(&artifact.manifest_text())?;
    Ok(json!({
        "schema": SCHEMA,
        "key": artifact.key,
        "key_of": artifact.record()?,
        "manifest": manifest,
        "run": origin,
    }))
}

/// Writes the files beside the folder, and renames it when it is complete.
fn write_files(artifact: &Artifact, folder: &Path, provenance: &Value) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let parent = folder.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".export-").tempdir_in(parent)?;
    for (name, _) in artifact.names() {
        let to = draft.path().join(name);
        fs::create_dir_all(to.parent().unwrap_or(draft.path()))?;
        // Contents without permissions: files of the store are read-only, and these are the user's.
        io::copy(&mut File::open(artifact.files().join(name))?, &mut File::create(to)?)?;
    }
    let text = serde_json::to_string_pretty(provenance)? + "\n";
    fs::write(draft.path().join(PROVENANCE), text)?;
    // Complete, so it is no temporary folder any more.
    let draft = draft.keep();
    // Readable for others, unlike a temporary folder.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&draft, mode)?;
    fs::rename(&draft, &folder).inspect_err(|_| drop(fs::remove_dir_all(&draft)))
}

pub(super) fn import(arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let path = folder.join(PROVENANCE);
    let text = fs::read(&path).with_context(|| {
        format!("{} is no exported artifact: no {PROVENANCE}", folder.display())
    })?;
    let wrong = || format!("{} is not what `apeft export` wrote", path.display());
    let provenance: Value = serde_json::from_slice(&text).with_context(wrong)?;
    let key = provenance["key"].as_str().and_then(|key| key.parse().ok());
    let key = key.filter(|_| provenance["schema"] == SCHEMA).with_context(wrong)?;
    let arrival = Arrival::listed(key, &provenance["manifest"]).with_context(wrong)?;
    let store = arguments.cache.open(false)?;
    let is_new = take_in(&store, folder, &arrival, &provenance["key_of"])
        .with_context(|| format!("{} cannot be taken in", folder.display()))?;
    store.save_memo();
    if arguments.json {
        print_json(&json!({"key": key, "new": is_new, "bytes": arrival.bytes()}))?;
    } else {
        let done = if is_new { "is in the store now" } else { "was in the store" };
        print_line!("{} {done} ({})", key.short(), DecimalBytes(arrival.bytes()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies an exported artifact into the store; returns whether it was absent.
fn take_in(
    store: &Store,
    folder: &Path,
    arrival: &Arrival,
    record: &Value,
) -> anyhow::Result<bool> {
    let _lease = store.hold(|| say!("waiting for `cache gc` in the store"))?;
    let lock = store.lock(&arrival.key(), |holder| say!("waiting for {holder}"))?;
    if let Lookup::Found(_) = store.find_locked(&lock)? {
        return Ok(false);
    }
    // As the store writes key files: the digest is that of this text.
    let record = serde_json::to_string_pretty(record)? + "\n";
    let fetch = |file: &SealedFile, offset: u64, to: &mut File| {
        let copied = match file.path.strip_prefix("files/") {
            Some(name) => File::open(folder.join(name)).and_then(|mut from| {
                from.seek(SeekFrom::Start(offset))?;
                io::copy(&mut from, to).map(drop)
            }),
            None => to.write_all(record.as_bytes().get(offset as usize..).unwrap_or_default()),
        };
        copied.map_err(|error| format!("cannot copy {}: {error}", file.path))
    };
    store.receive(&lock, arrival, &fetch)?;
    Ok(true)
}
