//! `apeft completions` and `apeft man`: completions for shells, and man pages.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use super::output::print_text;

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft completions bash > ~/.local/share/bash-completion/completions/apeft
  apeft completions zsh > ~/.zfunc/_apeft
  apeft completions fish > ~/.config/fish/completions/apeft.fish")]
pub(super) struct CompletionsArguments {
    /// Shell.
    shell: Shell,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft man > apeft.1
  apeft man --folder ~/.local/share/man/man1

Without --folder it prints the page of `apeft` itself.")]
pub(super) struct ManArguments {
    /// Folder for the pages of all commands.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn complete(
    arguments: &CompletionsArguments,
    command: &mut clap::Command,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "apeft", &mut script);
    print_text(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn manual(arguments: &ManArguments, command: clap::Command) -> anyhow::Result<ExitCode> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print_text(&String::from_utf8(page)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
    print_text(&format!("{}\n", folder.join("apeft.1").display()))?;
    Ok(ExitCode::SUCCESS)
}
