//! `command`: declared files from declared files, by a program of the user's own.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use serde::Deserialize;

use super::{Context, StageError, artifact::FILES, guard, registry::Registered};
use crate::{
    diagnostic::limit,
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// The kind and its work.
pub(super) const COMMAND: Registered = Registered { kind: &KIND, run };

static KIND: Kind = Kind {
    name: "command",
    // 1: the first. 2: a program with a slash is relative to the recipe, and what it leaves running is ended.
    version: 2,
    about: "Runs a program of yours; what it reads and writes is declared, so that it is cached like everything else.",
    inputs: &[Input::any(
        "inputs",
        &FILES,
        "What the program reads, its own scripts too: APEFT_INPUT_0, APEFT_INPUT_1, ... are the paths. Contents and the ends of names (.csv) enter the key; what is not declared does not.",
    )],
    parameters: &[
        Parameter::new(
            "program",
            Shape::Text,
            Default::Required,
            "With a slash a file, relative to this one, whose content enters the key; without one the name of a program on PATH, of which only the name does.",
        )
        .file(&PROGRAM),
        Parameter::new(
            "arguments",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "What it is called with; texts, never paths of inputs: a script named here is not part of the key, one in `inputs` is.",
        ),
        Parameter::new(
            "outputs",
            Shape::List(&Shape::Text),
            Default::Required,
            "The files and folders that it leaves in its working folder, which is also APEFT_OUTPUT.",
        )
        .set(),
    ],
    provides: &[&FILES],
    draws: true,
    gathers: false,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

/// A program that is a file is one of the stage's inputs.
static PROGRAM: Input = Input::one("program", &FILES, "The program.").path();

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
    outputs: Vec<String>,
}

/// What is no output, and what no program can be called with.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let outputs = chosen.texts("outputs");
    if outputs.is_empty() {
        let right = "at least one file or folder is expected";
        found.push(Mismatch::error("outputs", "`outputs` names nothing, so that nothing could be kept", right));
    }
    for output in outputs {
        if let Some(problem) = output_problem(output) {
            found.push(Mismatch::error("outputs", problem, "a path inside the working folder is expected"));
        }
    }
    if let Some(problem) = overlap(&chosen.texts("outputs")) {
        found.push(Mismatch::error(
            "outputs",
            problem,
            "the folder alone, or files that lie beside each other, are expected",
        ));
    }
    if chosen.text("program").trim().is_empty() {
        found.push(Mismatch::error("program", "`program` names nothing", "a program's name or path is expected"));
    }
    let has_zero = |text: &&str| text.contains('\0');
    if has_zero(&chosen.text("program")) || chosen.texts("arguments").iter().any(has_zero) {
        let field = if has_zero(&chosen.text("program")) { "program" } else { "arguments" };
        let problem = format!("`{field}` has a zero byte, which no program can be handed");
        found.push(Mismatch::error(field, problem, "a text without \\u0000 is expected"));
    }
    found
}

/// Why a text cannot be an output's path.
fn output_problem(output: &str) -> Option<String> {
    let is_inside = Path::new(output).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let is_path = !output.is_empty() && !output.contains('\0');
    (!is_inside || !is_path).then(|| format!("the output `{output}` is not a path inside the working folder"))
}

/// Which of several outputs lies in another one.
fn overlap(outputs: &[&str]) -> Option<String> {
    outputs.iter().find_map(|inner| {
        let outer = outputs.iter().find(|outer| *outer != inner && Path::new(inner).starts_with(outer))?;
        Some(format!("the output `{inner}` lies in the output `{outer}`"))
    })
}

/// A link among a program's outputs that would not lead to the same file from the store: to what is no output itself, or by
/// an absolute path, or to nothing.
fn stray_link(outputs: &[PathBuf], path: &Path) -> io::Result<Option<PathBuf>> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        let target = path.canonicalize().ok();
        let is_kept = target.is_some_and(|target| outputs.iter().any(|output| target.starts_with(output)));
        return Ok((fs::read_link(path)?.is_absolute() || !is_kept).then(|| path.to_owned()));
    }
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            if let Some(stray) = stray_link(outputs, &entry?.path())? {
                return Ok(Some(stray));
            }
        }
    }
    Ok(None)
}

/// All that was declared is there, and belongs to the working folder.
fn check_outputs(context: &Context, parameters: &Parameters) -> Result<(), StageError> {
    let root = context.output.canonicalize().map_err(StageError::doing("look through the working folder"))?;
    let kept: Vec<PathBuf> = parameters.outputs.iter().map(|output| root.join(output)).collect();
    for (output, path) in parameters.outputs.iter().zip(&kept) {
        if !path.exists() {
            return Err(StageError(format!(
                "`{}` ended well, but did not leave the declared output `{output}` in its working folder",
                parameters.program
            )));
        }
        let is_inside =
            path.parent().and_then(|parent| parent.canonicalize().ok()).is_some_and(|parent| parent.starts_with(&root));
        let stray = if is_inside {
            stray_link(&kept, path).map_err(StageError::doing("look through the working folder"))?
        } else {
            Some(path.clone())
        };
        if let Some(stray) = stray {
            let name = stray.strip_prefix(&root).unwrap_or(&stray).display();
            return Err(StageError(format!(
                "the output `{name}` is a link, or lies behind one, that leads to no output or by an absolute path: what it \
                 leads to would not be kept; copy the file instead"
            )));
        }
    }
    Ok(())
}

fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    if let Some(problem) = parameters.outputs.iter().find_map(|output| output_problem(output)) {
        return Err(StageError(problem));
    }
    let status = run_program(context, &parameters)?;
    if !status.success() {
        return Err(StageError(format!("`{}` failed: {status}", parameters.program)));
    }
    check_outputs(context, &parameters)?;
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
    // A program that is a file lies where the recipe says; others are looked for on PATH.
    let program = context.input(PROGRAM.name).unwrap_or(Path::new(&parameters.program));
    let seed = context.seed.split("command").stream().below(1 << 31);
    let prepare = |command: &mut Command| {
        command.current_dir(&context.output);
        // Both go to the attempt's log: standard output belongs to the messages of this process.
        let _ = io::stderr().flush();
        for redirect in [Command::stdout, Command::stderr] {
            redirect(command, io::stderr().as_fd().try_clone_to_owned()?);
        }
        for (index, input) in context.inputs("inputs").enumerate() {
            command.env(format!("APEFT_INPUT_{index}"), &input.path);
        }
        command.env("APEFT_OUTPUT", &context.output).env("APEFT_CHECKPOINT", &context.checkpoint);
        command.env("APEFT_SEED", seed.to_string()).env("APEFT_DEVICE", &context.device);
        Ok(())
    };
    let status = guard::status(program, &parameters.arguments, prepare);
    status.map_err(|error| StageError(format!("cannot run `{}`: {error}{}", parameters.program, limit(&error))))
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
