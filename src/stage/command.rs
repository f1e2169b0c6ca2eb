//! `command`: declared files from declared files, by a program of the user's own.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use serde::Deserialize;

use super::{Context, StageError, artifact::FILES, registry::Registered};
use crate::recipe::schema::{Default, Input, Kind, Parameter, Shape};

/// The kind and its work.
pub(super) const COMMAND: Registered = Registered { kind: &KIND, run };

static KIND: Kind = Kind {
    name: "command",
    // 1: the first.
    version: 1,
    about: "Runs a program of yours; what it reads and writes is declared, so that it is cached like everything else.",
    inputs: &[Input::any(
        "inputs",
        &FILES,
        "What the program reads: APEFT_INPUT_0, APEFT_INPUT_1, ... are the paths; a script belongs here too, since only its content enters the key.",
    )],
    parameters: &[
        Parameter::new("program", Shape::Text, Default::Required, "The program's name or path."),
        Parameter::new("arguments", Shape::List(&Shape::Text), Default::Texts(&[]), "What it is called with."),
        Parameter::new(
            "outputs",
            Shape::List(&Shape::Text),
            Default::Required,
            "The files and folders that it leaves in its working folder, which is also APEFT_OUTPUT.",
        ),
    ],
    provides: &[&FILES],
    draws: true,
    gathers: false,
    on_device: false,
    fits: None,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
    outputs: Vec<String>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    for output in &parameters.outputs {
        let path = Path::new(output);
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if output.is_empty() || !inside {
            return Err(StageError(format!("the output `{output}` must be a path inside the working folder")));
        }
    }
    let status = run_program(context, &parameters)?;
    if !status.success() {
        return Err(StageError(format!("`{}` failed: {status}", parameters.program)));
    }
    for output in &parameters.outputs {
        if !context.output(output).exists() {
            return Err(StageError(format!(
                "`{}` ended well, but did not leave the declared output `{output}` in its working folder",
                parameters.program
            )));
        }
    }
    for file in undeclared(&context.output, &context.output, &parameters.outputs)
        .map_err(StageError::doing("look through the working folder"))?
    {
        let name = file.strip_prefix(&context.output).unwrap_or(&file).display().to_string();
        fs::remove_file(&file).map_err(StageError::doing(format!("remove `{name}`")))?;
        context.warn(format!("`{name}` is not among the declared outputs and was removed"));
    }
    Ok(())
}

fn run_program(context: &Context, parameters: &Parameters) -> Result<ExitStatus, StageError> {
    let doing = || StageError::doing(format!("run `{}`", parameters.program));
    let program = if parameters.program.contains('/') {
        // The working folder is another than the one that the user sees.
        std::path::absolute(&parameters.program).map_err(doing())?
    } else {
        PathBuf::from(&parameters.program)
    };
    let mut command = Command::new(program);
    command.args(&parameters.arguments).current_dir(&context.output).stdin(Stdio::null());
    // Both go to the attempt's log: standard output belongs to the messages of this process.
    let _ = io::stderr().flush();
    for redirect in [Command::stdout, Command::stderr] {
        redirect(&mut command, io::stderr().as_fd().try_clone_to_owned().map_err(doing())?);
    }
    for (index, input) in context.inputs.iter().enumerate() {
        command.env(format!("APEFT_INPUT_{index}"), &input.path);
    }
    let seed = context.seed.split("command").stream().below(1 << 31);
    command.env("APEFT_OUTPUT", &context.output).env("APEFT_CHECKPOINT", &context.checkpoint);
    command.env("APEFT_SEED", seed.to_string()).env("APEFT_DEVICE", &context.device);
    command.status().map_err(doing())
}

fn undeclared(root: &Path, folder: &Path, outputs: &[String]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if outputs.iter().any(|output| path.starts_with(root.join(output))) {
            continue;
        }
        if path.symlink_metadata()?.is_dir() {
            found.extend(undeclared(root, &path, outputs)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
