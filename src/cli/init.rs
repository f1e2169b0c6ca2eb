//! `apeft init`: writes a first recipe.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use crate::recipe::is_plain_name;

const STARTER: [(&str, &str); 4] = [
    ("recipe.toml", include_str!("starter/recipe.toml")),
    ("documents.jsonl", include_str!("starter/documents.jsonl")),
    ("prompts.jsonl", include_str!("starter/prompts.jsonl")),
    ("knowledge.jsonl", include_str!("starter/knowledge.jsonl")),
];

/// Arguments of `apeft init`.
#[derive(Args)]
#[command(after_help = "Examples:
  apeft init my-experiment")]
pub(super) struct InitArguments {
    /// Output folder, created if missing; no file is overwritten.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // All or nothing: half a starter does not run.
    if let Some(taken) = STARTER
        .iter()
        .map(|(name, _)| folder.join(name))
        .find(|path| path.symlink_metadata().is_ok())
    {
        anyhow::bail!("{} exists and is not overwritten; name another folder", taken.display());
    }
    for (name, text) in STARTER {
        let path = folder.join(name);
        let text = text.replace("name = \"first\"", &format!("name = \"{}\"", recipe_name(folder)));
        // Not even a file that appeared since the check is overwritten.
        let written =
            fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        say!("wrote {}", path.display());
    }
    say!("next: `apeft run {}`", folder.join("recipe.toml").display());
    Ok(ExitCode::SUCCESS)
}

/// The folder's name, so that two experiments differ in theirs; `first` if it is no recipe's name.
fn recipe_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = folder.file_name().and_then(OsStr::to_str).filter(|name| is_plain_name(name));
    name.unwrap_or("first").to_owned()
}
