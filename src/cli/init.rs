//! `apeft init`: a recipe to start from.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

const STARTER: [(&str, &str); 4] = [
    ("recipe.toml", include_str!("starter/recipe.toml")),
    ("documents.jsonl", include_str!("starter/documents.jsonl")),
    ("prompts.jsonl", include_str!("starter/prompts.jsonl")),
    ("knowledge.jsonl", include_str!("starter/knowledge.jsonl")),
];

/// What `apeft init` is given.
#[derive(Args)]
#[command(after_help = "Example:
  apeft init my-experiment")]
pub(super) struct InitArguments {
    /// The folder to write into; it is made if it is not there, and nothing in it is overwritten.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    if let Some(taken) = STARTER.iter().map(|(name, _)| folder.join(name)).find(|path| path.symlink_metadata().is_ok())
    {
        anyhow::bail!("{} is there already, and nothing is overwritten: name another folder", taken.display());
    }
    for (name, text) in STARTER {
        let path = folder.join(name);
        let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        say!("wrote {}", path.display());
    }
    say!("next: `apeft run {}`", folder.join("recipe.toml").display());
    Ok(ExitCode::SUCCESS)
}
