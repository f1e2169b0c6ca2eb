//! Parameters of `command`, and one run of its program.

use std::{
    env, fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use serde::Deserialize;

use super::{arguments, provided};
use crate::{
    context::{Context, StageError, artifact::FILES, guard},
    diagnostic::limit,
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "command",
    // 1: first version. 2: programs with a slash are relative to the recipe; their orphans are
    // ended.
    version: 2,
    about: "Run a program with declared inputs and outputs, cached like every other stage.",
    inputs: &[Input::any(
        "inputs",
        &FILES,
        "Files that the program reads, scripts included; their paths are `{inputs.0}` and so on.",
    )],
    parameters: Parameters::PARAMETERS,
    provides: &provided::TYPES,
    // It runs once where nothing varies; `${seed}` in an argument repeats it.
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: Some(provided::lacks),
    cell_checks: None,
    redundant: None,
};

/// Input of a program that is a file.
static PROGRAM: Input = Input::one("program", &FILES, "The program.").path();

#[derive(Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Program: a file relative to the recipe if it has a slash (part of the key), else a name on
    /// PATH.
    #[parameter(file = &PROGRAM)]
    pub program: String,
    /// Arguments as texts: `{inputs.0}` is the path of an input, `{output}` the working folder.
    #[parameter(default = [])]
    arguments: Vec<String>,
    /// Files and folders that the program writes into its working folder, besides those of
    /// `provides`.
    #[parameter(default = [], unordered)]
    outputs: Vec<String>,
    /// Artifact type that its files are, with names and rows as in the reference of files.
    #[parameter(words = &provided::WORDS)]
    provides: Option<String>,
}

/// Rejects invalid outputs and uncallable programs.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let Parameters { program, arguments, outputs, provides } = chosen.parameters();
    let mut found = Vec::new();
    if outputs.is_empty() && provides.is_none() {
        let problem = "without `outputs` or `provides` no result would be kept";
        let right = "at least one file or folder is expected, or the type of the result";
        found.push(Mismatch::error("outputs", problem, right));
    }
    let inputs = chosen.inputs.get("inputs").copied().unwrap_or_default();
    for problem in arguments.iter().filter_map(|argument| arguments::problem(argument, inputs)) {
        let right = "`{inputs.0}`, `{inputs}` or `{output}` is expected, `{{` for a literal brace";
        found.push(Mismatch::error("arguments", problem, right));
    }
    for problem in outputs.iter().filter_map(|output| output_problem(output)) {
        let right = "a path inside the working folder is expected";
        found.push(Mismatch::error("outputs", problem, right));
    }
    if let Some(problem) = overlap(&outputs) {
        let right = "the folder alone, or separate files, are expected";
        found.push(Mismatch::error("outputs", problem, right));
    }
    if program.trim().is_empty() {
        let right = "a program's name or path is expected";
        found.push(Mismatch::error("program", "`program` is empty", right));
    }
    if program.contains('\0') {
        found.push(zero_byte("program"));
    } else if arguments.iter().any(|argument| argument.contains('\0')) {
        found.push(zero_byte("arguments"));
    }
    found
}

fn zero_byte(field: &'static str) -> Mismatch {
    let problem = format!("`{field}` has a zero byte, which cannot be passed to a program");
    Mismatch::error(field, problem, "a text without \\u0000 is expected")
}

/// Why a program cannot be started, and the fix. `file` is its path if it has a slash; otherwise
/// PATH is searched.
pub(crate) fn missing(program: &str, file: Option<&Path>) -> Option<(String, String)> {
    let right = "an executable file, or the name of a program on PATH, is expected";
    if let Some(file) = file {
        let why = match (is_program(file), file.is_dir()) {
            (true, _) => script_problem(file)?,
            (false, true) => "is a folder".to_owned(),
            (false, false) => "is not executable; `chmod +x` makes it so".to_owned(),
        };
        let problem = format!("`program` cannot run: {} {why}", file.display());
        return Some((problem, right.to_owned()));
    }
    // The C library's search path without PATH.
    let folders = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let is_there = env::split_paths(&folders).any(|folder| is_program(&folder.join(program)));
    (!is_there).then(|| {
        let problem = format!("cannot run `{program}`: not found on PATH");
        (problem, format!("{right}; a file beside the recipe is written `./{program}`"))
    })
}

/// Why the kernel cannot start an executable script.
fn script_problem(file: &Path) -> Option<String> {
    /// Bytes of the first line that Linux reads.
    const LINE: u64 = 256;
    let mut start = Vec::new();
    fs::File::open(file).ok()?.take(LINE).read_to_end(&mut start).ok()?;
    let text = String::from_utf8(start).ok()?;
    let Some(line) = text.lines().next()?.strip_prefix("#!") else {
        // Programs are no text.
        let is_text = !text.contains(|letter: char| letter.is_control() && !letter.is_whitespace());
        let why = "is text without an interpreter; a script begins with a line such as `#!/bin/sh`";
        return is_text.then(|| why.to_owned());
    };
    let interpreter = line.split_ascii_whitespace().next().unwrap_or_default();
    if text.split('\n').next()?.ends_with('\r') {
        return Some(
            "has Windows line ends, with which its first line names no program".to_owned(),
        );
    }
    let is_there = is_program(Path::new(interpreter));
    (!is_there).then(|| format!("names the interpreter `{interpreter}`, which does not exist"))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
}

/// Why a text is no valid output path.
fn output_problem(output: &str) -> Option<String> {
    let is_inside =
        Path::new(output).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let is_path = !output.is_empty() && !output.contains('\0');
    (!is_inside || !is_path)
        .then(|| format!("the output `{output}` is not a path inside the working folder"))
}

/// The problem of an output inside another output.
fn overlap(outputs: &[String]) -> Option<String> {
    outputs.iter().find_map(|inner| {
        let outer =
            outputs.iter().find(|outer| *outer != inner && Path::new(inner).starts_with(outer))?;
        Some(format!("the output `{inner}` lies in the output `{outer}`"))
    })
}

/// A link among the outputs that would lead elsewhere from the store: to no output, by an absolute
/// path, or dangling.
fn stray_link(outputs: &[PathBuf], path: &Path) -> io::Result<Option<PathBuf>> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        let target = path.canonicalize().ok();
        let is_kept =
            target.is_some_and(|target| outputs.iter().any(|output| target.starts_with(output)));
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

/// Checks that all declared outputs exist inside the working folder.
fn check_outputs(context: &Context, parameters: &Parameters) -> Result<(), StageError> {
    let root = context
        .output
        .canonicalize()
        .map_err(StageError::doing("look through the working folder"))?;
    let kept: Vec<PathBuf> = parameters.outputs.iter().map(|output| root.join(output)).collect();
    for (output, path) in parameters.outputs.iter().zip(&kept) {
        if !path.exists() {
            return Err(StageError(format!(
                "`{}` succeeded, but did not write the declared output `{output}` into its \
                working folder",
                parameters.program
            )));
        }
        // By the parent, because the output itself may be a link, which `stray_link` judges.
        let is_inside = path
            .parent()
            .and_then(|parent| parent.canonicalize().ok())
            .is_some_and(|parent| parent.starts_with(&root));
        let stray = if is_inside {
            stray_link(&kept, path).map_err(StageError::doing("look through the working folder"))?
        } else {
            Some(path.clone())
        };
        if let Some(stray) = stray {
            let name = stray.strip_prefix(&root).unwrap_or(&stray).display();
            return Err(StageError(format!(
                "the output `{name}` is or follows a link to an absolute path or to no output: its \
                 target would not be kept; copy the file instead"
            )));
        }
    }
    Ok(())
}

pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let mut parameters: Parameters = context.parameters()?;
    if let Some(problem) = parameters.outputs.iter().find_map(|output| output_problem(output)) {
        return Err(StageError(problem));
    }
    // Earlier attempts and this one's own messages are in the log too.
    let log_before = log_length();
    let status = run_program(context, &parameters)?;
    if !status.success() {
        let last = log_before.map(last_lines).unwrap_or_default();
        return Err(StageError(format!("`{}` failed: {status}{last}", parameters.program)));
    }
    if let Some(provided) = parameters.provides.as_deref().and_then(provided::named) {
        let files = provided::files(&context.output, provided);
        let files = files.map_err(StageError::doing("look through the working folder"))?;
        if files.is_empty() {
            return Err(StageError(format!(
                "`{}` succeeded, but wrote no {}: no file matches {}",
                parameters.program,
                provided.name,
                provided.files.join(", ")
            )));
        }
        parameters.outputs.extend(files);
    }
    check_outputs(context, &parameters)?;
    // Caches and logs would be part of the result, since every file of the folder belongs to it.
    for file in undeclared(&context.output, &context.output, &parameters.outputs)
        .map_err(StageError::doing("look through the working folder"))?
    {
        let name = file.strip_prefix(&context.output).unwrap_or(&file).display().to_string();
        fs::remove_file(&file).map_err(StageError::doing(format!("remove `{name}`")))?;
        context.warn(format!("`{name}` is not among the declared outputs and was removed"));
    }
    Ok(())
}

/// The attempt's log, which is its stderr.
const LOG: &str = "/proc/self/fd/2";

/// Length of the log; none if stderr is no file, as under a test.
fn log_length() -> Option<u64> {
    let _ = io::stderr().flush();
    fs::metadata(LOG).ok().filter(fs::Metadata::is_file).map(|log| log.len())
}

/// The last lines that a program wrote after a place of the log, each on a line of its own.
fn last_lines(after: u64) -> String {
    const LINES: usize = 4;
    const BYTES: u64 = 4096;
    let read = || -> io::Result<Vec<u8>> {
        let mut log = fs::File::open(LOG)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(after.max(length.saturating_sub(BYTES))))?;
        let mut end = Vec::new();
        log.take(BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown = lines[lines.len().saturating_sub(LINES)..].iter();
    shown.map(|line| format!("\n    {}", line.trim_end())).collect()
}

fn run_program(context: &Context, parameters: &Parameters) -> Result<ExitStatus, StageError> {
    // A program with a slash is relative to the recipe; others are searched on PATH.
    let program = context.input(PROGRAM.name).unwrap_or(Path::new(&parameters.program));
    let inputs: Vec<&Path> = context.inputs("inputs").map(|input| input.path.as_path()).collect();
    let arguments = arguments::expanded(&parameters.arguments, &inputs, &context.output);
    let status = guard::status(program, &arguments, |command| set_up(command, context));
    status.map_err(|error| {
        StageError(format!("cannot run `{}`: {error}{}", parameters.program, limit(&error)))
    })
}

/// Working folder, output streams and environment of the program.
fn set_up(command: &mut Command, context: &Context) -> io::Result<()> {
    command.current_dir(&context.output);
    // Both go to the attempt's log: stdout of this process carries messages.
    let _ = io::stderr().flush();
    for redirect in [Command::stdout, Command::stderr] {
        redirect(command, io::stderr().as_fd().try_clone_to_owned()?);
    }
    for (index, input) in context.inputs("inputs").enumerate() {
        command.env(format!("APEFT_INPUT_{index}"), &input.path);
    }
    command.env("APEFT_OUTPUT", &context.output).env("APEFT_CHECKPOINT", &context.checkpoint);
    command.env("APEFT_DEVICE", context.device.to_string());
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn scripts_that_the_kernel_cannot_start_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.sh");
        let said = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
            missing("./run.sh", Some(&file)).map_or(String::new(), |(problem, _)| problem)
        };
        assert_eq!(said(b"#!/bin/sh\necho\n"), "");
        assert_eq!(said(b"#! /bin/sh -e"), "");
        assert_eq!(said(b"\x7fELF\x02\x01\x01\0\0"), "");
        for (script, why) in [
            (&b"echo\n"[..], "is text without an interpreter"),
            (
                b"#!/no/such/python\n",
                "names the interpreter `/no/such/python`, which does not exist",
            ),
            (b"#!/bin/sh\r\necho\r\n", "has Windows line ends"),
        ] {
            assert!(said(script).contains(why), "{}", said(script));
        }
    }
}
